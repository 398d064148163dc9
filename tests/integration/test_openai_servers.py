"""The client among several servers, under pressure, and with answers that only look like some. Real HTTP servers."""

import asyncio
import threading
import time

import pytest

from jobs.errors import EngineError, EngineUnavailable
from jobs.settings import EngineSettings
from tests.openai_server import OpenAiServer
from workers.engines.base import EngineBusy, NotTaken
from workers.engines.paddleocr_vl.backends.base import Answer, Ask
from workers.engines.paddleocr_vl.backends.openai import OpenAiBackend
from workers.engines.paddleocr_vl.backends.packing import PackedCrop
from workers.engines.paddleocr_vl.backends.replies import Trouble
from workers.engines.paddleocr_vl.backends.servers import LONGEST_PAUSE, Server
from workers.loop import EngineLoop

ASK = Ask("table", 784, 50_176, max_tokens=16)
CROP = PackedCrop("jpeg", 56, 28, b"no server here looks at it")
HELLO = Answer("hello", "stop", 3, 50)


@pytest.fixture
def loop():
    found = EngineLoop()
    found.start()
    yield found
    found.stop()


@pytest.fixture
def backend(loop):
    """Makes backends that are warm, and closes them."""
    made = []

    def make(*servers, **settings):
        given = {"openai_patience": 1.0, "vl_request_timeout": 20.0} | settings
        found = OpenAiBackend(EngineSettings(openai_urls=",".join(server.url for server in servers), **given))
        made.append(found)
        found.start()
        loop.run(found.warm_up())
        for server in servers:
            server.bodies.clear()
        return found

    yield make
    for found in made:
        found.close()


def always(act):
    return lambda handler, _number: act(handler) or True


def read(loop, backend, count=1):
    async def together():
        return await asyncio.gather(*[backend.read(CROP, ASK) for _ in range(count)], return_exceptions=True)

    return loop.run(together())


def slowly(_handler, _number):
    time.sleep(0.05)  # as a model does: slower than an error
    return False


# --- several servers, one of them ill


def test_a_broken_server_does_not_swallow_the_work_of_the_others(loop, backend):
    """It fails at once, so that it always has the fewest requests: it would get every one, and every second try."""
    with OpenAiServer() as ill, OpenAiServer() as well:
        found = backend(ill, well)
        ill.misbehaviour = always(lambda handler: handler.reply(500, b"out of memory"))
        well.misbehaviour = slowly
        assert read(loop, found, 12) == [HELLO] * 12
        asked = len(ill.bodies)
        assert read(loop, found, 12) == [HELLO] * 12
        assert len(ill.bodies) <= asked + 2, "after its failures it is asked now and then, to see whether it is well"


def test_a_server_that_was_broken_gets_work_again(loop, backend):
    with OpenAiServer() as ill, OpenAiServer() as well:
        found = backend(ill, well)
        ill.misbehaviour = always(lambda handler: handler.reply(500, b"out of memory"))
        assert read(loop, found, 4) == [HELLO] * 4
        ill.misbehaviour = lambda _handler, _number: False

        async def until_it_has_work():
            while len(ill.bodies) < 20:
                assert set(await asyncio.gather(*[found.read(CROP, ASK) for _ in range(4)])) == {HELLO}

        before = len(ill.bodies)
        assert before < 20
        loop.run(until_it_has_work())


# --- pressure


def test_pressure_that_lasts_is_not_the_death_of_the_engine(loop, backend):
    """A server that answers 429 lives, however long it does: nobody's attempt, nobody's crash."""
    with OpenAiServer() as server:
        found = backend(server, vl_stall_timeout=1.0, openai_patience=0.8)
        server.misbehaviour = always(lambda handler: handler.reply(429, b"full", retry_after="1"))

        async def pages_without_a_gap():
            watch = asyncio.create_task(found.watch())
            pages = []
            for _ in range(16):
                pages.append(asyncio.create_task(found.read(CROP, ASK)))
                await asyncio.sleep(0.2)
            results = await asyncio.gather(*pages, return_exceptions=True)
            died = watch.done()
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
            return died, results

        died, results = loop.run(pages_without_a_gap())
        assert not died
        assert {type(error) for error in results} == {EngineBusy}


def test_work_that_comes_while_all_are_left_alone_is_no_death_either(loop, backend):
    with OpenAiServer() as server:
        found = backend(server)
        server.misbehaviour = always(lambda handler: handler.reply(429, b"full", retry_after="600"))
        [first] = read(loop, found)
        [later] = read(loop, found)
        assert (type(first), type(later), len(server.bodies)) == (EngineBusy, EngineBusy, 1)


def test_what_a_busy_server_still_answers_does_not_call_off_its_retry_after(loop, backend):
    """At its limit it ends what it has and refuses the next."""
    with OpenAiServer() as busy, OpenAiServer() as free:
        found = backend(busy, free)
        refusing = threading.Event()

        def one_more_and_no_other(handler, number):
            if number == 1:
                refusing.wait(20)
                return False
            handler.reply(429, b"full", retry_after="600")
            refusing.set()
            return True

        busy.misbehaviour = one_more_and_no_other

        async def until_it_refuses():
            answers = [asyncio.create_task(found.read(CROP, ASK))]
            while not refusing.is_set():
                answers.append(asyncio.create_task(found.read(CROP, ASK)))
                await asyncio.sleep(0.02)
            return await asyncio.gather(*answers)

        assert set(loop.run(until_it_refuses())) == {HELLO}
        asked = len(busy.bodies)
        assert read(loop, found, 12) == [HELLO] * 12
        assert len(busy.bodies) == asked


