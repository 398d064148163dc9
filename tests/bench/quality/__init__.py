"""How well pagemill reads, beside RapidOCR's and Tesseract's plain reading of the same images: docs/quality.md.

    samples.py   which pages of the public documents have ground truth, and what it is
    readers.py   what reads a page
    cache.py     readings on disk, so that a run can be stopped and only what changed is read again
    reading.py   all readers over all pages, a process per core
    report.py    the tables of docs/quality.md

`python -m tests.bench quality` (or `make quality`) reads everything and writes the figures into docs/quality.md.
`python -m tests.bench.quality --sample 20 --only tracemonkey` prints them for fewer pages.
"""
