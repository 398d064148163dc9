"""Webhooks: a job's deliveries, the secrets that sign them, and the events for the description of the API."""

from __future__ import annotations

from typing import Annotated, get_args

from fastapi import APIRouter, Depends, FastAPI, Header, Response

from api import examples
from api.auth import require
from api.deps import ApiDep, EventId, JobId, PrincipalDep
from api.problems import documented
from api.shapes import WebhookList, WebhookSecretList
from jobs import webhooks
from jobs.models import Scope, WebhookEvent, WebhookEventType, WebhookPublic

router = APIRouter(prefix="/jobs/{job}/webhooks", tags=["webhooks"])


async def _signer(principal: PrincipalDep) -> None:
    require(principal, [Scope.SUBMIT])


secrets = APIRouter(
    prefix="/webhooks/secret",
    tags=["webhooks"],
    dependencies=[Depends(_signer)],
    responses=documented(400, 401, 403),
)
"""Of whoever asks, and of nobody else."""


@router.get("", responses=documented(404, 410))
def deliveries(api: ApiDep, job: JobId) -> WebhookList:
    """What the job's webhook was told or is to be told, the newest first, with the last attempts."""
    return WebhookList(items=webhooks.deliveries(api.database, job))


@router.post("/{event}/replay", responses=documented(404, 410))
def replay(api: ApiDep, job: JobId, event: EventId) -> WebhookPublic:
    """Deliver an event again, whatever became of it: at once and with the whole schedule before it, under its old
    `webhook-id`."""
    return webhooks.replay(api.database, job, event)


@secrets.get("")
def show_secrets(api: ApiDep, principal: PrincipalDep, response: Response) -> WebhookSecretList:
    """What this key's webhooks are signed with, the current secret first. The first one is made when it is needed."""
    response.headers["Cache-Control"] = "no-store"
    return WebhookSecretList(secrets=webhooks.current_secrets(api.database, api.vault, principal.owner))


@secrets.post("/rotate")
def rotate_secret(api: ApiDep, principal: PrincipalDep, response: Response) -> WebhookSecretList:
    """Make a new secret. The one before goes on signing beside it for 24 hours: deliveries carry both signatures."""
    response.headers["Cache-Control"] = "no-store"
    return WebhookSecretList(secrets=webhooks.rotate_secret(api.database, api.vault, principal.owner))


def describe(app: FastAPI) -> None:
    """The requests that receivers get, in the OpenAPI document."""
    for event in get_args(WebhookEventType):
        app.webhooks.add_api_route(
            event,
            _event,
            methods=["POST"],
            name=event,
            summary=f"The job has ended: {event.partition('.')[2]}",
            status_code=204,
            responses={
                204: {"description": "Taken. Any 2xx will do."},
                410: {"description": "Never again: what waits for this URL is stopped."},
                "default": {"description": "Not taken, redirects included: tried again later, see Retry-After."},
            },
            tags=["webhooks"],
        )


def _event(
    body: WebhookEvent,
    webhook_id: Annotated[str, Header(description="`evt_…`, the same with every attempt.", examples=[examples.EVENT])],
    webhook_timestamp: Annotated[int, Header(description="When this attempt was made, in seconds since 1970.")],
    webhook_signature: Annotated[
        str, Header(description="`v1,…`: HMAC-SHA256 by Standard Webhooks; several after a rotation, by spaces.")
    ],
) -> None:
    """Sent to `webhook.url` of the job, signed by the Standard Webhooks specification. Verify the signature before
    anything else, and take an id once."""
