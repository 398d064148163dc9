"""Whose result may stand for whose: what counts and what does not."""

from __future__ import annotations

import pytest

from jobs.options import EchoOptions, JobOptions, VlOptions
from jobs.results import EngineInfo, ModelFile
from jobs.reuse import OPTIONS, OTHER_OPTIONS, OTHER_SETTINGS, SETTINGS, reader_of, request_key
from jobs.settings import EngineSettings, LimitSettings

INFO = EngineInfo(name="echo", version="1", model="echo")
DIGEST = "ab" * 32


def key(options=None, *, has_password=False, default="use", **values):
    given = {"owner": "key_1", "sha256": DIGEST, "media_type": "application/pdf", "engine": "echo"} | values
    stored = (options or JobOptions()).stored()
    return request_key(options=stored, has_password=has_password, default=default, **given)


def reader(info=INFO, limits=None, **settings):
    return reader_of(info, EngineSettings(**settings), limits or LimitSettings())


def test_every_option_either_counts_or_does_not():
    """A new option has to be put on one of the two lists: does it change what is read?"""
    assert frozenset(JobOptions.model_fields) == OPTIONS | OTHER_OPTIONS
    assert frozenset() == OPTIONS & OTHER_OPTIONS


def test_every_setting_of_engines_either_counts_or_does_not():
    assert frozenset(EngineSettings.model_fields) == SETTINGS | OTHER_SETTINGS
    assert frozenset() == SETTINGS & OTHER_SETTINGS


# A value that differs from the default, for every option: the lists above are held against what happens.
OTHER = {
    "pages": "2-",
    "dpi": 72,
    "figures": False,
    "text": "ocr",
    "echo": EchoOptions(render=True),
    "paddleocr_vl": VlOptions(charts=True),
    "password": "open",
    "priority": "interactive",
    "deadline_seconds": 5.0,
    "retention_seconds": 5.0,
    "cache": "use",
    "webhook": {"url": "https://example.org/"},
    "output": {"prefix": "s3://texts/a/"},
    "metadata": {"a": 1},
}


@pytest.mark.parametrize("name", sorted(OPTIONS - {"engine"}))
def test_what_changes_a_result_changes_the_key(name):
    assert key(JobOptions.model_validate({name: OTHER[name]})) not in (key(), None)


@pytest.mark.parametrize("name", sorted(OTHER_OPTIONS))
def test_what_changes_no_result_leaves_the_key(name):
    assert key(JobOptions.model_validate({name: OTHER[name]})) == key()


@pytest.mark.parametrize(
    ("name", "value"),
    [("owner", "key_2"), ("sha256", "cd" * 32), ("media_type", "image/png"), ("engine", "rapidocr")],
)
def test_owner_content_kind_and_engine_count(name, value):
    assert key(**{name: value}) != key()


@pytest.mark.parametrize(("one", "other"), [(None, "1-"), ("1-3", "1,2,3"), ("3,1-2", "1-3"), ("1-2,2-", "-1,2-")])
def test_a_selection_is_what_it_selects(one, other):
    assert key(JobOptions(pages=one)) == key(JobOptions(pages=other))


@pytest.mark.parametrize(("one", "other"), [(None, "1-3"), ("1,3", "1-3"), ("2-", "1-"), ("1-2,4-", "1-")])
def test_other_selections_are_other_keys(one, other):
    assert key(JobOptions(pages=one)) != key(JobOptions(pages=other))


def test_who_bypasses_has_no_key():
    assert key(JobOptions(cache="bypass")) is None
    assert key(default="bypass") is None
    assert key(JobOptions(cache="use"), default="bypass") == key()


def test_what_was_encrypted_or_is_not_known_has_no_key():
    assert key(has_password=True) is None
    assert key(sha256="") is None


def test_a_reader_is_engine_version_model_and_files():
    files = (ModelFile(role="recognition", name="x.onnx", sha256=DIGEST),)
    others = [{"name": "e"}, {"version": "2"}, {"model": "other"}, {"files": files}]
    found = {reader(INFO.model_copy(update=other)) for other in others}
    assert len(found | {reader()}) == 5


def test_settings_that_change_results_make_another_reader(tmp_path):
    template = tmp_path / "chat.jinja"
    template.write_text("one")
    assert reader(vl_max_tokens=7) != reader()
    assert reader(limits=LimitSettings(max_page_pixels=10_000)) != reader()
    first = reader(vllm_chat_template=template)
    template.write_text("two")
    assert len({first, reader(vllm_chat_template=template), reader()}) == 3


def test_where_and_how_fast_it_reads_makes_no_other_reader():
    assert reader(device="1", render_processes=3, openai_key="secret", vl_concurrency=4) == reader()
