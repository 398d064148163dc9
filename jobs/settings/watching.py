"""What people who run it look at: logs, Flower, metrics."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from jobs.settings.group import Group
from jobs.spending import Price


class LogSettings(Group):
    """What a process says of itself (docs/logs.md)."""

    log_format: Literal["text", "json"] = Field(default="text", description="json: an object a line.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Of our own lines; those of libraries begin at info."
    )


class FlowerSettings(Group):
    """`pagemill flower` (docs/flower.md). What else Flower knows is set by FLOWER_…."""

    flower_host: str = Field(default="127.0.0.1", description="Address that Flower listens on.")
    flower_port: int = Field(default=5555, ge=1, le=65535, description="Port that Flower listens on.")
    flower_auth: SecretStr | None = Field(
        default=None, description="Who may look: `name:password`, several separated by commas."
    )

    @property
    def login(self) -> str:
        """Empty where none is set."""
        return self.flower_auth.get_secret_value() if self.flower_auth is not None else ""


class MetricsSettings(Group):
    """What a process of the service tells of itself, and on which port (docs/monitoring.md)."""

    metrics_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Of /metrics, /healthz and /readyz, by API servers and workers; 0: any free one. Absent: none.",
    )
    metrics_host: str = Field(default="127.0.0.1", description="Address that this port is on.")
    price_per_gpu_hour: float | None = Field(
        default=None, ge=0, allow_inf_nan=False, description="What an engine's hour costs; jobs then tell their cost."
    )
    currency: str = Field(default="USD", min_length=1, max_length=16, description="Of the price; any text.")

    @property
    def price(self) -> Price | None:
        return None if self.price_per_gpu_hour is None else Price(self.price_per_gpu_hour, self.currency)
