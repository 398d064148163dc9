"""A million pages, a PDF of ten thousand, a job of a hundred thousand documents: does anything grow that must not?

`run` does all of it; `python -m tests.bench.scale --help` parts of it, in the background, and tells what a run that
was cut short has seen. See docs/scaling.md.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.bench.report import Scale, Section
from tests.bench.scale.ends import ended
from tests.bench.scale.journal import Journal
from tests.bench.scale.loads import large, listed, many
from tests.bench.scale.owners import owning
from tests.bench.scale.questions import tables
from tests.bench.scale.standing import standing
from tests.bench.scale.telling import told

PAGES, LONG, DOCUMENTS = 1_000_000, 10_000, 100_000
QUICK_PAGES, QUICK_LONG, QUICK_DOCUMENTS = 10_000, 1000, 1000
SIZES, QUICK_SIZES = (10_000, 100_000, 1_000_000), (1000, 10_000)
OWNERS, QUICK_OWNERS = (1, 100, 1000, 10_000), (1, 10)
WORKERS = 2


def run(scale: Scale) -> Section:
    """All parts, one after the other; half an hour for the million, and as long again for the documents."""
    journal = Journal(Path(tempfile.gettempdir()) / "pagemill-scale.jsonl")
    print(f"figures as they come: {journal.path}", flush=True)
    every = 1.0 if scale.quick else 5.0
    many(journal, scale.of(PAGES, QUICK_PAGES), workers=WORKERS, every=every)
    large(journal, scale.of(LONG, QUICK_LONG), workers=WORKERS)
    listed(journal, scale.of(DOCUMENTS, QUICK_DOCUMENTS), workers=WORKERS, every=every)
    sizes = QUICK_SIZES if scale.quick else SIZES
    beside = standing((40_000, 80_000), 1, 3.0) if scale.quick else standing((200_000, 2_000_000), scale.rounds)
    owners = f"""\
Milliseconds of what a round of dispatch asks, by owners who wait (medians, each rolled back; 10,000 documents of 16
pages, whoever owns them):

{owning(QUICK_OWNERS if scale.quick else OWNERS)}"""
    return told(journal.path, "\n\n".join([beside, ended(sizes), tables(sizes, grown=True), owners]))
