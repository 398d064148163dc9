"""The version of what is installed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def _installed() -> str:
    try:
        return version("pagemill")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "0"


VERSION = _installed()
