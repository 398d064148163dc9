"""`pagemill eval`: how well documents were read, by ground truth that the user has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from api.cli.options import Json
from api.cli.plan import Failure
from api.cli.report import counted, print_failures, shown
from api.cli.scoring import Evaluation, How, Scored, evaluate
from api.cli.truth import match
from jobs.scoring.score import Score

_RATES = ("cer", "recall", "word_recall", "order", "teds", "teds_structure")
_COUNTS = ("characters", "read", "edits", "words", "tables", "tables_read")
_HEADS = ("document", "characters", "CER", "recall", "words", "order", "tables", "TEDS", "TEDS-S")
_TABLE_HEADS = 3
"""The last ones, about tables."""


def eval_(
    truth: Annotated[
        Path, typer.Argument(metavar="TRUTH-DIR", help="Folder of truth: .txt, .md, .html, named as the documents are.")
    ],
    results: Annotated[
        Path | None,
        typer.Option("-r", "--results", metavar="DIR", help="Results of run or fetch; TRUTH-DIR by default."),
    ] = None,
    furniture: Annotated[
        bool,
        typer.Option("--furniture", help="Score heads, feet, page numbers and footnotes too, which Markdown omits."),
    ] = False,
    exact: Annotated[bool, typer.Option("--exact", help="Quotes, dashes, ligatures and widths must be equal.")] = False,
    max_cer: Annotated[
        float | None, typer.Option("--max-cer", metavar="PERCENT", min=0, help="Exit with 1 where the total is above.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Score results against ground truth: TRUTH-DIR mirrors the folders of the documents.

    x.pdf.txt is the truth of x.pdf, x.txt of every x.…; x.pdf.page-3.txt of page 3.
    Form feeds in a .txt end pages. Tables are compared where .md or .html have some.
    CER: character error rate. Recall, words: what was read, in whatever order.
    Order: share of the text in the right order. TEDS: likeness of tables; S: of their cells alone.
    Exit status 1 with a table of what has no result or cannot be read.

    Examples:

      pagemill run scans/ -o text/ && pagemill eval truth/ -r text/

      pagemill eval truth/ -r text/ --json --max-cer 2.5
    """
    console = Console(stderr=as_json, highlight=False)
    matching = match(truth, results or truth)
    with console.status("", spinner="dots") as status:
        done = evaluate(matching, How(furniture, exact), lambda name: status.update(Text(shown(name))))
    total = done.total
    if max_cer is not None and total.cer is not None and total.cer * 100 > max_cer:
        detail = f"the total character error rate is {percent(total.cer)}, allowed are {max_cer:g} %"
        done.failures.append(Failure(str(truth), "max_cer", detail))
    if as_json:
        typer.echo(orjson.dumps(summary(done, truth, results or truth), option=orjson.OPT_INDENT_2))
    else:
        _tell(console, done)
    raise typer.Exit(1 if done.failures else 0)


def percent(rate: float | None) -> str:
    """`0.0123` -> `1.23 %`; a dash where there is nothing to measure."""
    return "–" if rate is None else f"{100 * rate:.2f} %"


def figures(score: Score) -> dict[str, Any]:
    """A score as JSON: counts and rates between 0 and 1, null where there is nothing to measure."""
    rates = {name: getattr(score, name) for name in _RATES}
    return {name: getattr(score, name) for name in _COUNTS} | {
        name: None if rate is None else round(rate, 6) for name, rate in rates.items()
    }


def summary(done: Evaluation, truth: Path, results: Path) -> dict[str, Any]:
    return {
        "truth": str(truth),
        "results": str(results),
        "total": {"files": len(done.scored)} | figures(done.total),
        "groups": [{"group": group} | figures(score) for group, score in done.groups.items()],
        "files": [_file(one) for one in done.scored],
        "without_truth": done.unused,
        "failures": [{"where": f.where, "code": f.code, "detail": f.detail, "pages": f.pages} for f in done.failures],
    }


def _file(one: Scored) -> dict[str, Any]:
    return {
        "name": one.pair.result.name,
        "truth": [str(truth.path) for truth in one.pair.truths],
        **figures(one.score),
        "pages": [{"page": number} | figures(score) for number, score in sorted(one.pages.items())],
    }


def _tell(console: Console, done: Evaluation) -> None:
    rows = [_row(one.pair.result.name, one.score) for one in done.scored]
    groups = done.groups
    sums = _sums(groups) if len(groups) > 1 else []
    last = _row("total", done.total)
    if console.is_terminal:
        console.print(_table(rows, [*sums, last], tables=bool(done.total.tables)))
    else:
        for row in (_HEADS, *rows, *sums, last):
            typer.echo("\t".join(row))  # rich would make blanks of tabs
    if done.failures:
        print_failures(console, done.failures)
    if done.unused:
        some = shown(", ".join(done.unused[:3])) + (", …" if len(done.unused) > 3 else "")
        console.print(Text(f"{counted(len(done.unused), 'result')} without truth: {some}", style="dim"))


def _sums(groups: Mapping[str, Score]) -> list[tuple[str, ...]]:
    return [_row(f"{group}/", score) for group, score in groups.items()]


def _row(name: str, score: Score) -> tuple[str, ...]:
    tables = str(score.tables) if score.tables else "–"
    rates = (score.cer, score.recall, score.word_recall, score.order)
    likeness = (percent(score.teds), percent(score.teds_structure))
    return (shown(name), str(score.characters), *map(percent, rates), tables, *likeness)


def _table(rows: list[tuple[str, ...]], sums: list[tuple[str, ...]], *, tables: bool) -> Table:
    """Narrow enough for 80 columns beside a name: the unit stands below, what nobody's truth has is left out."""
    table = Table(box=None, pad_edge=False, header_style="bold", caption="all rates in %", caption_justify="left")
    table.add_column(_HEADS[0], overflow="fold", min_width=12)
    heads = _HEADS[1:] if tables else _HEADS[1:-_TABLE_HEADS]
    for head in heads:
        table.add_column("chars" if head == "characters" else head, justify="right", no_wrap=True)
    for style, some in ((None, rows), ("bold", sums)):
        for name, *cells in some:
            table.add_row(Text(name), *(Text(cell.removesuffix(" %")) for cell in cells[: len(heads)]), style=style)
    return table
