"""Whose result may stand for whose: two SHA-256 that say when nothing would be read differently (docs/cache.md).

    request key   what was asked of which bytes by whom: owner, content, engine, the options that change a result
    reader        what read the pages: engine, versions, model, the server's settings that change a result

A document gets the result of an earlier one where both are equal. What is not sure to change nothing counts: a
difference too many costs a reading, one too few gives somebody a result that was not asked for.
"""

from __future__ import annotations

import hashlib
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import orjson

from jobs.options import CacheUse, page_options, parse_page_ranges
from jobs.results import EngineInfo
from jobs.settings import EngineSettings, LimitSettings

OPTIONS = frozenset({"engine", "pages", "dpi", "figures", "text", "echo", "paddleocr_vl"})
"""Fields of JobOptions that change what is read."""
OTHER_OPTIONS = frozenset({
    "password", "priority", "deadline_seconds", "retention_seconds", "cache", "webhook", "output",
    "metadata",
})  # fmt: skip
"""Those that do not. A document with a password is never used again, whatever its key."""

SETTINGS = frozenset({
    "name", "vl_version", "vl_backend", "vl_layout_model", "vl_layout_revision", "vl_max_tokens", "vl_temperature",
    "vl_top_p", "vl_repetition_penalty", "vl_min_pixels", "vl_max_pixels", "vllm_model", "vllm_revision",
    "vllm_subfolder", "vllm_source", "vllm_dtype", "vllm_load_format", "vllm_max_model_len", "vllm_chat_template",
    "vllm_trust_remote_code", "openai_urls", "openai_model", "openai_flavor", "openai_bounds", "openai_image",
})  # fmt: skip
"""Fields of EngineSettings that change what is read."""
OTHER_SETTINGS = frozenset({
    "device", "render_processes", "engine_capacity", "echo_state", "vl_layout_batch", "vl_concurrency",
    "vl_request_timeout", "vl_stall_timeout", "vllm_gpu_memory_utilization", "vllm_max_num_seqs",
    "vllm_max_num_batched_tokens", "vllm_enforce_eager", "openai_key", "openai_connect_timeout", "openai_patience",
    "rapidocr_detection", "rapidocr_recognition", "rapidocr_dictionary", "rapidocr_layout",
})  # fmt: skip
"""Those that do not, or (rapidocr's files) whose content stands in EngineInfo."""


def request_key(
    *,
    owner: str,
    sha256: str,
    media_type: str,
    engine: str,
    options: dict[str, Any],
    has_password: bool,
    default: CacheUse,
) -> str | None:
    """What was asked, in 64 hexadecimal digits. None where its result is neither to be looked for nor to be given to
    others: the job says `bypass`, or nothing where `default` says so; its file came with a password; its content is not
    known. `options`: as `JobOptions.stored` kept them."""
    if has_password or not sha256 or options.get("cache", default) == "bypass":
        return None
    asked = page_options(options).model_dump(mode="json")
    return _digest([owner, sha256, media_type, engine, _ranges(options.get("pages")), asked])


def _ranges(pages: str | None) -> list[tuple[int, int | None]]:
    """A selection as it is, however it was written: `1-2,3` and `3,1-3` alike. Ranges ascend and do not touch."""
    ascending = sorted(parse_page_ranges(pages or "1-"), key=lambda found: found[0])
    joined = [ascending[0]]
    for first, last in ascending[1:]:
        begin, end = joined[-1]
        if end is not None and first > end + 1:
            joined.append((first, last))
        else:
            joined[-1] = (begin, None if end is None or last is None else max(end, last))
    return joined


def reader_of(info: EngineInfo, settings: EngineSettings, limits: LimitSettings) -> str:
    """What a worker reads with, in 64 hexadecimal digits. `info`: of its engine, warmed up."""
    chosen = settings.model_dump(mode="json", include=set(SETTINGS))
    template = settings.vllm_chat_template
    content = None if template is None or not template.is_file() else template.read_text(errors="replace")
    return _digest([_installed(), info.model_dump(mode="json"), chosen, content, limits.max_page_pixels])


def _installed() -> str:
    """Much of what an engine does is ours: order, paragraphs, tables."""
    try:
        return version("pagemill")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "0"


def _digest(value: list[Any]) -> str:
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()
