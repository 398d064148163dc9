"""When an error is tried again: one policy for pages and documents."""

from __future__ import annotations

from dataclasses import dataclass

from jobs.settings import TimerSettings, WorkerSettings


@dataclass(frozen=True, slots=True)
class Backoff:
    """`first` seconds before the second try, doubling up to `longest`; `tries` in all."""

    first: float
    longest: float
    tries: int

    def after(self, errors: int) -> float:
        """Seconds to wait when it failed `errors` times before and now once more."""
        return float(min(self.longest, self.first * 2 ** min(errors, 30)))

    def exhausted(self, errors: int) -> bool:
        """Whether this failure, after `errors` earlier ones, was the last try."""
        return errors + 1 >= self.tries


def backoff_of(timers: TimerSettings, worker: WorkerSettings) -> Backoff:
    return Backoff(timers.scaled("backoff_base"), timers.scaled("backoff_max"), worker.max_errors)
