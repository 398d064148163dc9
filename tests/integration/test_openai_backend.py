"""The backend for OpenAI-compatible servers, against real HTTP servers that misbehave."""

import asyncio
import base64
import io
import threading

import pytest
from PIL import Image

from jobs.errors import EngineError, EngineUnavailable, PageTimeout
from jobs.settings import EngineSettings
from tests.certificates import certificate
from tests.openai_server import OpenAiServer
from workers.engines.base import EngineBusy, NotTaken
from workers.engines.paddleocr_vl.backends.base import Answer, Ask, Refused
from workers.engines.paddleocr_vl.backends.openai import OpenAiBackend
from workers.engines.paddleocr_vl.backends.packing import pack
from workers.loop import EngineLoop

ASK = Ask("table", 784, 50_176, max_tokens=16)
CROP = pack(Image.new("RGB", (56, 28), "white"), "png")


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
        given = {"openai_patience": 1.0, "openai_image": "png", "vl_request_timeout": 20.0} | settings
        found = OpenAiBackend(EngineSettings(openai_urls=",".join(server.url for server in servers), **given))
        made.append(found)
        found.start()
        loop.run(found.warm_up())
        for server in servers:
            server.bodies.clear()
            server.keys.clear()
        return found

    yield make
    for found in made:
        found.close()


def always(act):
    """Misbehaves from now on; the warm-up was served."""
    return lambda handler, _number: act(handler) or True


def read(loop, backend, count=1):
    async def together():
        return await asyncio.gather(*[backend.read(CROP, ASK) for _ in range(count)], return_exceptions=True)

    return loop.run(together())


# --- what is sent and understood


def test_a_request_says_what_the_model_was_trained_on(loop, backend):
    with OpenAiServer() as server:
        found = backend(server, openai_key="secret", vl_temperature=0.1, vl_top_p=0.95, openai_bounds=True)
        assert read(loop, found) == [Answer("hello", "stop", 3, 50)]
        [body] = server.bodies
        image, text = body["messages"][0]["content"]
        kind, _, data = image["image_url"]["url"].partition(";base64,")
        assert (kind, Image.open(io.BytesIO(base64.b64decode(data))).size) == ("data:image/png", (56, 28))
        assert text == {"type": "text", "text": "Table Recognition:"}
        assert (body["model"], body["max_completion_tokens"]) == ("tiny", 16)
        assert (body["temperature"], body["top_p"]) == (0.1, 0.95)
        assert body["mm_processor_kwargs"] == {"min_pixels": 784, "max_pixels": 50_176}
        assert server.keys == ["Bearer secret"]


def test_bounds_are_sent_only_where_wanted(loop, backend):
    """vLLM's server answers 400 to them, unless it was told to trust its clients."""
    with OpenAiServer() as server:
        read(loop, backend(server))
        assert "mm_processor_kwargs" not in server.bodies[0]
        assert server.bodies[0]["skip_special_tokens"] is True


def test_a_plain_server_gets_nothing_that_it_does_not_know(loop, backend):
    with OpenAiServer() as server:
        read(loop, backend(server, openai_flavor="plain"))
        known = {"model", "messages", "max_completion_tokens", "temperature", "top_p"}
        assert set(server.bodies[0]) == known


def test_an_answer_cut_at_the_limit_says_so(loop, backend):
    with OpenAiServer() as server:
        found = backend(server)
        server.finish_reason = "length"
        assert read(loop, found) == [Answer("hello", "length", 3, 50)]


def test_connections_are_used_again(loop, backend):
    with OpenAiServer() as server:
        found = backend(server)
        for _ in range(10):
            assert read(loop, found) == [Answer("hello", "stop", 3, 50)]
        assert server.connections == 1


# --- several servers


def test_the_server_with_fewer_requests_gets_the_next(loop, backend):
    """One hangs with what it has; all further ones go to the other."""
    release = threading.Event()
    with OpenAiServer() as slow, OpenAiServer() as quick:
        found = backend(slow, quick)
        slow.misbehaviour = lambda _handler, _number: not release.wait(60)

        async def twelve():
            tasks = [asyncio.create_task(found.read(CROP, ASK)) for _ in range(2)]
            while not slow.bodies:
                await asyncio.sleep(0.01)
            answers = [await found.read(CROP, ASK) for _ in range(10)]
            release.set()
            return answers + await asyncio.gather(*tasks)

        assert loop.run(twelve()) == [Answer("hello", "stop", 3, 50)] * 12
        assert (len(slow.bodies), len(quick.bodies)) == (1, 11)


