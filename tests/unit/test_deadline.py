"""How long an engine may work on a page: its own time only."""

import asyncio

import pytest

from workers.deadline import Deadline

SHORT = 0.05


def test_it_ends_what_takes_too_long():
    async def work():
        async with Deadline(SHORT):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        asyncio.run(work())


def test_a_wait_elsewhere_does_not_count():
    async def work():
        deadline = Deadline(SHORT)
        async with deadline:
            for _ in range(3):
                with deadline.paused():
                    await asyncio.sleep(2 * SHORT)
        return "done"

    assert asyncio.run(work()) == "done"


def test_the_clock_goes_on_after_a_pause():
    async def work():
        deadline = Deadline(SHORT)
        async with deadline:
            with deadline.paused():
                await asyncio.sleep(0)
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        asyncio.run(work())


def test_pauses_may_overlap():
    async def work():
        deadline = Deadline(SHORT)

        async def call(seconds):
            with deadline.paused():
                await asyncio.sleep(seconds)

        async with deadline:
            await asyncio.gather(call(SHORT / 10), call(3 * SHORT), call(2 * SHORT))
        return "done"

    assert asyncio.run(work()) == "done"


def test_a_pause_that_begins_as_time_is_up_changes_nothing():
    async def work():
        deadline = Deadline(0)
        async with deadline:
            await asyncio.sleep(0)  # the timer has fired, its cancellation comes at the next wait
            with deadline.paused():
                await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        asyncio.run(work())


def test_a_cancel_from_outside_stays_a_cancel():
    async def work():
        deadline = Deadline(60)
        async with deadline:
            with deadline.paused():
                await asyncio.Event().wait()

    async def main():
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())
