"""Waiting for jobs: any number of requests, one poller.

A wait is a coroutine and an entry in a dict: it holds no thread, no session and no connection. While anybody waits, one
task asks the database every `TICK` which of all watched jobs are no longer as they were seen, in one thread, and wakes
those it concerns with the job as it is now. What another server or a worker does is seen as what happens here.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import anyio
import anyio.to_thread
from fastapi import Request

from jobs.errors import DatabaseUnavailable, Gone, NotFound, PagemillError
from jobs.models import FINAL, JobPublic
from jobs.store import following
from jobs.store.database import Database
from jobs.store.following import Move, Seen

logger = logging.getLogger(__name__)

T = TypeVar("T")

TICK = 0.25
"""Seconds between two looks, while anybody waits."""
REST = 4
"""And so many times what the last look took, up to `LONGEST`: a database that is slow is not asked all the time."""
LONGEST = 2.0
PIECE = 1000
"""Jobs in one statement."""
SLACK = 5.0
"""Seconds beyond its time after which a wait ends by itself: the poller hangs on a database that does not answer."""


@dataclass(slots=True, eq=False)
class _Watch:
    """One who waits."""

    seen: Seen
    until: float
    """By the loop's clock."""
    for_end: bool
    """Only the job's end wakes it."""
    mark: str
    """As of the poller's last look."""
    done: anyio.Event = field(default_factory=anyio.Event)
    outcome: Seen | PagemillError | None = None
    """None: as it was seen."""

    def finish(self, outcome: Seen | PagemillError | None = None) -> None:
        self.outcome = outcome
        self.done.set()


@dataclass(frozen=True, slots=True)
class _Question:
    """What one round asks: of (job, mark) which have moved, and the jobs to be read where they have."""

    watched: list[tuple[str, str]]
    eager: frozenset[tuple[str, str]]
    """Those of which any move is to be read, not only the end."""
    anyway: frozenset[str]
    """Jobs to be read whether they have moved since the last look or not."""


@dataclass(frozen=True, slots=True)
class _Answer:
    moves: dict[tuple[str, str], Move]
    jobs: dict[str, Seen]


