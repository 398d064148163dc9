"""What `pagemill eval` computes: scores of pages, of documents, of folders."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from pydantic import ValidationError

from api.cli.plan import Failure
from api.cli.refusals import os_failure
from api.cli.report import page_list
from api.cli.truth import Matching, Pair, read_truth
from jobs.results import DocumentResult
from jobs.scoring.reading import Reading, from_markdown, from_page, joined
from jobs.scoring.score import Score, score, total

EMPTY = Reading("")


@dataclass(frozen=True, slots=True)
class How:
    """Options of a comparison."""

    furniture: bool = False
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Scored:
    """One document's score, and those of its pages where the truth is by page."""

    pair: Pair
    score: Score
    pages: dict[int, Score]


@dataclass(slots=True)
class Evaluation:
    scored: list[Scored] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    @property
    def groups(self) -> dict[str, Score]:
        """Sums by folder."""
        found: defaultdict[str, list[Score]] = defaultdict(list)
        for one in self.scored:
            found[one.pair.group].append(one.score)
        return {group: total(scores) for group, scores in sorted(found.items())}

    @property
    def total(self) -> Score:
        return total(one.score for one in self.scored)


def evaluate(matching: Matching, how: How, tell: Callable[[str], None]) -> Evaluation:
    """Score every pair; what cannot be read or compared is a failure of its own. `tell` hears each name before."""
    evaluation = Evaluation(unused=matching.unused, failures=list(matching.failures))
    for pair in matching.pairs:
        tell(pair.result.name)
        try:
            evaluation.scored += _scored(pair, how, evaluation.failures)
        except OSError as error:
            evaluation.failures.append(os_failure(error.filename or str(pair.result.path), error))
    return evaluation


def _scored(pair: Pair, how: How, failures: list[Failure]) -> list[Scored]:
    """One score, or none and a failure that says why."""
    truths: dict[int | None, Reading] = {}
    for truth in pair.truths:
        try:
            truths |= read_truth(truth)
        except UnicodeDecodeError as error:
            failures.append(Failure(str(truth.path), "corrupt_file", f"not UTF-8 at byte {error.start}"))
    if not truths:
        return []
    where = str(pair.result.path)
    try:
        pages = read_result(pair, how)
    except (ValidationError, UnicodeDecodeError) as error:
        failures.append(Failure(where, "corrupt_file", f"no result that can be read: {str(error).splitlines()[0]}"))
        return []
    try:
        return [_compared(pair, truths, pages, how, failures)]
    except ValueError as error:
        detail = f"{error}: cut the truth into pages, by form feeds or as files x.pdf.page-1.txt"
        failures.append(Failure(str(pair.truths[0].path), "file_too_large", detail))
        return []


def _compared(
    pair: Pair,
    truths: dict[int | None, Reading],
    pages: dict[int | None, Reading],
    how: How,
    failures: list[Failure],
) -> Scored:
    if None in truths:
        whole = score(truths[None], joined(pages.values()), exact=how.exact)
        return Scored(pair, whole, {})
    if None in pages:
        whole = score(joined(truths.values()), pages[None], exact=how.exact)
        return Scored(pair, whole, {})
    missing = [number for number in truths if number not in pages and number is not None]
    if missing:
        detail = "the truth has these pages and the result has not"
        failures.append(Failure(str(pair.result.path), "not_found", detail, pages=page_list(missing)))
    scores = {
        number: score(truth, pages[number], exact=how.exact)
        for number, truth in truths.items()
        if number is not None and number in pages
    }
    return Scored(pair, total(scores.values()), scores)


def read_result(pair: Pair, how: How) -> dict[int | None, Reading]:
    """What was read, by page; under None where only Markdown is left. A page that failed has no text.

    Raises OSError, UnicodeDecodeError, pydantic.ValidationError.
    """
    path = pair.result.path
    if path.suffix == ".md":
        return {None: from_markdown(path.read_text("utf-8"))}
    document = DocumentResult.model_validate_json(path.read_bytes())
    return {
        page.number: from_page(page.result, furniture=how.furniture) if page.result else EMPTY
        for page in document.pages
    }
