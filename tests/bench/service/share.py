"""B1: the whole service ÷ the engine alone, pages/s of the same pages: modelled engines, RapidOCR, a tiny vLLM."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from statistics import fmean
from typing import Any

from tests.bench import needs
from tests.bench.cpu_engine import compare, sparse
from tests.bench.environments import ROOT
from tests.bench.goals import judged
from tests.bench.modelled import Model
from tests.bench.plot import bars
from tests.bench.report import NotMeasured, Scale, Section, Spread, table
from tests.bench.service import modelled_share

VLLM = ROOT / ".venv-vllm"
"""Made by `make bench` and `make test-vllm`."""
HEAD = ("engine", "pages", "service, pages/s", "engine alone, pages/s", "ratio", "goal")


def run(scale: Scale) -> Section:
    """Raises NotMeasured, before anything is measured, where the documents or vLLM's environment are missing."""
    needs.documents()
    if not (scale.quick or (VLLM / ".installed").exists()):
        raise NotMeasured(f"vLLM for the CPU is not installed: `make {VLLM.name}/.installed` does it (3.8 GB)")
    model, each, seconds = Model(), modelled_share.EACH, modelled_share.SECONDS
    rapidocr, pairs = _rapidocr(scale)
    rows = [rapidocr, *([] if scale.quick else [_vllm(scale)])]  # two engines that start take over a minute
    shares, rendered = modelled_share.measured(scale)
    real = "\n".join(f"- {judged(row.goal, {row.name: row.ratio}, '.3f')}" for row in rows)
    text = f"""\
From submit until the job is closed, everything on this machine, against the engine alone with the same pages in the
same order; rounds alternate. Medians (least to most).

A modelled engine (`tests/bench/modelled.py`): {model.sequences} sequences, answers of log-normal length, a step of a
full batch takes {model.slow:g} times as long as one of a single request. Alone it is fed from one asyncio loop, every
page in its queue from the start. The service is PostgreSQL with fsync, Valkey, a directory and one worker; jobs are
submitted as the API does it, without its HTTP (B6 has all of it); documents of {each} pages.
Rendered: pages of two manuals at {modelled_share.DPI} dpi, which the engine alone does not render. A
round has about {seconds} s of work and the same tail on both sides; the service's start (split, dispatch, claim) is in
the first ratio and not in the second.

{rendered}

Real engines, SQLite, one worker. RapidOCR {version("rapidocr")}: {len(sparse())} sparse pages read from their pixels
in each turn; alone: as many processes that only render and read, in a plain loop and in the same order. Both stay up
and have read pages before; a round is service, loop, loop, service. PaddleOCR-VL: the trained tiny checkpoint on vLLM
on the CPU; alone: AsyncLLM fed with the same crops, cut beforehand.

{table(HEAD, [row.cells() for row in rows])}

- Modelled engines. {judged(modelled_share.GOAL, shares, ".3f")}
{real}

{pairs}

![Service ÷ engine alone](bench/b1-share.svg)"""
    shares |= {row.name.partition(",")[0]: row.ratio for row in rows}
    percent = [(name, Spread(tuple(100 * one for one in ratio.values))) for name, ratio in shares.items()]
    plot = bars("service ÷ engine alone, % (the line: the modelled engines' goal)", percent, 100 * modelled_share.GOAL)
    return Section(text, {"b1-share.svg": plot})


@dataclass(frozen=True, slots=True)
class _Row:
    """A real engine, the same pages on both sides in each of several turns."""

    name: str
    pages: int
    service: Sequence[float]
    """Seconds."""
    alone: Sequence[float]
    goal: float

    @property
    def ratio(self) -> Spread:
        return Spread(tuple(one / whole for one, whole in zip(self.alone, self.service, strict=True)))

    def cells(self) -> list[object]:
        speeds = (Spread(tuple(self.pages / seconds for seconds in side)) for side in (self.service, self.alone))
        return [self.name, self.pages, *(f"{speed:.2f}" for speed in speeds), f"{self.ratio:.3f}", f"{self.goal:.2f}"]


def _rapidocr(scale: Scale) -> tuple[_Row, str]:
    """A round is two pairs of turns, there and back. And each pair, as a line."""
    pages = sparse()[-4:] if scale.quick else sparse()
    pairs = []
    for pair in compare(pages, "ocr", 2 * scale.rounds):
        pairs.append(pair)
        print(f"RapidOCR: {len(pages)} pages in {pair.queue:.1f} and {pair.plain:.1f} s, {pair.ratio:.3f}", flush=True)
    service, alone = _both([pair.queue for pair in pairs]), _both([pair.plain for pair in pairs])
    ratios = ", ".join(f"{pair.ratio:.3f}" for pair in pairs)
    reading, beside, loop = (
        fmean(cpu) / len(pages) for cpu in zip(*((p.rendering, p.worker, p.plain_cpu) for p in pairs), strict=True)
    )
    told = (
        f"RapidOCR by pairs: {ratios}. CPU seconds a page: {reading:.2f} in the service's render processes and"
        f" {beside:.2f} in its worker, {loop:.2f} in the loop."
    )
    return _Row("RapidOCR", 2 * len(pages), service, alone, 0.95), told


def _both(seconds: Sequence[float]) -> list[float]:
    """Of the two turns of each round."""
    return [sum(of_round) for of_round in zip(seconds[::2], seconds[1::2], strict=True)]


def _vllm(scale: Scale) -> _Row:
    command = [VLLM / "bin" / "python", "-m", "tests.bench.resident", "--json", "long", str(scale.rounds)]
    told = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True).stdout
    found: dict[str, Any] = json.loads(told.splitlines()[-1])
    name = f"vLLM {found['vllm']}, answers of {found['tokens']:.0f} tokens"
    return _Row(name, found["pages"], found["queue"], found["direct"], 0.90)