class Waits:
    """All who wait for jobs in this process. Used by the event loop alone; `run` is its poller."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._watches: set[_Watch] = set()
        self._needed = anyio.Event()
        self._thread = anyio.CapacityLimiter(1)
        self._away = False
        self.closing = anyio.Event()
        """The server ends: nobody is to wait any longer."""

    def __len__(self) -> int:
        """How many wait."""
        return len(self._watches)

    def close(self) -> None:
        """Send everybody who waits away with the job as it was seen."""
        self.closing.set()
        for watch in self._watches:
            watch.finish()

    async def change(self, seen: Seen, seconds: float) -> Seen:
        """The job once it is no longer as it was seen; as it was seen where that does not happen in time. Raises
        NotFound and Gone where it goes meanwhile, DatabaseUnavailable where the database is away when time is over."""
        return await self._wait(seen, seconds, for_end=False)

    async def end(self, seen: Seen, seconds: float) -> Seen:
        """The job once it has ended, or as it is when time is over. Raises as `change` does."""
        if seen.job.state in FINAL:
            return seen
        return await self._wait(seen, seconds, for_end=True)

    async def until_ended(self, job: JobPublic, seconds: float) -> JobPublic:
        """The job once it has ended, or as it was last seen. For answers that are good without: raises nothing."""
        try:
            # No mark is known of a job that came from elsewhere: the first look finds it.
            return (await self.end(Seen(job, "", ""), seconds)).job
        except PagemillError as error:
            logger.info("nobody waits for %s any more: %s", job.id, error, extra={"action": "wait_ended"})
            return job

    async def _wait(self, seen: Seen, seconds: float, *, for_end: bool) -> Seen:
        if self.closing.is_set() or seconds <= 0:
            return seen
        watch = _Watch(seen, anyio.current_time() + seconds, for_end, seen.mark)
        self._watches.add(watch)
        self._needed.set()
        try:
            with anyio.move_on_after(seconds + SLACK):
                await watch.done.wait()
        finally:
            self._watches.discard(watch)
        if not watch.done.is_set():
            raise DatabaseUnavailable("the database does not answer", retry_after=5)
        if isinstance(watch.outcome, PagemillError):
            raise watch.outcome
        return watch.outcome or seen

    # --- the poller

    async def run(self) -> None:
        """Look for ever; at nothing while nobody waits."""
        while True:
            await self._needed.wait()
            if not self._watches:
                self._needed = anyio.Event()
                continue
            begun = anyio.current_time()
            await self._round()
            await anyio.sleep(min(max(TICK, REST * (anyio.current_time() - begun)), LONGEST))

    async def _round(self) -> None:
        now = anyio.current_time()
        watches = list(self._watches)
        question = _question(watches, now)
        try:
            answer = await anyio.to_thread.run_sync(self._ask, question, limiter=self._thread)
            self._away = False
        except DatabaseUnavailable as error:
            self._tell_away(error, watches, now)
            return
        except Exception:
            # The edge of this task: it must outlive what it did not expect, or nobody is woken any more.
            logger.exception("looking at watched jobs failed", extra={"action": "wait_failed"})
            return
        for watch in watches:
            _tell(watch, answer, over=watch.until <= now)

    def _tell_away(self, error: DatabaseUnavailable, watches: list[_Watch], now: float) -> None:
        if not self._away:
            logger.warning("those who wait for jobs wait on: %s", error, extra={"action": "wait_blind"})
        self._away = True
        for watch in watches:
            if watch.until <= now:
                watch.finish(DatabaseUnavailable(error.detail, retry_after=error.retry_after))

    def _ask(self, question: _Question) -> _Answer:
        """Blocking. One statement a thousand jobs, and one more for those that somebody wants to see."""
        moves: dict[tuple[str, str], Move] = {}
        jobs: dict[str, Seen] = {}
        with self._database.read() as session:
            for piece in _pieces(question.watched):
                moves |= following.moved(session, piece)
            wanted = {
                seen[0]
                for seen, move in moves.items()
                if move.mark is not None and (move.ended or seen in question.eager)
            }
            for ids in _pieces(sorted(wanted | question.anyway)):
                jobs |= following.look_at(session, ids)
        return _Answer(moves, jobs)


def _pieces(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), PIECE):
        yield items[start : start + PIECE]


def _question(watches: Sequence[_Watch], now: float) -> _Question:
    watched, eager, anyway = set(), set(), set()
    for watch in watches:
        seen = (watch.seen.job.id, watch.mark)
        watched.add(seen)
        if not watch.for_end or watch.until <= now:
            eager.add(seen)
        if watch.until <= now and watch.mark != watch.seen.mark:
            anyway.add(watch.seen.job.id)
    return _Question(sorted(watched), frozenset(eager), frozenset(anyway))


def _tell(watch: _Watch, answer: _Answer, *, over: bool) -> None:
    """Wake the watch where it has got what it waits for, or its time is over; else remember how the job is now."""
    job = watch.seen.job.id
    move = answer.moves.get((job, watch.mark))
    if move is not None and move.mark is None:
        watch.finish(NotFound(f"there is no job {job}", where=job) if move.missing else _gone(job))
        return
    fresh = answer.jobs.get(job)
    if fresh is not None:
        watch.mark = fresh.mark
        if over or (fresh.mark != watch.seen.mark and (not watch.for_end or fresh.job.state in FINAL)):
            watch.finish(fresh)
            return
    elif move is not None and move.mark is not None:
        watch.mark = move.mark
    if over:
        watch.finish()


def _gone(job: str) -> Gone:
    return Gone(f"job {job} was deleted", where=job)


async def unless_gone(request: Request, wait: Callable[[], Awaitable[T]], otherwise: T) -> T:
    """What `wait` gives; `otherwise` as soon as the client has hung up: it will not read the answer."""
    found, failure = otherwise, None

    async def leave() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(leave)
        try:
            found = await wait()
        except PagemillError as error:  # outside of the group, or it would come out as a group of errors
            failure = error
        group.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return found


@asynccontextmanager
async def polling(waits: Waits) -> AsyncIterator[None]:
    """The poller runs while the block does."""
    async with anyio.create_task_group() as group:
        group.start_soon(waits.run)
        yield
        waits.close()
        group.cancel_scope.cancel()
