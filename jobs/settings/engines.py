"""What engines are built with."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr

from jobs.settings.group import Group

NO_LAYOUT = "none"
"""Instead of a layout model: then nothing of torch is needed beside the backend's own."""


class VlSettings(Group):
    """PaddleOCR-VL, whatever runs it. Defaults and their reasons: docs/vllm.md."""

    vl_version: Literal["1.0", "1.5", "1.6"] = Field(default="1.6", description="Prompts, layout and hub names.")
    vl_backend: Literal["vllm", "openai"] = Field(default="vllm", description="Model in this process, or on servers.")
    vl_layout_model: str | None = Field(
        default=None, description="Path or hub id of a PP-DocLayoutV2/V3 for transformers; none: no layout at all."
    )
    vl_layout_revision: str | None = Field(default=None, description="Revision of the layout model on the hub.")
    vl_layout_batch: int = Field(default=8, ge=1, description="Pages the layout model takes at once.")
    vl_concurrency: int | None = Field(
        default=None, ge=1, description="Crops in flight; the backend decides where absent."
    )
    vl_max_tokens: int = Field(default=4096, ge=1, description="Tokens of one crop's answer.")
    vl_temperature: float = Field(default=0.0, ge=0, description="0: the same page reads the same.")
    vl_top_p: float = Field(default=1.0, gt=0, le=1, description="Of sampling, where the temperature is not 0.")
    vl_repetition_penalty: float = Field(default=1.0, gt=0, description="1: none; tables repeat honestly.")
    vl_min_pixels: int | None = Field(default=None, ge=784, description="Of a crop; by version and task where absent.")
    vl_max_pixels: int | None = Field(default=None, ge=784, description="Of a crop; by version and task where absent.")
    vl_request_timeout: float = Field(default=240.0, gt=0, description="From sending one crop to its answer.")
    vl_stall_timeout: float = Field(
        default=120.0, gt=0, description="An engine with work and no progress for so long is dead."
    )


class VllmSettings(Group):
    """The resident engine: what AsyncLLM is built with."""

    vllm_model: str | None = Field(default=None, description="Path or hub id; the version's own where absent.")
    vllm_revision: str | None = Field(default=None, description="Revision of the model on the hub.")
    vllm_subfolder: str | None = Field(default=None, description="Folder of the model inside the repository or path.")
    vllm_source: Literal["huggingface", "modelscope"] = Field(
        default="huggingface", description="The hub that hub ids belong to."
    )
    vllm_dtype: str = Field(default="auto", description="auto: as the checkpoint says.")
    vllm_load_format: str = Field(default="auto", description="dummy: random weights, for measurements.")
    vllm_gpu_memory_utilization: float = Field(
        default=0.85, gt=0, le=1, description="Share of the card's memory for this engine."
    )
    vllm_max_model_len: int = Field(default=16_384, ge=256, description="Tokens of one prompt with its answer.")
    vllm_max_num_seqs: int = Field(default=256, ge=1, description="Crops the engine reads at once.")
    vllm_max_num_batched_tokens: int = Field(default=16_384, ge=1, description="Tokens of one step of the engine.")
    vllm_chat_template: Path | None = Field(default=None, description="Jinja file; the version's prompt where absent.")
    vllm_trust_remote_code: bool = Field(
        default=False, description="Run the checkpoint's own code; not needed with vLLM 0.32 and 0.33."
    )
    vllm_enforce_eager: bool = Field(default=False, description="No CUDA graphs: starts faster, runs slower.")


class OpenAiSettings(Group):
    """OpenAI-compatible servers that hold the model."""

    openai_urls: str = Field(default="http://127.0.0.1:8000/v1", description="Base URLs with /v1, separated by commas.")
    openai_key: SecretStr | None = Field(default=None, description="Bearer token of the servers.")
    openai_model: str | None = Field(default=None, description="Name on the server; its first where absent.")
    openai_flavor: Literal["vllm", "plain"] = Field(
        default="vllm", description="plain: send nothing that the OpenAI API does not know."
    )
    openai_bounds: bool = Field(
        default=False, description="Send a crop's pixel bounds; vLLM wants --trust-request-mm-kwargs for that."
    )
    openai_image: Literal["jpeg", "png"] = Field(
        default="jpeg", description="How crops are sent. png loses nothing and costs more to pack."
    )
    openai_connect_timeout: float = Field(default=5.0, gt=0, description="Of one attempt to connect.")
    openai_patience: float = Field(default=60.0, gt=0, description="How long servers that are ill or busy are asked.")


class EngineSettings(VlSettings, VllmSettings, OpenAiSettings):
    """Which engine a worker holds, how much of the machine it may take, and what the engines are built with."""

    name: str = Field(
        default="rapidocr",
        validation_alias="PAGEMILL_ENGINE",
        description="What a worker reads with, and what jobs that name none get: rapidocr, paddleocr_vl, echo.",
    )
    device: str = Field(
        default="cpu", validation_alias="PAGEMILL_DEVICE", description="`cpu`, or a GPU: its number or UUID."
    )
    render_processes: int | None = Field(
        default=None, validation_alias="PAGEMILL_RENDER_PROCESSES", ge=1, description="One per core where absent."
    )
    engine_capacity: int | None = Field(
        default=None, ge=1, description="Pages in flight; the engine decides where absent."
    )
    rapidocr_detection: Path | None = Field(
        default=None, description="ONNX file in place of the bundled model that finds lines."
    )
    rapidocr_recognition: Path | None = Field(
        default=None,
        description="ONNX file in place of the bundled model that reads lines: another script's, a larger one.",
    )
    rapidocr_dictionary: Path | None = Field(
        default=None, description="Its characters, one a line, where the file does not carry them."
    )
    rapidocr_layout: Path | None = Field(
        default=None, description="ONNX file in place of the bundled layout model; the same classes."
    )
    echo_state: Path | None = Field(
        default=None, description="For tests: where the echo engine remembers the faults that happen once."
    )

    def without_secrets(self) -> Self:
        """For processes that open strangers' files."""
        return self.model_copy(update={"openai_key": None})
