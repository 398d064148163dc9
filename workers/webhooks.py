"""Deliver: webhooks, by the Standard Webhooks specification 1.0.

A message is only accepted by its task; sending is for threads of our own, so that a receiver that takes its time is in
nobody's way: neither the purges' nor, by the limits below, another owner's.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from standardwebhooks import Webhook

from jobs.context import about
from jobs.errors import PagemillError
from jobs.models import WebhookAttempt, WebhookState
from jobs.store import webhooks
from jobs.store.database import Database
from jobs.store.webhooks import Claimed, DeliveryRef
from jobs.vault import Vault
from workers.outbound import Outbound, OutboundFailed, OutboundRefused, Reply

log = logging.getLogger(__name__)

SCHEDULE = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0)
"""Seconds before the second attempt, the third, … (Standard Webhooks, "Deliverability and reliability", without its
last steps of 14, 20 and 24 hours)."""
JITTER = 0.1
"""Each pause is longer by up to this share, so that what failed together does not come back together."""
MAX_RETRY_AFTER = SCHEDULE[-1]
"""Seconds that a receiver may ask for."""
LEASE = 4
"""Times the timeout of an attempt, after which who claimed it counts as dead."""

AT_ONCE = 32
"""Deliveries that one worker sends at a time."""
AT_ONCE_TO_OWNER = 12
AT_ONCE_TO_RECEIVER = 4
"""Of one owner to one host."""
WAITING = 4 * 1024
"""Accepted and not yet begun; the rings of what comes beyond are lost, and ring again."""
CLOSING = 5.0
"""Seconds that attempts under way may take when the worker ends. What is not recorded by then is sent again."""
ANSWER = 200
"""Characters of a receiver's answer that its owner is shown."""


