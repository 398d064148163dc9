"""HEIC, what phones photograph in, by pillow-heif where it is installed (docs/decisions/0005-heic.md)."""

from __future__ import annotations

from jobs.errors import UnsupportedType

FORMAT = "HEIF"
"""Pillow's name for it once `register` was called."""


def register() -> None:
    """Teach Pillow to open HEIC. Raises UnsupportedType where the package is not there; may be called again.

    Only the main picture is looked at: embedded thumbnails, depth maps and auxiliary images would be so much more to go
    wrong. One thread: the pool has a process per core.
    """
    try:
        from pillow_heif import register_heif_opener
    except ImportError as error:
        raise UnsupportedType(
            "HEIC images need the package pillow-heif beside the worker; in a checkout: pip install '.[heic]'",
            actual="image/heic",
        ) from error
    register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)
