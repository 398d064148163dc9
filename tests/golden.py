"""Golden outputs of PaddleX 3.7.2 (tests/unit/paddlex_golden): what another implementation gave, case by case."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "unit" / "paddlex_golden"


@dataclass(frozen=True)
class Case:
    """One recorded call. `output` is `{"error": type, "message": text}` where PaddleX raised."""

    name: str
    input: Any
    params: dict[str, Any]
    output: Any

    def __str__(self) -> str:
        return self.name

    @property
    def raised(self) -> str | None:
        """Name of the exception that PaddleX raised."""
        return self.output.get("error") if isinstance(self.output, dict) else None

    @property
    def expected(self) -> Any:
        """What we give: PaddleX's output, or what stands in deviations.jsonl instead."""
        return deviations().get(self.name, {"ours": self.output})["ours"]


def cases(name: str) -> list[Case]:
    """All cases of `<name>.jsonl`."""
    return [Case(c["name"], c["input"], c["params"], c["output"]) for c in _lines(name)]


@cache
def deviations() -> dict[str, Any]:
    """What we give instead and why, by name of the case."""
    return {line["name"]: line for line in _lines("deviations")}


def _lines(name: str) -> list[Any]:
    with (FOLDER / f"{name}.jsonl").open() as file:
        return [json.loads(line) for line in file]
