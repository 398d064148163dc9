"""The pages for people say only what is there: links, settings, make targets, commands with options, API paths."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token
from typer.main import get_command

from api.cli.main import build
from jobs.settings import known_variables

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MAKEFILE = (ROOT / "Makefile").read_text()
API = json.loads((ROOT / "api" / "openapi.json").read_text())["paths"]


# Read by tests and tools (jobs.settings.loading).
TOOLS = frozenset({"PAGEMILL_FAILPOINT"})


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def tokens(page: Path) -> Iterator[Token]:
    for token in MarkdownIt("commonmark").enable("table").parse(page.read_text("utf-8")):
        yield token
        yield from token.children or ()


def links(page: Path) -> list[str]:
    """Targets of links and pictures, but for those on the web."""
    found = [token.attrGet("href" if token.type == "link_open" else "src") for token in tokens(page)]
    return [link for link in found if isinstance(link, str) and not re.match(r"[a-z]+:", link)]


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    seen: Counter[str] = Counter()
    found = set()
    for opening, inline in pairwise(tokens(page)):
        if opening.type != "heading_open":
            continue
        words = "".join(child.content for child in inline.children or () if child.type in ("text", "code_inline"))
        slug = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def code(page: Path) -> Iterator[str]:
    """Lines of code, in blocks and in sentences."""
    for token in tokens(page):
        if token.type in ("code_inline", "code_block", "fence"):
            yield from token.content.replace("\\\n", " ").splitlines()


def words_after(name: str, line: str) -> Iterator[list[str]]:
    """What a command of that name is called with, in a line of a shell."""
    for part in re.split(r"[;|#]|&&|\$\(", line):
        found = re.match(rf"\s*(?:[A-Z_]+=\S*\s+)*(?:\S*/)?{name} (.*)", part)
        if found:
            yield found[1].split()


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page):
    broken = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_settings_exist(page):
    known = set(known_variables()) | TOOLS
    unknown = [
        name
        for name in set(re.findall(r"PAGEMILL_[A-Z0-9_]*", page.read_text("utf-8")))
        if name not in known and not (name.endswith("_") and any(other.startswith(name) for other in known))
    ]
    assert unknown == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_metrics_exist(page):
    from jobs.metrics import METRICS

    known = {name for metric in METRICS for name in (metric.name, *metric.series)}
    used = {name for line in code(page) for name in re.findall(r"\bpagemill_[a-z_]+\b(?![*…-])", line)}
    assert used - known == set()


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_make_targets_exist(page):
    wanted = {words[0] for line in code(page) for words in words_after("make", line)}
    assert {target for target in wanted if not re.search(rf"^(?:[a-z ]* )?{target}\b[a-z ]*:", MAKEFILE, re.M)} == set()


def complaints(words: list[str], command: Any = get_command(build())) -> Iterator[str]:
    """What of a call of `pagemill` is no command or option of it."""
    while hasattr(command, "commands"):
        name = words[0] if words else ""
        if not re.fullmatch(r"[a-z]+", name):
            return  # a sentence, or an option of the whole
        if name not in command.commands:
            yield name
            return
        command, words = command.commands[name], words[1:]
    known = {option for parameter in command.params for option in parameter.opts + parameter.secondary_opts}
    for word in words:
        option = re.match(r"--[a-z][a-z-]*", word)
        if option and option[0] not in known | {"--help"}:
            yield option[0]


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands_and_their_options_exist(page):
    calls = (words for line in code(page) for words in words_after("pagemill", line))
    assert [(words, wrong) for words in calls for wrong in complaints(words)] == []


def fits(path: str, template: str) -> bool:
    """`/v1/jobs/$JOB/…` does `/v1/jobs/{job}/result`."""
    parts, slots = path.strip("/").split("/"), template.strip("/").split("/")
    if parts[-1] == "…":
        return len(slots) >= len(parts) - 1 and fits("/".join(parts[:-1]), "/".join(slots[: len(parts) - 1]))
    return len(parts) == len(slots) and all(
        slot.startswith("{") or slot == part for part, slot in zip(parts, slots, strict=True)
    )


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_paths_of_the_api_exist(page):
    # Behind other hosts are others' APIs.
    ours = r"(?:^|[\s\"'(]|:8470|\$U(?:RL)?|pagemill\.example)(/v1(?:/[^\s?'\"`),;*&]*)?)(?![\w-])"
    paths = [found for line in code(page) for found in re.findall(ours, line)]
    known = [*API, "/v1/openapi.json"]
    assert [path for path in paths if not any(fits(path.rstrip("."), template) for template in known)] == []


def test_every_page_is_in_the_index():
    index = {Path(link.partition("#")[0]).name for link in links(ROOT / "docs" / "README.md")}
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"} <= index


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (["keys", "create", "x", "--scope", "admin"], []),
        (["keys", "make", "x"], ["make"]),
        (["run", "x", "--no-such-thing=1"], ["--no-such-thing"]),
        (["anything"], ["anything"]),
    ],
)
def test_the_checker_sees_what_is_wrong(words, wrong):
    assert list(complaints(words)) == wrong


def test_anchors_are_those_of_github(tmp_path):
    page = tmp_path / "x.md"
    page.write_text("# A `b_c` of D's\n\ntext\n\n## Same\n\n## Same\n")
    assert anchors(page) == {"a-b_c-of-ds", "same", "same-1"}
