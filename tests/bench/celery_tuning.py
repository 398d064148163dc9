"""`python -m tests.bench.celery_tuning [NAME…]`: how the designs of B4 were tuned. Each variant once, 600 pages.

Names: pages, batches, chunks.
"""

from __future__ import annotations

import sys

from tests.bench.against_celery import MODEL, batches, bench, chunks, pages
from tests.bench.celery_runs import measure
from tests.bench.celery_sides import Design
from tests.bench.report import table

VARIANTS: dict[str, list[tuple[str, Design]]] = {
    "pages": [(f"{threads} threads", pages(threads)) for threads in (64, 96, 160)],
    "batches": [
        (f"{flush} pages or {interval} s, {threads} at once", batches(flush, interval, threads))
        for threads, lists in ((1, (64, 128, 256)), (2, (64, 128, 256)))
        for flush, interval in [*((flush, 1.0) for flush in lists), (256, 0.3)]
    ],
    "chunks": [(f"{documents} documents a task", chunks(documents)) for documents in (1, 2, 3, 6)],
}
DOCUMENTS = 6


def main(names: list[str]) -> None:
    found = [variant for name in names or VARIANTS for variant in VARIANTS[name]]
    rows = []
    with bench([design for _, design in found]) as (sides, parts):
        for (variant, design), side in zip(found, sides[1:], strict=True):
            run = measure(side, MODEL, parts, DOCUMENTS, small=True)
            cpu = sum(run.cpu.values())
            rows.append(
                [
                    design.name,
                    variant,
                    f"{run.rate:.1f}",
                    f"{run.idle:z.1%}",
                    f"{run.first:.1f}",
                    f"{run.small:.1f}",
                    f"{cpu:.2f}",
                ]
            )
            print(rows[-1], flush=True)
    print(table(["design", "variant", "pages/s", "idle, %", "first, s", "small, s", "CPU ms/page"], rows))


if __name__ == "__main__":
    main(sys.argv[1:])