def test_concurrency_is_bounded(loop, backend):
    release, inside = threading.Event(), []
    with OpenAiServer() as server:
        found = backend(server, vl_concurrency=3)

        def hold(_handler, _number):
            inside.append(1)
            release.wait(60)
            return False

        server.misbehaviour = hold

        async def ten():
            tasks = [asyncio.create_task(found.read(CROP, ASK)) for _ in range(10)]
            while len(inside) < 3:
                await asyncio.sleep(0.01)
            for _ in range(20):  # whatever would come further has come by now
                await asyncio.sleep(0.01)
            together = len(inside)
            release.set()
            await asyncio.gather(*tasks)
            return together

        assert loop.run(ten()) == 3


def test_a_busy_server_is_left_alone_as_long_as_it_says(loop, backend):
    with OpenAiServer() as busy, OpenAiServer() as free:
        found = backend(busy, free)
        busy.misbehaviour = always(lambda handler: handler.reply(429, {"error": "slow down"}, retry_after="600"))
        assert read(loop, found, 6) == [Answer("hello", "stop", 3, 50)] * 6
        before = len(busy.bodies)
        assert read(loop, found, 6) == [Answer("hello", "stop", 3, 50)] * 6
        assert (before <= 3, len(busy.bodies)) == (True, before)


def test_a_server_that_is_gone_is_no_trouble_while_there_is_another(loop, backend):
    with OpenAiServer() as gone, OpenAiServer() as there:
        found = backend(gone, there)
        gone.close()
        assert read(loop, found, 8) == [Answer("hello", "stop", 3, 50)] * 8
        assert len(there.bodies) == 8


# --- what goes wrong, and whose fault it is


def test_a_passing_failure_is_tried_again(loop, backend):
    with OpenAiServer() as server:
        found = backend(server)
        server.misbehaviour = lambda handler, number: number == 1 and (handler.reply(500, b"oops") or True)
        assert read(loop, found) == [Answer("hello", "stop", 3, 50)]
        assert len(server.bodies) == 2


def test_too_busy_for_everybody_is_back_pressure_and_no_pages_fault(loop, backend):
    with OpenAiServer() as server:
        found = backend(server, openai_patience=0.2)
        server.misbehaviour = always(lambda handler: handler.reply(503, b"full", retry_after="30"))
        [error] = read(loop, found)
        assert isinstance(error, EngineBusy)
        assert error.detail == "every server has too much to do: HTTP 503: full"


def only_for_pages(act):
    """Ill for what the test asks, well for the backend's own probe."""

    def misbehave(handler, number):
        asked = handler.owner.bodies[number - 1]["messages"][0]["content"][1]["text"]
        return asked == "Table Recognition:" and (act(handler) or True)

    return misbehave


BROKEN = {
    "500": (lambda handler: handler.reply(500, b"oops"), "HTTP 500: oops"),
    "garbage": (lambda handler: handler.reply(200, b"<html>what?"), "an answer that is none: <html>what?"),
    "no choice": (lambda handler: handler.reply(200, {"choices": []}), 'an answer that is none: {"choices": []}'),
    "no text": (lambda handler: handler.reply(200, {"choices": [{"message": {}}]}), "an answer that is none"),
    "half": (lambda handler: handler.half(), "RemoteProtocolError: peer closed connection"),
    "nothing": (lambda handler: handler.nothing(), "RemoteProtocolError: Server disconnected"),
}  # fmt: skip


@pytest.mark.parametrize(("act", "words"), BROKEN.values(), ids=BROKEN)
def test_a_crop_that_a_well_server_cannot_read_is_the_pages_fault(loop, backend, act, words):
    with OpenAiServer() as server:
        found = backend(server)
        server.misbehaviour = only_for_pages(act)
        [error] = read(loop, found)
        assert type(error) is EngineError
        assert error.detail.startswith(f"the model's server cannot read a part of this page: {words}")
        server.misbehaviour = lambda _handler, _number: False
        assert read(loop, found) == [Answer("hello", "stop", 3, 50)], "the engine is well"