def test_a_server_that_is_away_for_hours_is_no_overflow():
    """Doubling for ever, once for each of hundreds of requests that fail together."""
    server = Server("http://127.0.0.1:9/v1")
    for _ in range(3000):
        server.failed(Trouble("away", "ConnectError"))
    assert server.well_in <= LONGEST_PAUSE


@pytest.mark.parametrize("retry_after", ["0", "Thu, 01 Jan 1970 00:00:00 GMT"])
def test_a_server_that_says_at_once_is_not_hammered(loop, backend, retry_after):
    with OpenAiServer() as server:
        found = backend(server, openai_patience=1.0)
        server.misbehaviour = always(lambda handler: handler.reply(429, b"full", retry_after=retry_after))
        [error] = read(loop, found)
        assert isinstance(error, EngineBusy)
        assert len(server.bodies) <= 4


@pytest.mark.parametrize("retry_after", ["\u00b2", "soon", "", "-1", "Thu, 01 Jan 99999 00:00:00 GMT"])
def test_a_retry_after_of_no_sense_is_none(loop, backend, retry_after):
    with OpenAiServer() as server:
        found = backend(server, openai_patience=0.3)
        server.misbehaviour = always(lambda handler: handler.reply(503, b"full", retry_after=retry_after))
        [error] = read(loop, found)
        assert isinstance(error, EngineBusy)


# --- whose fault a status is


@pytest.mark.parametrize("status", [301, 307, 402, 409, 418, 425])
def test_a_status_that_says_nothing_of_the_crop_is_no_pages_fault(loop, backend, status):
    """A moved address, an account without money: every page would fail for good."""
    with OpenAiServer() as server:
        found = backend(server, openai_patience=0.3)
        server.misbehaviour = always(lambda handler: handler.reply(status, b"elsewhere", location="http://127.0.0.1:9"))
        [error] = read(loop, found)
        assert isinstance(error, EngineUnavailable | NotTaken), repr(error)


# --- answers


@pytest.mark.parametrize("reason", ["abort", "error", "content_filter"])
def test_an_answer_that_was_broken_off_is_none(loop, backend, reason):
    """A server that goes down says `abort`, with what it had so far."""
    with OpenAiServer() as server:
        found = backend(server)

        def first_broken_off(handler, number):
            handler.owner.finish_reason = reason if number == 1 else "stop"
            return False

        server.misbehaviour = first_broken_off
        assert read(loop, found) == [HELLO]
        assert len(server.bodies) == 2


def test_an_answer_of_a_thousand_brackets_is_none(loop, backend):
    with OpenAiServer() as server:
        found = backend(server)
        server.misbehaviour = lambda handler, number: number == 1 and (handler.reply(200, b"[" * 100_000) or True)
        assert read(loop, found) == [HELLO]


def test_half_a_surrogate_pair_does_not_cost_the_page(loop, backend):
    """JSON can say it, and nothing that stores a page can keep it."""
    with OpenAiServer() as server:
        found = backend(server)
        body = b'{"choices": [{"message": {"content": "a\\ud83db\\u0000c"}, "finish_reason": "stop"}]}'
        server.misbehaviour = always(lambda handler: handler.reply(200, body))
        [answer] = read(loop, found)
        assert answer.text == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c"


def test_a_passing_failure_of_the_only_server_is_waited_out(loop, backend):
    """Two tries within a millisecond are one."""
    with OpenAiServer() as server:
        found = backend(server, openai_patience=5.0)
        began = []

        def ill_for_a_moment(handler, _number):
            began.append(time.monotonic())
            if began[-1] - began[0] < 0.3:
                handler.reply(500, b"a worker of it is being replaced")
                return True
            return False

        server.misbehaviour = ill_for_a_moment
        assert read(loop, found, 4) == [HELLO] * 4


def test_a_crop_that_stays_broken_is_still_the_pages_fault(loop, backend):
    with OpenAiServer() as one, OpenAiServer() as other:
        found = backend(one, other)

        def ill_for_pages(handler, number):
            asked = handler.owner.bodies[number - 1]["messages"][0]["content"][1]["text"]
            return asked == "Table Recognition:" and (handler.reply(500, b"oops") or True)

        one.misbehaviour = other.misbehaviour = ill_for_pages
        [error] = read(loop, found)
        assert type(error) is EngineError
        assert len(one.bodies) + len(other.bodies) <= 4, "two tries and a probe, which may need both"


# --- starts


def test_a_server_too_short_for_the_answers_is_no_start(backend):
    """It reads the probe and answers 400 to pages: "max_completion_tokens cannot be greater than max_model_len"."""
    with OpenAiServer() as server:
        server.model = {"max_model_len": 4095}
        with pytest.raises(EngineUnavailable, match="max-model-len is 4095, answers may have 4096 tokens") as raised:
            backend(server)
        assert raised.value.where == "PAGEMILL_VL_MAX_TOKENS"
        backend(server, vl_max_tokens=4095)


def test_a_server_that_is_busy_when_the_worker_starts_is_one(loop, backend):
    """Nothing was read yet; but whoever has too much to do reads, and a worker that gives up adds nothing."""
    with OpenAiServer(always(lambda handler: handler.reply(429, b"full", retry_after="1"))) as server:
        found = backend(server)
        server.misbehaviour = lambda _handler, _number: False
        assert read(loop, found) == [HELLO]
