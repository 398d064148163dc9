"""Valkey is killed, emptied or frozen in the middle of jobs: it is a doorbell, and somebody rings again."""


def test_kill_9_of_valkey(chaos, broker):
    """Again and again; it comes back empty. The worker stays: nothing that Celery does about it may end the engine."""
    worker = chaos.worker()
    chaos.load()
    for share in (0.05, 0.15, 0.25, 0.35, 0.45, 0.55):
        chaos.progress(share)
        broker.kill()
        broker.start()
    chaos.settle()
    assert len(chaos.mill.workers()) == 1
    assert worker.terminate() == 0


def test_flushall(chaos, broker):
    chaos.worker()
    chaos.worker()
    chaos.load()
    for share in (0.05, 0.2, 0.4, 0.6):
        chaos.progress(share)
        broker.flush()
    chaos.settle()


def test_frozen_valkey(chaos, broker):
    """Longer than anybody waits for an answer."""
    worker = chaos.worker()
    chaos.load()
    chaos.progress(0.3)
    broker.freeze()
    chaos.mill.until(lambda: "the broker is away" in worker.output(), "the worker to notice")
    broker.thaw()
    chaos.settle()