@dataclass(frozen=True, slots=True)
class _Errand:
    ref: DeliveryRef
    owner: str
    host: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attempt came to."""

    status: int | None = None
    error: str | None = None
    answer: str | None = None
    retry_after: float = 0.0
    """Seconds that the receiver asks for."""
    final: bool = False
    """Trying again does not help."""


def sign(secrets: Sequence[str], message_id: str, at: datetime, body: str) -> str:
    """The header `webhook-signature`: a signature for each secret, so that a receiver may know either."""
    return " ".join(Webhook(secret).sign(message_id, at.astimezone(UTC), body) for secret in secrets)


def verdict(outcome: Outcome, failures: int) -> tuple[WebhookState, float]:
    """What becomes of a delivery that failed `failures` times before, and the seconds until its next attempt."""
    if outcome.error is None:
        return WebhookState.DELIVERED, 0.0
    if outcome.status == 410:
        return WebhookState.STOPPED, 0.0
    if outcome.final or failures >= len(SCHEDULE):
        return WebhookState.FAILED, 0.0
    pause = SCHEDULE[failures] * random.uniform(1, 1 + JITTER)  # noqa: S311 -- spreads load, guards nothing
    return WebhookState.PENDING, max(pause, min(outcome.retry_after, MAX_RETRY_AFTER))


class Courier:
    """Runs `webhook` messages. Thread-safe."""

    def __init__(
        self, db: Database, vault: Vault | None, outbound: Outbound, *, timeout: float, time_factor: float = 1.0
    ) -> None:
        """`timeout`: seconds of one attempt; `time_factor` divides the pauses between them."""
        self._db, self._vault, self._outbound = db, vault, outbound
        self._timeout = timeout
        self._time_factor = time_factor
        self._changed = threading.Condition()
        self._waiting: list[_Errand] = []
        self._running: list[_Errand] = []
        self._closed = False

    def run(self, refs: Sequence[DeliveryRef]) -> int:
        """Accept these deliveries and return; how many it were. What waits or runs here already is left alone."""
        with self._db.read() as session:
            lanes = webhooks.lanes(session, refs)
        with self._changed:
            known = {errand.ref.id for errand in (*self._waiting, *self._running)}
            room = WAITING - len(self._waiting)
            new = [_Errand(ref, *lanes[ref.id]) for ref in refs if ref.id in lanes and ref.id not in known][:room]
            self._waiting += new
        self._begin()
        return len(new)

    def wait(self, timeout: float) -> bool:
        """Until nothing waits or runs; whether that came in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._running, timeout)

    def close(self) -> None:
        """Begin nothing more, and leave what takes longer than a moment."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
        if not self.wait(CLOSING):
            log.warning("deliveries under way are left, and sent again", extra={"action": "webhooks_left"})

    def _begin(self) -> None:
        with self._changed:
            while (errand := self._next()) is not None:
                self._waiting.remove(errand)
                self._running.append(errand)
                threading.Thread(target=self._deliver, args=(errand,), name="webhook", daemon=True).start()

    def _next(self) -> _Errand | None:
        """Of those that may begin now, the first of whoever has the fewest under way."""
        if self._closed or len(self._running) >= AT_ONCE:
            return None
        owners = Counter(errand.owner for errand in self._running)
        receivers = Counter((errand.owner, errand.host) for errand in self._running)
        free = [
            errand
            for errand in self._waiting
            if owners[errand.owner] < AT_ONCE_TO_OWNER and receivers[errand.owner, errand.host] < AT_ONCE_TO_RECEIVER
        ]
        return min(free, key=lambda errand: owners[errand.owner], default=None)

    def _deliver(self, errand: _Errand) -> None:
        with about(event=errand.ref.id):
            self._run_errand(errand)

    def _run_errand(self, errand: _Errand) -> None:
        try:
            self._attempt(errand.ref)
        except PagemillError as error:
            log.warning("%s put off: %s", errand.ref.id, error, extra={"action": "webhook_put_off", "code": error.code})
        except Exception:
            # The edge of this thread; the claim runs out and the delivery is due again.
            log.exception("%s cannot be delivered", errand.ref.id, extra={"action": "webhook_failed"})
        finally:
            with self._changed:
                self._running.remove(errand)
                self._changed.notify_all()
            self._begin()

    def _attempt(self, ref: DeliveryRef) -> None:
        if self._vault is None:
            log.error("webhooks cannot be signed without PAGEMILL_SECRET_KEY", extra={"action": "webhook_put_off"})
            return
        with self._db.write() as session:
            claimed = webhooks.claim(session, ref, LEASE * self._timeout)
            sealed = [] if claimed is None else webhooks.sealed_secrets(session, claimed.owner)
        if claimed is None:
            return
        secrets = [self._vault.open(token) for token in sealed]
        began = time.monotonic()
        outcome = self._send(claimed, secrets)
        self._record(claimed, outcome, time.monotonic() - began)

    def _send(self, claimed: Claimed, secrets: Sequence[str]) -> Outcome:
        at = datetime.fromisoformat(claimed.at)
        try:
            headers = {
                "content-type": "application/json",
                "webhook-id": claimed.ref.id,
                "webhook-timestamp": str(int(at.timestamp())),
                "webhook-signature": sign(secrets, claimed.ref.id, at, claimed.body),
            }
            body = claimed.body.encode()
            with self._outbound.stream(
                "POST", claimed.url, headers=headers, content=body, timeout=self._timeout
            ) as reply:
                return _outcome(reply)
        except OutboundRefused as error:
            return Outcome(error=f"refused: {error}", final=True)
        except OutboundFailed as error:
            return Outcome(error=str(error))
        except Exception as error:
            # The edge of what a receiver can make us do: without a record it would be tried for ever.
            log.exception("%s cannot be sent", claimed.ref.id, extra={"action": "webhook_failed"})
            return Outcome(error=f"the attempt failed: {type(error).__name__}")

    def _record(self, claimed: Claimed, outcome: Outcome, seconds: float) -> None:
        state, pause = verdict(outcome, claimed.failures)
        attempt = WebhookAttempt(
            at=datetime.fromisoformat(claimed.at),
            seconds=round(seconds, 3),
            status=outcome.status,
            error=outcome.error,
            answer=outcome.answer,
        )
        failures = claimed.failures + (outcome.error is not None)
        with self._db.write() as session:
            webhooks.record(session, claimed, attempt, state, failures, pause / self._time_factor)
        log.info(
            "%s %s: %s", claimed.ref.id, state.value, outcome.error or outcome.status,
            extra={"action": "webhook", "state": state.value},
        )  # fmt: skip


def _outcome(reply: Reply) -> Outcome:
    status = reply.status_code
    if 200 <= status < 300:
        return Outcome(status)
    error = f"the receiver answered {status}"
    if 300 <= status < 400:
        error += "; redirects are not followed"
    return Outcome(status, error, _beginning(reply), _retry_after(reply.headers.get("retry-after", "")))


def _beginning(reply: Reply) -> str | None:
    """What a receiver says first, in characters that can be shown."""
    read = b""
    try:
        for piece in reply:
            read += piece
            if len(read) >= 4 * ANSWER:
                break
    except OutboundFailed:
        pass  # the status is what counts
    shown = "".join(char if char.isprintable() else " " for char in read.decode("utf-8", "replace"))
    return shown[:ANSWER].strip() or None


def _retry_after(header: str) -> float:
    """Seconds of a Retry-After header (RFC 9110, 10.2.3), 0 where there is none that makes sense."""
    if header.isascii() and header.isdigit():
        return float(header[:9])
    try:
        when = parsedate_to_datetime(header).astimezone(UTC)
    except (ValueError, OverflowError):  # no date, or one beyond the years 1 to 9999
        return 0.0
    return max(0.0, (when - datetime.now(UTC)).total_seconds())
