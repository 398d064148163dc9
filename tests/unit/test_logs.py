"""Lines of logs: what they are about, as JSON and as text."""

import io
import json
import logging
import threading
from contextvars import copy_context
from datetime import datetime

import pytest

from jobs import context, logs
from jobs.errors import StorageUnavailable
from jobs.settings import LogSettings

log = logging.getLogger("workers.somewhere")
PAGE = {"job": "job_1", "document": "doc_1", "page": 3, "attempt": 2}


@pytest.fixture
def said(monkeypatch):
    """`said("json")` sets logging up and returns what is then written."""
    stream = io.StringIO()
    root = logging.getLogger()
    handlers, level, hooks = root.handlers[:], root.level, threading.excepthook
    levels = {name: logging.getLogger(name).level for name in (*logs._OURS, *logs._TOLD_ELSEWHERE)}

    def begin(log_format, log_level="info", **more):
        monkeypatch.setattr("sys.stderr", stream)
        monkeypatch.setattr("sys.excepthook", None)
        logs.set_up(LogSettings(log_format=log_format, log_level=log_level), **more)
        return stream

    yield begin
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    logging.captureWarnings(False)
    threading.excepthook = hooks
    logs._chosen = LogSettings()
    context._process.clear()


def lines(stream):
    return [json.loads(line) for line in filter(None, stream.getvalue().split("\n"))]


def test_a_line_of_json_carries_what_is_being_worked_on(said):
    stream = said("json")
    context.identify(worker="wrk_1")
    with context.about(**PAGE):
        log.warning("page %d failed", 3, extra={"action": "page_failed", "code": "page_timeout"})
    log.info("idle")
    first, second = lines(stream)
    assert datetime.fromisoformat(first.pop("time")).tzinfo is not None
    assert first == {
        "level": "warning", "logger": "workers.somewhere", "message": "page 3 failed", "worker": "wrk_1", **PAGE,
        "action": "page_failed", "code": "page_timeout",
    }  # fmt: skip
    assert second.keys() == {"time", "level", "logger", "message", "worker"}


def test_a_line_of_text_carries_the_same(said):
    stream = said("text")
    with context.about(document="doc_1"):
        log.info("done", extra={"action": "x", "detail": "two words", "empty": ""})
    assert stream.getvalue().endswith(
        'Z INFO workers.somewhere: done document=doc_1 action=x detail="two words" empty=""\n'
    )


def test_what_a_line_says_itself_wins(said):
    stream = said("json")
    with context.about(job="job_1"), context.about(page=1):
        log.info("of another", extra={"job": "job_2"})
    assert {k: v for k, v in lines(stream)[0].items() if k in PAGE} == {"job": "job_2", "page": 1}


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_an_error_has_its_code_and_its_traceback(said, log_format):
    stream = said(log_format)
    try:
        raise StorageUnavailable("the store is away")
    except StorageUnavailable:
        log.exception("cannot")
    if log_format == "json":
        [line] = lines(stream)
        assert (line["code"], line["error"]) == ("storage_unavailable", "StorageUnavailable")
        assert line["traceback"].startswith("Traceback")
        assert "the store is away" in line["traceback"]
    else:
        first, second, *_ = stream.getvalue().splitlines()
        assert first.endswith("cannot code=storage_unavailable")
        assert second == "Traceback (most recent call last):"


def test_whatever_is_logged_is_one_line_of_json(said):
    stream = said("json")
    log.info("a name %s", "\udce4\n\u2028", extra={"thing": object(), "odd": "\ud800", "number": 10**30})
    [line] = lines(stream)
    assert (line["odd"], line["number"]) == ("\\ud800", 10**30)


def test_whatever_is_logged_is_one_line_of_text(said):
    """What others sent began a line of its own; a lone surrogate beside a blank lost the whole line."""
    stream = said("text")
    forged = "2026-01-01T00:00:00.000Z CRITICAL root: gone"
    log.warning("it said: %s", f"no\n{forged}\x1b[2J\r\x00\u2028", extra={"name_": "a \udce4 ü", "esc": "\x1b[31m"})
    [line] = stream.getvalue().split("\n")[:-1]
    assert r"it said: no\n2026" in line
    assert line.endswith(r'\x1b[2J\r\x00\u2028 name_="a \udce4 ü" esc=\x1b[31m')


def test_tracebacks_keep_their_lines_and_nothing_a_terminal_obeys(said):
    stream = said("text")
    try:
        raise ValueError("one\ntwo \x1b[2J")
    except ValueError:
        log.exception("cannot")
    assert stream.getvalue().endswith("ValueError: one\ntwo \\x1b[2J\n")


def test_numbers_that_json_does_not_know_are_null(said):
    stream = said("json")
    log.info("odd", extra={"speed": float("nan"), "list": [float("inf"), 1], "huge": 10**30})
    assert "NaN" not in stream.getvalue()
    assert "Infinity" not in stream.getvalue()
    [line] = lines(stream)
    assert (line["speed"], line["list"], line["huge"]) == (None, [None, 1], 10**30)


def test_levels_are_of_our_own_lines(said):
    stream = said("json", "debug")
    log.debug("ours")
    logging.getLogger("botocore.auth").debug("a signature")
    logging.getLogger("celery.app.trace").info("Task succeeded")
    assert [line["message"] for line in lines(stream)] == ["ours", "Task succeeded"]


def test_a_warning_level_leaves_out_the_rest(said):
    stream = said("json", "warning")
    log.info("no")
    logging.getLogger("celery.worker").info("no")
    log.warning("yes")
    assert [line["message"] for line in lines(stream)] == ["yes"]


def test_celery_says_nothing_of_each_task_beside_our_own_line(said):
    stream = said("json")
    logging.getLogger("celery.app.trace").info("Task succeeded")
    logging.getLogger("celery.app.trace").error("Task raised unexpected", extra={"data": {"args": "()"}})
    [line] = lines(stream)
    assert "data" not in line


def test_a_thread_that_dies_is_a_line(said):
    stream = said("json")
    thread = threading.Thread(target=lambda: {}["x"], name="tick")
    thread.start()
    thread.join()
    [line] = lines(stream)
    assert (line["action"], line["error"], line["message"]) == ("thread_died", "KeyError", "tick ends by an error")


def test_last_words_are_for_people_or_programs(said):
    error = StorageUnavailable("away", where="PAGEMILL_STORE_URL")
    stream = said("text")
    logs.last_words("pagemill worker", error)
    assert stream.getvalue() == "pagemill worker: storage_unavailable: away (PAGEMILL_STORE_URL)\n"
    stream = said("json")
    logs.last_words("pagemill worker", error)
    assert json.loads(stream.getvalue().splitlines()[-1])["code"] == "storage_unavailable"


def test_a_request_learns_on_its_way_whose_it_is():
    def request():
        context.begin(request="r1")
        copy_context().run(context.note, key="key_1")  # on a thread, as FastAPI runs plain functions
        context.note(job="job_1")
        return context.current()

    assert copy_context().run(request) == {"request": "r1", "key": "key_1", "job": "job_1"}
    context.note(job="job_2")
    assert context.current() == {}, "outside of a request there is nothing to note it in"


def test_a_line_for_those_who_write_their_own():
    line = json.loads(logs.json_line("api.x", logging.ERROR, "100 %s", {"action": "worker_ended", "device": "gpu0"}))
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "error", "logger": "api.x", "message": "100 %s", "action": "worker_ended", "device": "gpu0",
    }  # fmt: skip
