"""How failures are said."""

from __future__ import annotations

import io

from rich.console import Console

from api.cli.plan import Failure
from api.cli.report import document_failures, failure_line, one_line, page_list, print_failures
from jobs.errors import CorruptFile, EngineError, PageTimeout, TooManyPages, UnsupportedType


def test_pages_are_told_as_ranges():
    assert page_list([9, 3, 7, 8, 11, 12, 1]) == "1,3,7-9,11-12"


def test_pages_with_the_same_trouble_share_a_line():
    pages = [(n, EngineError(f"page {n} is odd").problem()) for n in (1, 2, 3)]
    pages.append((9, PageTimeout("too slow", limit=300).problem()))
    assert document_failures("x.pdf", pages, None) == [
        Failure("x.pdf", "engine_error", "page 1 is odd (and similar)", None, "1-3"),
        Failure("x.pdf", "page_timeout", "too slow", 300, "9"),
    ]


def test_without_failed_pages_the_document_speaks_for_itself():
    assert document_failures("x.pdf", [], CorruptFile("no trailer").problem()) == [
        Failure("x.pdf", "corrupt_file", "no trailer")
    ]
    assert document_failures("x.pdf", [], None) == []


def test_a_line_names_code_what_where_and_limit():
    error = TooManyPages("the document has too many pages", where="x.pdf", limit=20000, actual=30000)
    assert one_line(error) == "too_many_pages: the document has too many pages (x.pdf; limit 20000; found 30000)"


def test_limits_that_are_texts_are_not_repeated():
    error = UnsupportedType("only PDF", where="x.txt", limit="application/pdf", actual="plain text")
    assert one_line(error) == "unsupported_type: only PDF (x.txt)"
    failure = Failure("x.txt", "unsupported_type", "only PDF", "application/pdf")
    assert failure_line(failure) == "failed: x.txt: unsupported_type: only PDF"


def test_one_page_is_no_plural():
    assert failure_line(Failure("x", "page_timeout", "It hung", pages="3")).startswith("failed: x page 3: ")
    assert failure_line(Failure("x", "page_timeout", "It hung", pages="3,5")).startswith("failed: x pages 3,5: ")


def test_an_error_of_several_lines_is_one_line():
    assert one_line(CorruptFile("first\n  second")) == "corrupt_file: first second"


def test_names_are_shown_as_they_are_and_never_as_markup():
    out = io.StringIO()
    failures = [Failure("[red]a\udcff.pdf", "empty_file", "The file is empty")]
    print_failures(Console(file=out), failures)
    assert out.getvalue() == "failed: [red]a?.pdf: empty_file: The file is empty\n"
    print_failures(Console(file=(terminal := io.StringIO()), force_terminal=True, width=120), failures)
    assert "[red]a?.pdf" in terminal.getvalue()