@pytest.mark.parametrize(("act", "words"), BROKEN.values(), ids=BROKEN)
def test_a_server_that_reads_nothing_any_more_is_a_dead_engine(loop, backend, act, words):
    with OpenAiServer() as server:
        found = backend(server)
        server.misbehaviour = always(act)
        [error] = read(loop, found)
        assert type(error) is EngineUnavailable
        assert error.detail.startswith(f"no server answers: {words}")
        [later] = read(loop, found)
        assert isinstance(later, NotTaken), "what comes later was never inside"


def test_a_refused_crop_is_not_tried_again(loop, backend):
    with OpenAiServer() as server:
        found = backend(server)
        server.misbehaviour = always(lambda handler: handler.reply(400, {"error": {"message": "too long"}}))
        [error] = read(loop, found)
        assert (type(error), error.retryable, len(server.bodies)) == (Refused, False, 1)
        assert "too long" in error.detail


def test_no_server_any_more_is_a_dead_engine_that_was_never_entered(loop, backend):
    with OpenAiServer() as server:
        found = backend(server, openai_patience=0.2)
        server.close()
        errors = read(loop, found, 3)
        assert {type(error) for error in errors} == {NotTaken}, "also of those that heard of it from another"
        assert "no server answers: ConnectError" in errors[0].detail


def test_a_request_has_a_timeout(loop, backend):
    release = threading.Event()
    with OpenAiServer() as server:
        found = backend(server, vl_request_timeout=0.3)
        server.misbehaviour = lambda _handler, _number: not release.wait(60)
        [error] = read(loop, found)
        release.set()
        assert (type(error), error.limit) == (PageTimeout, 0.3)


def test_a_server_that_hangs_is_found_out_by_the_watch(loop, backend, monkeypatch):
    monkeypatch.setattr("workers.engines.paddleocr_vl.backends.openai.PROBE_TIMEOUT", 0.3)
    release = threading.Event()
    with OpenAiServer() as server:
        found = backend(server, vl_stall_timeout=0.3)
        server.misbehaviour = lambda _handler, _number: not release.wait(60)

        async def watched():
            page = asyncio.create_task(found.read(CROP, ASK))
            await asyncio.sleep(0)
            results = await asyncio.gather(found.watch(), page, return_exceptions=True)
            return [(type(error), error.detail) for error in results]

        died = "no answer for 0.3 seconds while crops wait for one"
        assert loop.run(watched()) == [(EngineUnavailable, died)] * 2
        release.set()


# --- starts that fail


def test_nobody_there(loop, backend):
    with OpenAiServer() as server:
        url = server.url
    found = OpenAiBackend(EngineSettings(openai_urls=url))
    found.start()
    with pytest.raises(EngineUnavailable, match="ConnectError") as raised:
        loop.run(found.warm_up())
    assert raised.value.where == "PAGEMILL_OPENAI_URLS"
    found.close()


def test_a_model_that_is_not_served(backend):
    with (
        OpenAiServer() as server,
        pytest.raises(EngineUnavailable, match="no server has a model 'large'; served: tiny"),
    ):
        backend(server, openai_model="large")


def test_no_urls():
    with pytest.raises(EngineUnavailable, match="no server is named"):
        OpenAiBackend(EngineSettings(openai_urls=" , ")).start()


def test_a_server_that_cannot_read_is_no_start(backend):
    ill = OpenAiServer(always(lambda handler: handler.reply(500, b"no memory")))
    with ill as server, pytest.raises(EngineUnavailable, match=r"the first crop could not be read: .*no memory"):
        backend(server)


def test_a_server_with_an_authority_of_ones_own_is_trusted_where_the_environment_says_so(
    loop, backend, tmp_path, monkeypatch
):
    pem = certificate(tmp_path, "localhost")
    with OpenAiServer(tls=pem) as server:
        with pytest.raises(EngineUnavailable, match=r"(?i)certificate"):
            backend(server, openai_patience=0.1)
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        [answer] = read(loop, backend(server))
    assert answer.text == "hello"
