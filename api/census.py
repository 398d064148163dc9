"""The numbers of the database and the broker for Prometheus, asked for when they are scraped and kept for seconds.

A look costs a pass over the rows of `job` and some partial indexes (jobs/store/census.py). So that it costs a twentieth
of one connection's time however many jobs there are, one that was slow is kept for longer, up to a minute.

A database that hangs never answers and never refuses. So a thread looks, one at a time, and a scrape waits for it for
seconds only: nobody's scrape hangs with it, nor the listener, whose connections are few.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import Any

from prometheus_client.metrics_core import Metric as Family

from jobs import metrics
from jobs.dispatch import WINDOW
from jobs.errors import DatabaseUnavailable
from jobs.metrics import Metric
from jobs.queue import BROKER_ERRORS, Doorbell, recognize_queue
from jobs.spending import Price
from jobs.store.census import Census, census
from jobs.store.database import Database

log = logging.getLogger(__name__)

FRESH = 5.0
"""Seconds for which a look counts: no more than one for each of several Prometheus servers."""
SHARE = 20
"""And so many times what it took."""
LONGEST = 60.0
"""But no longer: one that waited for something is no measure of what the next will take."""
PATIENCE = 4.0
"""Seconds that a scrape waits for each of the two: together less than the usual time-out of a scrape."""
SILENT = 30.0
"""Seconds after which a worker that has said nothing reads nothing: `heartbeat_stale`, as the workers have it."""
_QUEUES = ("split", "assemble", "deliver")


class CensusTaker:
    """A collector of prometheus_client. Thread-safe; scrapes that come together ask once."""

    def __init__(
        self,
        database: Database,
        bell: Doorbell,
        engines: Iterable[str],
        price: Price | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`engines`: whose queues are looked at."""
        self._database, self._bell, self._price, self._clock = database, bell, price, clock
        self._queues = [*map(recognize_queue, engines), *_QUEUES]
        self._looks = [
            _Look(self._of_database, _family(metrics.DATABASE_UP, {(): 0}), clock),
            _Look(self._of_broker, _family(metrics.BROKER_UP, {(): 0}), clock),
        ]

    def collect(self) -> Iterable[Family]:
        for look in self._looks:
            yield from look.told()
        if self._price is not None:
            yield _family(metrics.PRICE, {(self._price.currency,): self._price.per_gpu_hour})

    def _of_database(self) -> list[Family]:
        """Raises _Away. Nothing is said of what is away then: what it said before would be taken for true."""
        begun = self._clock()
        try:
            with self._database.read() as session:
                found = census(session, SILENT)
        except DatabaseUnavailable as error:
            raise _Away("database") from error
        up = _family(metrics.DATABASE_UP, {(): 1})
        return [up, _family(metrics.CENSUS_SECONDS, {(): self._clock() - begun}), *_told(found)]

    def _of_broker(self) -> list[Family]:
        try:
            lengths = self._bell.lengths(self._queues)
        except BROKER_ERRORS as error:
            raise _Away("broker") from error
        return [_family(metrics.BROKER_UP, {(): 1}), _family(metrics.QUEUE_MESSAGES, lengths)]


class _Away(Exception):
    """A part of the service does not answer; which one."""


class _Look:
    """What one part of the service says, kept while it is fresh."""

    def __init__(self, ask: Callable[[], list[Family]], away: Family, clock: Callable[[], float]) -> None:
        """`away`: all that is said while it does not answer."""
        self._ask, self._away, self._clock = ask, away, clock
        self._lock = threading.Lock()
        self._found: Future[list[Family]] | None = None
        self._fresh_until = float("-inf")

    def told(self) -> list[Family]:
        """Raises what nobody expected."""
        with self._lock:
            if self._found is None or (self._found.done() and self._clock() >= self._fresh_until):
                self._found = Future()
                threading.Thread(target=self._look, args=(self._found,), name="census", daemon=True).start()
            found = self._found
        try:
            return found.result(timeout=PATIENCE)
        except TimeoutError:
            return [self._away]

    def _look(self, found: Future[list[Family]]) -> None:
        begun = self._clock()
        try:
            families = self._ask()
        except _Away as away:
            log.warning("no metrics of the %s: %s", away, away.__cause__, extra={"action": "census_failed"})
            self._fresh_until = self._clock() + FRESH
            found.set_result([self._away])
        except Exception as error:  # noqa: BLE001 - raised again where it is waited for
            found.set_exception(error)
        else:
            ended = self._clock()
            self._fresh_until = ended + min(LONGEST, max(FRESH, SHARE * (ended - begun)))
            found.set_result(families)


def _told(found: Census) -> Iterable[Family]:
    yield _family(metrics.PAGES, found.pages)
    yield _family(metrics.DOCUMENTS, found.documents)
    yield _family(metrics.JOBS, found.jobs)
    yield _family(metrics.PAGES_READ, {(): found.pages_read})
    yield _family(metrics.PAGES_FAILED, found.pages_failed)
    yield _family(metrics.DOCUMENTS_FAILED, found.documents_failed)
    yield _family(metrics.BACKLOG_PAGES, found.backlog)
    yield _family(metrics.BACKLOG_AGE, found.ages)
    yield _family(metrics.BACKLOG_ETA, found.eta)
    yield _family(metrics.PACE, found.pace)
    engines = found.capacity | found.rung
    yield _family(metrics.WINDOW_PAGES, {engine: found.rung.get(engine, 0) for engine in engines})
    yield _family(metrics.WINDOW_LIMIT, {engine: WINDOW * total for engine, total in found.capacity.items()})
    yield _family(metrics.PAGES_HELD, {engine: found.held.get(engine, 0) for engine in engines})
    yield _family(metrics.WORKERS, found.workers)
    yield _family(metrics.CAPACITY, found.capacity)
    yield _family(metrics.HEARTBEAT_AGE, found.heartbeats)
    yield _family(metrics.PAUSED_OWNERS, {(): found.paused})
    yield _family(metrics.WEBHOOKS_DUE, {(): found.webhooks_due})
    yield _family(metrics.WEBHOOK_AGE, {(): found.webhook_age})


def _family(metric: Metric, values: Mapping[Any, float]) -> Family:
    """Values by the labels' values: a tuple, or a text where there is one label."""
    family = metric.family()
    for labels, value in values.items():
        family.add_metric([str(labels)] if isinstance(labels, str) else list(labels), value)
    return family
