"""How well pagemill reads, beside RapidOCR's and Tesseract's plain reading of the same images: docs/quality.md.

    samples.py     which pages of the public documents have ground truth, and what it is
    readers.py     what reads a page
    cache.py       what was read, on disk, so that a run can be stopped
    remembered.py  the models, which do not see the same pixels twice
    reading.py     all readers over all pages
    report.py      the tables of docs/quality.md
    gallery.py     ten pages beside their Markdown, to be looked at

`make quality` reads everything and writes the figures into docs/quality.md and docs/quality-pages.md.
`python -m tests.bench.quality --sample 20` prints them for fewer pages.
"""
