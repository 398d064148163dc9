"""The HTTP server, and where the command finds it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from jobs.engines import ENGINE_NAMES
from jobs.settings.group import Group, split_names


class ApiSettings(Group):
    """The HTTP server."""

    api_host: str = Field(default="127.0.0.1", description="Address to listen on.")
    api_port: int = Field(default=8470, ge=0, le=65535, description="Port to listen on; 0: any free one.")
    api_idle_timeout: float = Field(
        default=60.0, gt=0, description="Seconds without a byte after which a request that is not whole is given up."
    )
    auth: Literal["auto", "keys", "open"] = Field(
        default="auto",
        description="keys: API keys are asked for. open: never. auto: not on a loopback address where none was made.",
    )
    engine: str = Field(
        default="rapidocr",
        description="What a worker reads with, and what jobs that name none get: rapidocr, paddleocr_vl, echo.",
    )
    engines: str = Field(
        default=",".join(ENGINE_NAMES),
        validate_default=True,
        description="What workers here serve; jobs for other engines are refused.",
    )

    @property
    def offered(self) -> tuple[str, ...]:
        """The names in `engines`, each once."""
        return split_names(self.engines)

    @field_validator("engines")
    @classmethod
    def _check_engines(cls, value: str, info: ValidationInfo) -> str:
        names, default = split_names(value), info.data.get("engine")
        unknown = [name for name in names if name not in ENGINE_NAMES]
        if unknown:
            raise ValueError(f"there is no engine {unknown[0]!r}; known: {', '.join(ENGINE_NAMES)}")
        if default not in names:
            offered = ", ".join(names) or "none"
            raise ValueError(
                f"the engine of jobs that name none, {default!r} (PAGEMILL_ENGINE) is not among: {offered}"
            )
        return value


class ClientSettings(Group):
    """Where the command finds the server."""

    url: str = Field(default="http://127.0.0.1:8470", description="The server.")
    api_key: SecretStr | None = Field(default=None, description="A key of it: `pm_…`.")

    @field_validator("api_key")
    @classmethod
    def _check_key(cls, value: SecretStr | None) -> SecretStr | None:
        """As it is pasted: with white space around, or empty. The complaint must not tell it."""
        text = "" if value is None else value.get_secret_value().strip()
        if not all("!" <= character <= "~" for character in text):
            raise ValueError("this is no API key: pm_ and letters, digits, _ and - are expected")
        return SecretStr(text) if text else None
