"""`python -m tests.bench.quality [--sample N] [--only TEXT] [--write]`: figures of pages with ground truth."""

from __future__ import annotations

import argparse
import sys

from tests.bench.quality import report
from tests.bench.quality.reading import measure
from tests.bench.quality.samples import PAGES_PER_DOCUMENT, samples
from tests.testdata import TESTDATA


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.quality", description=__doc__)
    parser.add_argument("--sample", type=int, help="the first so many: a document of every folder, then another, …")
    parser.add_argument("--only", default="", help="only documents whose path holds this")
    parser.add_argument("--pages", type=int, default=PAGES_PER_DOCUMENT, help="pages of each document")
    parser.add_argument("--write", action="store_true", help="write docs/quality.md, docs/quality-pages.md")
    parser.add_argument("--processes", type=int, default=2, help="pages read at once")
    given = parser.parse_args(arguments)
    if TESTDATA is None:
        print("the documents are read from ../shared/testdata, which is not there")
        return 2
    all_pages = samples(TESTDATA, given.pages)
    chosen = [sample for sample in all_pages if given.only in sample.file][: given.sample]
    measured = measure(chosen, given.processes)
    print(report.figures(measured, len(all_pages)), report.pages(measured), sep="\n")
    if given.write:
        report.write(measured, len(all_pages))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
