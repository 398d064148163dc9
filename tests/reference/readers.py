"""Which process reads which group of settings: told from where the code says `load(SomeSettings)`."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_PLACES = (
    ("api/cli/", ("commands",)),
    ("api/", ("API",)),
    ("workers/", ("worker",)),
    ("jobs/", ("API", "worker")),
)
"""By the first that fits: where a group is loaded, and the processes that run the code there."""

_ORDER = ("API", "worker", "commands")


def readers() -> dict[str, tuple[str, ...]]:
    """The name of a group -> who reads it."""
    found: dict[str, set[str]] = {}
    for folder in ("api", "jobs", "workers"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            who = next(names for place, names in _PLACES if path.relative_to(ROOT).as_posix().startswith(place))
            for group in _loaded(ast.parse(path.read_text("utf-8"))):
                found.setdefault(group, set()).update(who)
    return {group: tuple(sorted(who, key=_ORDER.index)) for group, who in found.items()}


def _loaded(tree: ast.AST) -> set[str]:
    """The groups that `load(…)` is called with, by name."""
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    named = (call.args[0] for call in calls if isinstance(call.func, ast.Name) and call.func.id == "load" and call.args)
    return {argument.id for argument in named if isinstance(argument, ast.Name) and argument.id.endswith("Settings")}
