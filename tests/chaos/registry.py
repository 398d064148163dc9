"""The table of faults: name, function, where it is possible."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.chaos.load import Load
from tests.chaos.plans import FaultPlan
from tests.chaos.stage import ChaosWorker, Stage


@dataclass
class Scene:
    """What a fault gets to see."""

    stage: Stage
    load: Load
    plan: FaultPlan
    violations: list[str] = field(default_factory=list)
    missed: bool = False
    """It did not come to it, and does not count."""

    @property
    def seconds(self) -> float:
        return self.plan.seconds

    @property
    def worker(self) -> ChaosWorker:
        """The victim, which serves; where it does not within a while, the next one that does."""
        workers = self.stage.workers
        first = workers[self.plan.victim % len(workers)]
        if self.stage.until(first.serves, 15):
            return first
        return next(worker for worker in workers if worker.running)


Act = Callable[[Scene], None]


@dataclass(frozen=True)
class Fault:
    kind: str
    act: Act
    """Returns when the fault is over: when what was away is back."""
    possible: Callable[[Stage], bool]


FAULTS: dict[str, Fault] = {}


def fault(possible: Callable[[Stage], bool] = lambda _stage: True) -> Callable[[Act], Act]:
    """Enter a function under its own name."""

    def enter(act: Act) -> Act:
        FAULTS[act.__name__] = Fault(act.__name__, act, possible)
        return act

    return enter


def on_postgres(stage: Stage) -> bool:
    return stage.postgres is not None


def on_sqlite(stage: Stage) -> bool:
    return stage.postgres is None
