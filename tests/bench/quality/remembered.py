"""pagemill's models, which do not see the same pixels twice.

How a page is put in order changes often, what the models see on it seldom. Their answers are kept by model, code around
it and pixels, so that a run after a change of the order costs a second a page.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import orjson

from tests.bench.quality.cache import Cache
from workers.engines.rapidocr import models, recognition
from workers.engines.rapidocr.models import Models
from workers.engines.rapidocr.recognition import Recognizer


def remembering(opened: Models, cache: Cache) -> Models:
    """The same models with the cache before them. What turns pages is quick and asked every time."""
    detecting = inspect.getsource(models._reader_params) + version("rapidocr")
    looking = inspect.getsource(models._open) + version("rapid-layout")
    reading = Path(recognition.__file__).read_text() + version("rapidocr")
    return replace(
        opened,
        detector=partial(_detected, opened.detector, _Memory(cache, "detector", detecting)),
        layout=partial(_laid_out, opened.layout, _Memory(cache, "layout", looking)),
        recognizer=_Recognizer(opened.recognizer, _Memory(cache, "recognizer", reading)),
    )


class _Memory:
    def __init__(self, cache: Cache, model: str, code: str) -> None:
        self._cache, self._model, self._code = cache, model, sha256(code.encode()).hexdigest()

    def ask(self, pixels: Any, answer: Callable[[], Any]) -> Any:
        """What `answer` gives for these pixels, as JSON makes it."""
        seen = sha256(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).data).hexdigest()
        key = self._model, self._code, seen
        stored = self._cache.get(*key)
        if stored is None:
            stored = orjson.dumps(answer(), option=orjson.OPT_SERIALIZE_NUMPY)
            self._cache.put(stored, *key)
        return orjson.loads(stored)


def _detected(detector: Any, memory: _Memory, pixels: Any) -> Any:
    boxes = memory.ask(pixels, lambda: _listed(detector(pixels).boxes))
    return SimpleNamespace(boxes=None if boxes is None else np.asarray(boxes, np.float32))


def _laid_out(layout: Any, memory: _Memory, pixels: Any) -> Any:
    def answer() -> Any:
        found = layout(pixels)
        return [_listed(found.boxes), _listed(found.scores), list(found.class_names)]

    boxes, scores, names = memory.ask(pixels, answer)
    return SimpleNamespace(boxes=boxes, scores=scores, class_names=names)


def _listed(values: Any) -> Any:
    return None if values is None else np.asarray(values).tolist()


class _Recognizer(Recognizer):
    """Remembers lines, not pages: a line that is found again as it was is not read again."""

    def __init__(self, reader: Recognizer, memory: _Memory) -> None:
        self.__dict__.update(reader.__dict__)
        self._memory = memory

    def _recognized(self, line: Any) -> tuple[str, float]:
        text, score = self._memory.ask(line, lambda: list(super(_Recognizer, self)._recognized(line)))
        return text, score
