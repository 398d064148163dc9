"""CPU time by step: each step without the steps inside it, so that their sum is what was measured."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from functools import wraps
from typing import Any


class Stopwatch:
    """Wraps functions where they are looked up. For one thread, by its CPU clock: waiting is no time."""

    def __init__(self, clock: Callable[[], int] = time.thread_time_ns) -> None:
        """`clock`: nanoseconds."""
        self._clock = clock
        self._inner: list[int] = []
        """Of the steps that are open, outermost first: nanoseconds of the steps inside them."""
        self._spent: Counter[str] = Counter()

    def watch(self, owner: Any, name: str, step: str) -> None:
        """From now on what `owner.name(...)` takes is time of `step`. Raises AttributeError where there is no such."""
        function = getattr(owner, name)

        @wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            begun = self._clock()
            self._inner.append(0)
            try:
                return function(*args, **kwargs)
            finally:
                taken = self._clock() - begun
                self._spent[step] += taken - self._inner.pop()
                if self._inner:
                    self._inner[-1] += taken

        setattr(owner, name, timed)

    def read(self) -> dict[str, float]:
        """CPU seconds by step since the last reading; steps that are open count from the next one on."""
        spent, self._spent = self._spent, Counter()
        return {step: nanoseconds / 1e9 for step, nanoseconds in spent.items()}
