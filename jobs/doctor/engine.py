"""The engine: whether its libraries are here, and, where asked, whether it starts and reads a page."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
from collections.abc import Iterator

from jobs.doctor.findings import Finding, NotChecked, error, ok
from jobs.doctor.scene import Scene
from jobs.settings import EngineSettings
from jobs.settings.engines import NO_LAYOUT

_LIBRARIES: dict[str, tuple[str, ...]] = {
    "echo": (),
    "rapidocr": ("rapidocr", "rapid_layout", "onnxruntime", "cv2"),
    "paddleocr_vl": ("cv2",),
}
_TAIL = 400
"""Characters of what the engine said last."""


def libraries(scene: Scene) -> Iterator[Finding]:
    """By looking for them: nothing is imported."""
    engine = scene.engine
    wanted = needed(engine)
    missing = [name for name in wanted if importlib.util.find_spec(name) is None]
    if not missing:
        yield ok("engine-libraries", f"all that {engine.name} imports is here")
    elif scene.engine_given:
        yield error("engine-libraries", f"{engine.name} imports {', '.join(missing)}", where="--engine")
    else:
        # An API image has no engine, and needs none.
        raise NotChecked(
            f"{', '.join(missing)} is not installed here, as in an API image: run `pagemill doctor --engine"
            f" {engine.name}` where workers run"
        )


def needed(engine: EngineSettings) -> tuple[str, ...]:
    """Top-level modules that the engine imports."""
    wanted = _LIBRARIES.get(engine.name, ())
    if engine.name == "paddleocr_vl":
        wanted += () if engine.vl_layout_model == NO_LAYOUT else ("torch", "transformers")
        wanted += ("vllm",) if engine.vl_backend == "vllm" else ()
    return wanted


def start(scene: Scene) -> Iterator[Finding]:
    """In a process of its own, which is ended with all that it started."""
    trial = scene.trial
    if trial is None:
        raise NotChecked("add --engine-start to start the engine and read a page; on a GPU that takes minutes")
    process = subprocess.Popen(
        list(trial.command),
        env=dict(trial.environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        said, complained = process.communicate(timeout=trial.timeout)
    except subprocess.TimeoutExpired:
        yield error("engine-start", f"no end within {trial.timeout:g} s", limit=trial.timeout)
        return
    finally:
        _end(process)
    if process.returncode:
        yield error("engine-start", _last(complained) or f"exit status {process.returncode}", actual=process.returncode)
    else:
        yield ok("engine-start", " ".join(said.split()))


def _last(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1][-_TAIL:] if lines else ""


def _end(process: subprocess.Popen[str]) -> None:
    """It and its children: it leads a group of its own."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
