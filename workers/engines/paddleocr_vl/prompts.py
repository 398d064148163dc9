"""What the model is asked. Source: PaddleX 3.7.2, `inference/genai/chat_templates/*.jinja` and `pipeline.py`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from jobs.options import VlTask, VlVersion
from workers.engines.paddleocr_vl.versions import VERSIONS

QUESTIONS: Mapping[VlTask, str] = MappingProxyType(
    {
        "ocr": "OCR:",
        "table": "Table Recognition:",
        "formula": "Formula Recognition:",
        "chart": "Chart Recognition:",
        "seal": "Seal Recognition:",
        "spotting": "Spotting:",
    }
)

IMAGE_TAG = "<|IMAGE_PLACEHOLDER|>"
"""Stands once in a prompt for its image; vLLM's processor widens it to the image's tokens."""

MAX_NEW_TOKENS = 4096
"""Of one answer, in PaddleX's pipeline. An answer that reaches it is kept and marked `output_truncated`."""


def question(task: VlTask) -> str:
    """The text beside the image: all that a server with the model's chat template needs."""
    return QUESTIONS[task]


def prompt(task: VlTask, version: VlVersion) -> str:
    """The whole prompt of one image, as the chat template of the version makes it. No newline is added."""
    return (
        f"<|begin_of_sentence|>User: <|IMAGE_START|>{IMAGE_TAG}<|IMAGE_END|>{QUESTIONS[task]}\n"
        f"{VERSIONS[version].generation_prompt}"
    )


def keeps_special_tokens(task: VlTask) -> bool:
    """Whether `skip_special_tokens` must be off: places are special tokens, and only spotting answers with places."""
    return task == "spotting"
