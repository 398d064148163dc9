"""What every group of settings is made from."""

from __future__ import annotations

from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 1024 * 1024


class Group(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="PAGEMILL_", frozen=True, extra="ignore", populate_by_name=True)


def split_names(text: str) -> tuple[str, ...]:
    """`"a, b"` -> `("a", "b")`."""
    return tuple(dict.fromkeys(filter(None, (name.strip() for name in text.split(",")))))
