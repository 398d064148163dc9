"""The pages that everybody reads: 480, of born-digital PDFs."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.bench import needs
from tests.documents import pdf

MOST_POINTS = 1300
"""Of a side: beyond it lies a page of 14,295 points that no two programs scale alike."""
MADE_PAGES = 40


@dataclass(frozen=True, slots=True)
class Pages:
    """A folder of documents."""

    folder: Path
    count: int
    documents: int
    origin: str


def lay_out(folder: Path, count: int, *, quick: bool) -> Pages:
    """Fill the folder with real documents of so many pages in all; with made ones where there are none and it is quick.

    Raises NotMeasured where there are none and it is not.
    """
    if quick and needs.TESTDATA is None:
        return _made(folder, count)
    origin = needs.documents()
    documents = _chosen([json.loads(line) for line in (origin / "index.jsonl").read_text().splitlines()], count)
    for name in documents:
        shutil.copyfile(origin / name, folder / name.replace("/", "-").replace(" ", "-"))
    found = f"{len(documents)} born-digital PDFs of shared/testdata/public"
    return Pages(folder, count, len(documents), found)


def _chosen(index: list[dict[str, object]], count: int) -> list[str]:
    """Names of files that have exactly so many pages in all, the longest first. Raises ValueError where none do."""
    files = sorted(((_pages(entry), str(entry["file"])) for entry in index if _is_wanted(entry)), reverse=True)
    chosen, left = [], count
    for pages, name in files:
        if pages <= left:
            chosen.append(name)
            left -= pages
    if left:
        raise ValueError(f"the files have {left} pages too few")
    return chosen


def _pages(entry: dict[str, object]) -> int:
    pages = entry.get("pages")
    return pages if isinstance(pages, int) else 0


def _is_wanted(entry: dict[str, object]) -> bool:
    name, sizes = str(entry["file"]), entry.get("size")
    small = isinstance(sizes, list) and all(max(size) <= MOST_POINTS for size in sizes)
    born_digital = entry["set"] == "public" and name.endswith(".pdf") and entry.get("text_layer_is_gt")
    return bool(born_digital and entry["opens"] and small and _pages(entry))


def _made(folder: Path, count: int) -> Pages:
    documents = 0
    for start in range(0, count, MADE_PAGES):
        documents += 1
        text = f"document {documents}, page {{n}}"
        (folder / f"made-{documents:03d}.pdf").write_bytes(pdf(min(MADE_PAGES, count - start), text))
    return Pages(folder, count, documents, f"{documents} generated PDFs (no shared/testdata here): nearly empty pages")
