"""Peers that read documents with a model on an OpenAI-compatible server, each in an environment of its own.

They are given what their documentation offers for throughput: see the comments. Their start counts, as it does for
`pagemill run`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.bench.environments import REQUIREMENTS, environment
from tests.bench.needs import programs
from tests.bench.peers.contender import IN_FLIGHT, Command
from tests.bench.peers.drawing import LETTER, MOST_PIXELS, scale

HERE = Path(__file__).parent
PINNED = {"olmocr": "olmocr", "docling": "docling-slim", "mineru": "mineru", "openai": "aiohttp"}
OLMOCR_WORKERS, OLMOCR_GROUP = 20, 25
MINERU_AT_ONCE = 16
DOCLING_AT_ONCE, DOCLING_BATCH = 32, 32


def pinned(name: str) -> str:
    """The version of what that environment is for."""
    lines = (REQUIREMENTS / f"{name}.txt").read_text().splitlines()
    return next(line.partition("==")[2] for line in lines if line.startswith(f"{PINNED[name]}=="))


def bare() -> Command:
    python = environment("openai")
    given = (
        f"asyncio, aiohttp {pinned('openai')}, two render processes, JPEGs of the same size as pagemill's"
        f" ({MOST_PIXELS:,} pixels at most, 144 dpi at most), {IN_FLIGHT} requests at once; no queue, no retries"
    )
    return Command(
        "bare client", lambda url, folder, out: [python, "-m", "tests.bench.peers.bare", url, folder, out], given
    )


def olmocr() -> Command:
    """Its pipeline with `--server`. Raises NotMeasured without poppler, by which it draws.

    20 workers are its default; a group of 25 pages is one worker's, so that all of them have some. It draws as many
    pages at once as there are cores less two, at least one, unless this variable tells it their number.
    """
    programs("poppler-utils", "pdftoppm", "pdfinfo")
    python = environment("olmocr")

    def words(url: str, folder: Path, out: Path) -> list[str | Path]:
        options: dict[str, object] = {
            "--server": url, "--model": "modelled", "--workers": OLMOCR_WORKERS, "--pages_per_group": OLMOCR_GROUP,
            "--max_concurrent_requests": IN_FLIGHT,
        }  # fmt: skip
        told = [str(word) for option in options.items() for word in option]
        return [python, "-m", "olmocr.pipeline", out, "--markdown", *told, "--pdfs", *sorted(folder.glob("*.pdf"))]

    given = (
        f"{pinned('olmocr')}, PNGs of 1,288 pixels of the longer side (its default), {OLMOCR_WORKERS} workers, groups"
        f" of {OLMOCR_GROUP} pages, two pages drawn at once, `--max_concurrent_requests {IN_FLIGHT}`"
    )
    return Command("olmOCR", words, given, "olmocr", lambda _url: {"BEAKER_ASSIGNED_CPU_COUNT": "2"})


def docling() -> Command:
    """Its one scale for all pages is that of a Letter page of pagemill's. Documents at once, at a modelled 20 pages/s,
    one run each: 4 made 3.8 pages/s, 16 made 6.7, 32 made 7.4."""
    python = environment("docling")
    drawn = f"{scale(*LETTER):.3f}"
    told = {
        "SCALE": drawn, "AT_ONCE": str(DOCLING_AT_ONCE), "BATCH": str(DOCLING_BATCH), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    given = (
        f"{pinned('docling')}, VlmPipeline, PNGs at its scale {drawn} (a Letter page as large as pagemill's),"
        f" {DOCLING_AT_ONCE} documents at once, {DOCLING_BATCH} pages a batch, `concurrency={IN_FLIGHT}` for each batch"
    )
    return Command(
        "docling",
        lambda url, folder, out: [python, HERE / "with_docling.py", url, folder, out],
        given,
        "doctags",
        lambda _url: told,
    )


def mineru() -> Command:
    """The last release line whose client reads a page with the server alone; 4.0 wants models of its own beside it.

    Its command has no option for requests at once: 100 in a call of its client, of which there is one for each of the
    documents that it reads at once (MINERU_API_MAX_CONCURRENT_REQUESTS). At a modelled 20 pages/s, one run each: 3, its
    default, made 4.2 to 4.5 pages/s with the first text after 9 to 12 s; 16 and 32 made 5.2, which are all of two
    cores, with the first text after 43 and 53 s.
    """
    python = environment("mineru")

    def words(url: str, folder: Path, out: Path) -> list[str | Path]:
        program = python.parent / "mineru"
        return [program, "-p", folder, "-o", out, "-b", "vlm-http-client", "-u", url.removesuffix("/v1")]

    given = (
        f"{pinned('mineru')}, `vlm-http-client`, its own 200 dpi and PNGs, a request for a page's layout and one for"
        f" each block, 100 requests at once in a call of its client (its default), {MINERU_AT_ONCE} documents at once"
        " (its default is three)"
    )
    told = {"PYTHONPATH": "", "OMP_NUM_THREADS": "1", "MINERU_API_MAX_CONCURRENT_REQUESTS": str(MINERU_AT_ONCE)}
    return Command("MinerU", words, given, "layout", lambda _url: told)


PEERS: dict[str, Callable[[], Command]] = {"olmocr": olmocr, "docling": docling, "mineru": mineru}
