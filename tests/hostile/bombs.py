"""Everything hostile that is made here: makers by name, what each may end as, and which are worth a long wait only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.hostile.codecs import encoded
from tests.hostile.ordeal import Specimen
from tests.hostile.pdfs import PDFS, one_page
from tests.hostile.pictures import PICTURES
from tests.hostile.texts import TEXTS

GOOD = frozenset({"succeeded"})
HEAVY = frozenset({"succeeded", "page_timeout", "page_render_failed"})
"""What depends on how fast the machine is, and on which end comes first."""

_ENDS: dict[str, frozenset[str]] = {
    "content_bomb": HEAVY,
    "nested_flate_bomb": HEAVY - GOOD,
    "object_stream_bomb": frozenset({"corrupt_file", "deadline_exceeded"}),
    "run_length_bomb": HEAVY,
    "deep_page_tree": frozenset({"page_render_failed"}),
    "page_tree_loop": frozenset({"page_render_failed"}),
    "form_laughs": HEAVY - GOOD,
    "tiling_loop": HEAVY,
    "object_stream_loop": frozenset({"corrupt_file"}),
    "huge_box": frozenset({"page_too_large"}),
    "million_annotations": HEAVY,
    "million_operators": HEAVY,
    "deep_states": HEAVY,
    "jbig2_lying_pdf": HEAVY,
    "jbig2_large_pdf": HEAVY,
    "ccitt_lying": HEAVY,
    "many_texts_many_pictures": HEAVY,
    "marks_without_end": HEAVY,
    "long_ligatures": HEAVY,
    "notes_to_flatten": HEAVY,
    "forms_of_text": HEAVY,
    "bomb_png": frozenset({"page_too_large"}),
    "png_rows": HEAVY,
    "png_profile_bomb": frozenset({"corrupt_file"}),
    "png_thin": frozenset({"page_too_large"}),
    "gif_screen": frozenset({"page_too_large"}),
    "gif_frame": frozenset({"page_too_large"}),
    "bmp_large": frozenset({"page_too_large"}),
    "bmp_run_lengths": HEAVY,
    "webp_canvas": frozenset({"page_too_large"}),
    "jpeg_frame": HEAVY,
    "jpeg_scans": HEAVY - GOOD,
    "tiff_many": frozenset({"too_many_pages", "deadline_exceeded"}),
    "tiff_large": frozenset({"page_too_large"}),
    "tiff_deflated": HEAVY,
    "tiff_counts": frozenset({"corrupt_file"}),
    "tiff_beyond": frozenset({"partial"}),
}  # fmt: skip
"""By the maker's name; the others succeed: what is wrong with them is no harm."""

SLOW = frozenset(
    {"content_bomb", "object_stream_bomb", "million_annotations", "million_operators", "ccitt_lying", "png_rows",
     "bmp_run_lengths", "jpeg_frame", "jpeg_scans", "tiff_many", "tiff_deflated", "run_length_bomb",
     "many_texts_many_pictures", "marks_without_end", "long_ligatures", "forms_of_text"}
)  # fmt: skip
"""Many seconds of one core each."""


@dataclass(frozen=True, slots=True)
class Bomb:
    suffix: str
    make: Callable[[], bytes]

    @property
    def name(self) -> str:
        return self.make.__name__

    @property
    def ends(self) -> frozenset[str]:
        return _ENDS.get(self.name, GOOD)

    def specimen(self, folder: Path) -> Specimen:
        """The bomb as a file in this folder."""
        path = folder / f"{self.name}.{self.suffix}"
        path.write_bytes(self.make())
        return Specimen(self.name, path)


BOMBS = tuple([Bomb("pdf", make) for make in (*PDFS, *TEXTS)] + [Bomb(suffix, make) for suffix, make in PICTURES])


def truncated(folder: Path, cuts: int) -> Iterator[Specimen]:
    """A small good file of every type, ending at every n-th byte: `cuts` files of each, the empty one among them."""
    for suffix, data in _good_files():
        step = max(1, len(data) // cuts)
        for end in range(0, len(data), step):
            path = folder / f"cut-at-{end:05}.{suffix}"
            path.write_bytes(data[:end])
            yield Specimen(path.name, path)


def _good_files() -> Iterator[tuple[str, bytes]]:
    yield "pdf", one_page()
    for suffix, kind in (("png", "PNG"), ("jpg", "JPEG"), ("gif", "GIF"), ("bmp", "BMP"), ("webp", "WEBP")):
        yield suffix, encoded(kind, (64, 64))
    yield "tif", encoded("TIFF", (64, 64), compression="tiff_lzw")
    yield "heic", _heic()


def _heic() -> bytes:
    from pillow_heif import register_heif_opener

    register_heif_opener()
    return encoded("HEIF", (64, 64))
