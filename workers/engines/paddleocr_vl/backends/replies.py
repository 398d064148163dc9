"""What a server's reply to one crop means; see the table in `openai.py`."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import httpx

from workers.engines.paddleocr_vl.backends.base import Answer, Refused

SHOWN = 300
"""Characters of a server's own words that are repeated in an error."""

BUSY = frozenset({429, 503})
REFUSED = frozenset({400, 413, 415, 422})
_LOST_ON_THE_WAY = frozenset({408, 502, 504})
_BROKEN_OFF = frozenset({"abort", "error", "content_filter"})
"""Reasons to end that leave half a text: vLLM and SGLang say `abort` when they go down."""
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")

_MOST_TOKENS = 10_000_000
"""Of one answer or prompt."""

Kind = Literal["busy", "away", "broken"]


@dataclass(slots=True)
class Trouble(Exception):
    """A try that failed and says nothing about the page yet."""

    kind: Kind
    detail: str
    retry_after: float | None = None
    inside: bool = True
    """Whether the server may have begun with the request."""


def answer_of(response: httpx.Response) -> Answer:
    """The answer in a reply. Raises Trouble where there is none, Refused where the server does not take this crop."""
    if response.status_code != httpx.codes.OK:
        raise _failure(response)
    try:
        body = response.json()
        choice = body["choices"][0]
        text = choice["message"]["content"]
        ended = choice.get("finish_reason")
        if not isinstance(text, str) or ended in _BROKEN_OFF:
            raise TypeError
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        detail = f"an answer that is none: {response.text[:SHOWN] or 'nothing'}"
        raise Trouble("broken", detail) from None
    text = _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text)  # JSON can say what UTF-8 cannot keep
    tokens = _tokens(body, "completion_tokens"), _tokens(body, "prompt_tokens")
    if ended == "length":
        return Answer(text, "length", *tokens)
    repeats = ended == "repetition" or choice.get("stop_reason") == "repetition_detected"
    return Answer(text, "repetition" if repeats else "stop", *tokens)


def _failure(response: httpx.Response) -> Exception:
    """What a status that is not 200 means: a Trouble, or Refused."""
    status = response.status_code
    detail = f"HTTP {status}: {response.text[:SHOWN] or 'no words'}"
    if status in BUSY:
        return Trouble("busy", detail, _retry_after(response.headers), inside=False)
    if status in REFUSED:
        return Refused(f"the model's server refuses a part of this page: {detail}")
    if status in _LOST_ON_THE_WAY:
        return Trouble("away", detail)
    if httpx.codes.MULTIPLE_CHOICES <= status < httpx.codes.INTERNAL_SERVER_ERROR:
        return Trouble("away", detail, inside=False)
    return Trouble("broken", detail)


def _tokens(body: Any, kind: str) -> int:
    """What a server says of itself; a number that is none must not reach the books."""
    usage = body.get("usage")
    found = usage.get(kind) if isinstance(usage, dict) else None
    return found if isinstance(found, int) and 0 <= found < _MOST_TOKENS else 0


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, from either form of the header (RFC 9110, 10.2.3); None where there is none that makes sense."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def words_of(error: Exception) -> str:
    """What to say of an error that may have no words of its own."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
