"""Peers that read documents with a model on an OpenAI-compatible server, each in an environment of its own.

Tuned as their documentation says, and by what was fastest here: see the comments. Their start counts, as it does for
`pagemill run`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.bench.environments import environment
from tests.bench.peers.contender import Command

HERE = Path(__file__).parent


def bare() -> Command:
    python = environment("openai")
    return Command("bare client", lambda url, folder, out: [python, HERE / "bare.py", url, folder, out])


def olmocr() -> Command:
    """Its pipeline with `--server`. It wants poppler on the PATH.

    20 workers are its default; a group of 25 pages is one worker's, so that all of them have some.
    """
    python = environment("olmocr")

    def words(url: str, folder: Path, out: Path) -> list[str | Path]:
        options = ["--server", url, "--model", "modelled", "--markdown", "--workers", "20", "--pages_per_group", "25"]
        return [python, "-m", "olmocr.pipeline", out, *options, "--pdfs", *sorted(folder.glob("*.pdf"))]

    return Command("olmOCR", words)


def docling() -> Command:
    python = environment("docling")
    return Command(
        "docling",
        lambda url, folder, out: [python, HERE / "with_docling.py", url, folder, out],
        lambda _url: {"OMP_NUM_THREADS": "1"},
    )


def mineru() -> Command:
    """The last release line whose client reads a page with the server alone; 4.0 wants models of its own beside it."""
    python = environment("mineru")

    def words(url: str, folder: Path, out: Path) -> list[str | Path]:
        program = python.parent / "mineru"
        return [program, "-p", folder, "-o", out, "-b", "vlm-http-client", "-u", url.removesuffix("/v1")]

    return Command("MinerU", words, lambda _url: {"PYTHONPATH": "", "OMP_NUM_THREADS": "1"})


PEERS: dict[str, Callable[[], Command]] = {"olmocr": olmocr, "docling": docling, "mineru": mineru}
