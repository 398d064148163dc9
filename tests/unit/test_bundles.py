"""What came while others were worked on goes together, in order."""

import functools
import operator
import threading
from concurrent.futures import ThreadPoolExecutor

from workers.bundles import THREADS, Bundles


class Work:
    """Bundles as they were handed out; every one is held up until `go`."""

    def __init__(self) -> None:
        self.bundles: list[list[int]] = []
        self.go = threading.Event()
        self.begun = threading.Semaphore(0)
        self._lock = threading.Lock()

    def __call__(self, bundle: list[int]) -> None:
        with self._lock:
            self.bundles.append(bundle)
        self.begun.release()
        self.go.wait(10)


def test_what_came_meanwhile_goes_together():
    work = Work()
    with ThreadPoolExecutor(8) as threads:
        bundles = Bundles(threads, work, size=3)
        for number in range(THREADS):
            bundles.add(number)
            work.begun.acquire(timeout=10)
        for number in range(THREADS, 10):
            bundles.add(number)
        work.go.set()
    assert sorted(map(len, work.bundles)) == [1] * THREADS + [2, 3, 3]
    assert sorted(functools.reduce(operator.iadd, work.bundles, [])) == list(range(10))
    assert all(bundle == sorted(bundle) for bundle in work.bundles)


def test_one_by_one_all_threads_work():
    work = Work()
    with ThreadPoolExecutor(4) as threads:
        bundles = Bundles(threads, work, size=1)
        for number in range(6):
            bundles.add(number)
        for _ in range(4):
            assert work.begun.acquire(timeout=10)
        work.go.set()
    assert sorted(work.bundles) == [[number] for number in range(6)]


def test_it_begins_again_after_a_pause():
    work = Work()
    work.go.set()
    with ThreadPoolExecutor(2) as threads:
        bundles = Bundles(threads, work, size=4)
        for number in range(50):
            bundles.add(number)
            assert work.begun.acquire(timeout=10)
    assert work.bundles == [[number] for number in range(50)]


def test_it_goes_on_behind_what_it_did_not_expect():
    begun, done = threading.Semaphore(0), []

    def work(bundle: list[int]) -> None:
        begun.release()
        if bundle[0] < 2 * THREADS:
            raise RuntimeError("a bug")
        done.extend(bundle)

    with ThreadPoolExecutor(4) as threads:
        bundles = Bundles(threads, work, size=2)
        for number in range(2 * THREADS + 1):
            bundles.add(number)
            assert begun.acquire(timeout=10)
    assert done == [2 * THREADS]
