"""Logs of every process: one line an event on stderr, as text or as JSON, each with what it is about (docs/logs.md).

Lines of libraries go the same way (Celery, uvicorn, warnings of Python), and so do errors that end a thread or the
process. What other code writes to stderr itself (native libraries, a dying interpreter) stays as it is.
"""

from __future__ import annotations

import json
import logging
import math
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import orjson

from jobs import context
from jobs.errors import PagemillError
from jobs.settings import LogSettings

log = logging.getLogger(__name__)

_OURS = ("api", "jobs", "workers")
_PLAIN = frozenset(vars(logging.makeLogRecord({})))
# What libraries hang on their lines: Celery a copy of the message's arguments, uvicorn the line in colours.
_LEFT_OUT = _PLAIN | {"message", "asctime", "data", "color_message", "taskName"}
# A line of ours says how each task ended, and what about (workers/tasks.py).
_TOLD_ELSEWHERE = ("celery.worker.strategy", "celery.app.trace")

_chosen = LogSettings()


def set_up(settings: LogSettings, least: int = logging.DEBUG) -> None:
    """For the whole process. `least`: of what this kind of process tells at all."""
    global _chosen
    _chosen = settings
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if settings.log_format == "json" else _Text())
    level = max(least, logging.getLevelNamesMapping()[settings.log_level.upper()])
    root = logging.getLogger()
    for before in root.handlers[:]:
        root.removeHandler(before)
    root.addHandler(handler)
    # Debug lines of libraries may tell what was sent, signatures and passwords among it.
    root.setLevel(max(level, logging.INFO))
    for name in _OURS:
        logging.getLogger(name).setLevel(level)
    for name in _TOLD_ELSEWHERE:
        logging.getLogger(name).setLevel(logging.INFO if level == logging.DEBUG else max(level, logging.WARNING))
    logging.captureWarnings(True)
    sys.excepthook = _ended
    threading.excepthook = _thread_ended


def chosen() -> LogSettings:
    """What this process was told, for those that it starts."""
    return _chosen


def last_words(program: str, error: PagemillError) -> None:
    """Why a process cannot start: a line for people, or an event where events are read by programs."""
    where = f" ({error.where})" if error.where else ""
    if _chosen.log_format == "json":
        extra = {"action": "start_failed", "code": error.code}
        log.critical("%s: %s: %s%s", program, error.code, error, where, extra=extra)
    else:
        sys.stderr.write(f"{program}: {error.code}: {error}{where}\n")


def json_line(logger: str, level: int, message: str, about: Mapping[str, Any]) -> str:
    """An event as every process tells it, for one that writes its lines itself."""
    record = logging.LogRecord(logger, level, "", 0, message, None, None)
    vars(record).update(about)
    return _Json().format(record)


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """What a line is about: what it says itself, then its context. An error of ours tells its code."""
    own = {name: value for name, value in vars(record).items() if name not in _LEFT_OUT}
    error = record.exc_info[1] if record.exc_info else None
    code = {"code": error.code} if isinstance(error, PagemillError) else {}
    return {**context.current(), **code, **own}


class _Text(logging.Formatter):
    """`2026-01-31T12:00:00.123Z WARNING workers.split: message action=… job=…`, tracebacks below."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        ids = "".join(f" {name}={_word(value)}" for name, value in fields(record).items())
        return f"{_time(record)} {record.levelname} {record.name}: {_printable(record.message)}{ids}"

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        return "\n".join(map(_printable, super().formatException(ei).split("\n")))


class _Json(logging.Formatter):
    """One object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **fields(record),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            line["traceback"] = self.formatException(record.exc_info)
        told = _told(line)
        try:
            return orjson.dumps(told, default=str).decode()
        except TypeError:  # a number of more than 64 bits, a key that is no text
            return json.dumps(_sayable(told), default=str, skipkeys=True)


def _told(line: Mapping[str, Any]) -> dict[str, Any]:
    """Strings that JSON can say: a lone surrogate of a file's name is none."""
    return {
        name: value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value
        for name, value in line.items()
    }


def _sayable(value: Any) -> Any:
    """Without numbers that JSON does not know, as `orjson` has it: NaN and the infinities are null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _sayable(inner) for name, inner in value.items()}
    return [_sayable(inner) for inner in value] if isinstance(value, list | tuple) else value


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _word(value: object) -> str:
    """Quoted where a reader that splits at blanks would lose it."""
    text = str(value)
    plain = text and not any(c.isspace() or c in '"=' for c in text)
    return _printable(text if plain else json.dumps(text, ensure_ascii=False))


def _printable(text: str) -> str:
    """Without what would begin a line of its own, or what a terminal obeys or cannot show: what others sent may be in a
    message."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\t" else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _ended(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    log.critical("the process ends by an error", exc_info=(kind, error, trace), extra={"action": "died"})


def _thread_ended(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value is None or issubclass(ended.exc_type, SystemExit):
        return
    name = ended.thread.name if ended.thread else "a thread"
    found = (ended.exc_type, ended.exc_value, ended.exc_traceback)
    log.error("%s ends by an error", name, exc_info=found, extra={"action": "thread_died"})
