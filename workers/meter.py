"""What a worker counts of what it does, for Prometheus (jobs/metrics.py says what each number is)."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric as Family

from jobs import metrics
from jobs.metrics import Stage
from jobs.store.recording import Outcome, Recorded
from workers.presence import Presence

_TIMED: Mapping[str, Stage] = {"render": Stage.RENDER, "layout": Stage.LAYOUT, "recognize": Stage.RECOGNISE}
"""Stages by the names that engines give their seconds in `PageResult.timings`."""


class Meter:
    """One per worker process. Thread-safe. What is counted for each page is bound once, here."""

    def __init__(self, *, reads: bool = True) -> None:
        """`reads`: there is, or will be, an engine."""
        self.registry = registry = CollectorRegistry()
        self.presence = Presence()
        self._pages = metrics.PAGES_RECORDED.counter(registry)
        self._retries = metrics.RETRIES.counter(registry)
        self._crashes = metrics.CRASHES.counter(registry)
        self._late = metrics.LATE.counter(registry)
        self._tokens = metrics.TOKENS.counter(registry)
        self._owner_seconds = metrics.OWNER_ENGINE_SECONDS.counter(registry)
        self._owner_tokens = metrics.OWNER_TOKENS.counter(registry)
        stages = metrics.STAGE_SECONDS.histogram(registry)
        self._stages = {stage: stages.labels(stage.value).observe for stage in Stage}
        documents = metrics.DOCUMENT_SECONDS.histogram(registry)
        self._documents = {stage: documents.labels(stage).observe for stage in ("split", "assemble")}
        self.who: Callable[[], Mapping[str, str]] | None = None
        """The labels of pagemill_worker_info, asked at each scrape: a worker that was declared dead has a new name."""
        registry.register(_Asked(self, reads=reads))

    def has_engine(self, capacity: int, sequences: int | None) -> None:
        """The engine is up. `sequences`: what a resident vLLM runs at once."""
        metrics.ENGINE_CAPACITY.gauge(self.registry).set(capacity)
        if sequences is not None:
            metrics.ENGINE_SEQUENCES.gauge(self.registry).set(sequences)

    def stage(self, stage: Stage, seconds: float) -> None:
        self._stages[stage](seconds)

    def document(self, stage: str, seconds: float) -> None:
        """`split` or `assemble`."""
        self._documents[stage](seconds)

    def read(self, timings: Mapping[str, float], inside: float) -> None:
        """A page was read: the engine's own seconds by stage; where it does not tell its reading, those inside."""
        for name, stage in _TIMED.items():
            seconds = timings.get(name)
            if seconds is not None:
                self._stages[stage](seconds)
        if "recognize" not in timings:
            self._stages[Stage.RECOGNISE](inside)

    def recorded(self, recorded: Recorded) -> None:
        """A group of outcomes is in the database: count those that counted there, and none twice."""
        for key, number in Tally(map(_kind, recorded.kept)).items():
            state, code, crashes = key
            if state == "pending":
                self._retries.labels(code or "handed_back").inc(number)
            else:
                self._pages.labels(state, code).inc(number)
            if crashes:
                self._crashes.inc(crashes * number)
        if recorded.late:
            self._late.inc(recorded.late)
        self._spend(recorded.kept)

    def _spend(self, outcomes: Sequence[Outcome]) -> None:
        micros: Tally[str] = Tally()
        tokens: Tally[tuple[str, str]] = Tally()
        for outcome in outcomes:
            owner, spent = outcome.page.document.owner, outcome.spent
            micros[owner] += spent.engine_micros
            if spent.tokens_in or spent.tokens_out:
                tokens[owner, "in"] += spent.tokens_in
                tokens[owner, "out"] += spent.tokens_out
        for owner, number in micros.items():
            self._owner_seconds.labels(owner).inc(number / 1e6)
        for (owner, direction), number in tokens.items():
            self._owner_tokens.labels(owner, direction).inc(number)
            self._tokens.labels(direction).inc(number)


def _kind(outcome: Outcome) -> tuple[str, str, int]:
    code = outcome.error.get("code", "") if outcome.error else ""
    return outcome.state, str(code), outcome.crashes


class _Asked:
    """What is asked at each scrape: nothing is counted in between."""

    def __init__(self, meter: Meter, *, reads: bool) -> None:
        self._meter = meter
        self._reads = reads

    def collect(self) -> Iterable[Family]:
        if self._meter.who is not None:
            labels = self._meter.who()
            info = metrics.WORKER_INFO.family()
            info.add_metric([labels[name] for name in metrics.WORKER_INFO.labels], 1)
            yield info
        if self._reads:
            yield from self._engine()

    def _engine(self) -> Iterable[Family]:
        totals = self._meter.presence.totals()
        seconds = metrics.ENGINE_SECONDS.family()
        for state, value in totals.seconds.items():
            seconds.add_metric([state.value], value)
        page_seconds = metrics.ENGINE_PAGE_SECONDS.family()
        page_seconds.add_metric([], totals.page_seconds)
        places = metrics.WORKER_PAGES.family()
        for place, pages in totals.places.items():
            places.add_metric([place.value], pages)
        return seconds, page_seconds, places
