"""A job for those who follow it: its tag, an answer that waits for it, and the stream of its snapshots.

A tag has two parts, `"<job>.<place>"`: what the job itself says, and its place in the queue. The whole is a strong tag
of the answer. Waiting looks at the first part alone, since places move all the time.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial

import anyio
import anyio.to_thread
import orjson
from fastapi import Request
from fastapi.responses import Response

from api.deps import Api
from api.prefer import preferred_wait
from api.replies import REVALIDATE, not_modified
from api.waiting import unless_gone
from jobs.errors import DatabaseUnavailable, Gone, NotFound
from jobs.models import FINAL, JobPublic
from jobs.spending import MICROS, Spent
from jobs.store import following
from jobs.store.following import Seen

SNAPSHOT_EVERY = 1.0
"""Seconds between two snapshots of a stream, at least."""
PLACE_EVERY = 10.0
"""Seconds after which a stream tells that only the place in the queue has changed."""
KEEP_ALIVE = 15.0
"""Seconds of silence after which a comment is sent (HTML, 9.2.7: proxies drop silent connections)."""
LIFETIME = 600.0
"""Seconds after which a stream is cut: its client comes back and shows its key again."""
RETRY_MS = 2000
"""What clients wait before they come back."""


@dataclass(frozen=True, slots=True)
class Tag:
    """`text`: the entity tag without its quotes; `job`: its first part."""

    job: str
    text: str

    @property
    def quoted(self) -> str:
        return f'"{self.text}"'

    @classmethod
    def of(cls, job: JobPublic) -> Tag:
        shape = _hash(job.model_dump_json(exclude={"queue": True, "usage": {"cost", "currency"}}), 24)
        place = "0" if job.queue is None else _hash(job.queue.model_dump_json(), 8)
        return cls(shape, f"{shape}.{place}")


def _hash(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:digits]


async def shown(api: Api, seen: Seen) -> JobPublic:
    """The job as one who asks for it by its id sees it: with its place in the queue and what it cost so far."""
    job = await api.backlog.placed(seen)
    if api.price is None:
        return job
    usage = job.usage
    spent = Spent(round(usage.engine_seconds * MICROS), usage.tokens_in, usage.tokens_out)
    priced = usage.model_copy(update={"cost": api.price.of(spent), "currency": api.price.currency})
    return job.model_copy(update={"usage": priced})


async def look(api: Api, job: str) -> Seen:
    """Raises NotFound, Gone, DatabaseUnavailable."""

    def read() -> Seen:
        with api.database.read() as session:
            return following.look(session, job)

    return await anyio.to_thread.run_sync(read)


# --- one answer


async def job_answer(api: Api, request: Request, job: str) -> Response:
    """The job, at once or when it has changed or ended (`Prefer: wait=N`); 304 where the client has it already."""
    seen = await look(api, job)
    seconds = preferred_wait(request.headers.getlist("prefer"))
    if seconds:
        known = request.headers.get("if-none-match")
        wait = partial(_ended, api, seen, seconds) if known is None else partial(_changed, api, seen, seconds, known)
        seen = await unless_gone(request, wait, seen)
    placed = await shown(api, seen)
    tag = Tag.of(placed)
    headers = {} if seconds is None else {"Preference-Applied": f"wait={seconds}"}
    if (unchanged := not_modified(request, tag.quoted, **headers)) is not None:
        return unchanged
    headers |= {"ETag": tag.quoted, "Cache-Control": REVALIDATE}
    return Response(placed.model_dump_json(), media_type="application/json", headers=headers)


async def ended_in_time(api: Api, request: Request, response: Response, job: JobPublic) -> JobPublic:
    """For the answer to a submission: the job, where the client prefers to wait for its end, and status 200 where that
    came in time. Raises nothing: the job is safe, whatever happens while it is waited for."""
    if seconds := preferred_wait(request.headers.getlist("prefer")):
        job = await unless_gone(request, partial(api.waits.until_ended, job, seconds), job)
        response.headers["Preference-Applied"] = f"wait={seconds}"
        response.status_code = 200 if job.state in FINAL else response.status_code
    return job


async def _ended(api: Api, seen: Seen, seconds: float) -> Seen:
    return await api.waits.end(seen, seconds)


async def _changed(api: Api, seen: Seen, seconds: float, known: str) -> Seen:
    """The job once it does not fit a tag that the client knows."""
    tags = {tag.strip().removeprefix("W/").strip('"').partition(".")[0] for tag in known.split(",")}
    until = anyio.current_time() + seconds
    while Tag.of(seen.job).job in tags and anyio.current_time() < until:
        fresh = await api.waits.change(seen, until - anyio.current_time())
        if fresh is seen:
            break  # time is over, or the server ends
        seen = fresh
    return seen


# --- a stream
#
# By hand: what a library would add (sse-starlette: pings, disconnects, shutdown) is here already, as the poller's wait
# with a time, as what StreamingResponse does when a client leaves, and as Waits.closing; the format is five lines.


def event(kind: str, tag: str, data: bytes) -> bytes:
    """One server-sent event (HTML, 9.2.6). `data` has no line ends."""
    return b"event: %b\nid: %b\ndata: %b\n\n" % (kind.encode(), tag.encode(), data)


def is_over(seen: Seen, last_event: str | None) -> bool:
    """Whether the client was told of this very end: nothing more will come (204 stops its coming back)."""
    return seen.job.state in FINAL and last_event == _end_of(Tag.of(seen.job))


def _end_of(tag: Tag) -> str:
    return f"{tag.text}.end"


async def job_events(api: Api, seen: Seen, last_event: str | None) -> AsyncIterator[bytes]:
    """Snapshots of a job until it has ended or goes, the server ends, or `LIFETIME` is over. `last_event`: the id of
    the last event that the client has; that snapshot is not sent again."""
    yield b"retry: %d\n\n" % RETRY_MS
    stream = _Stream(api, seen, last_event)
    cut = anyio.current_time() + LIFETIME
    while anyio.current_time() < cut and not api.waits.closing.is_set():
        for piece in await stream.tell():
            yield piece
        if stream.over:
            return
        await stream.wait()


class _Stream:
    """What a stream has told, and how the job is now."""

    def __init__(self, api: Api, seen: Seen, last_event: str | None) -> None:
        self._api = api
        self._seen = seen
        self._told = last_event
        self._gone: Gone | NotFound | None = None
        self._spoke = anyio.current_time()
        self.over = False

    async def tell(self) -> list[bytes]:
        """What there is to say now."""
        pieces = []
        if self._gone is not None:
            self.over = True
            problem = self._gone.problem().model_dump_json(exclude_none=True)
            return [event("gone", "", problem.encode())]
        job = await shown(self._api, self._seen)
        tag = Tag.of(job)
        if tag.text != self._told:
            pieces.append(event("job", tag.text, job.model_dump_json().encode()))
            self._told = tag.text
        if job.state in FINAL:
            self.over = True
            pieces.append(event("end", _end_of(tag), orjson.dumps({"id": job.id, "state": job.state.value})))
        if not pieces and anyio.current_time() - self._spoke >= KEEP_ALIVE:
            pieces.append(b": still here\n\n")
        if pieces:
            self._spoke = anyio.current_time()
        return pieces

    async def wait(self) -> None:
        """Until there may be something to say: the job has changed, or its place is to be looked at."""
        waits = self._api.waits
        with anyio.move_on_after(SNAPSHOT_EVERY):  # before the look, so that what is told next is the newest
            await waits.closing.wait()
        silent_until = self._spoke + KEEP_ALIVE - anyio.current_time()
        try:
            self._seen = await waits.change(self._seen, min(PLACE_EVERY - SNAPSHOT_EVERY, silent_until))
        except (Gone, NotFound) as error:
            self._gone = error
        except DatabaseUnavailable:
            pass  # it is waited for: the client has nothing better to do, and keep-alives go on
