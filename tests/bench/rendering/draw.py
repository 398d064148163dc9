"""PyMuPDF's side of B5, run in its own environment: `draw.py DPI FILE PAGES [FILE PAGES…]`.

Prints seconds, CPU seconds and pages as JSON: of opening every file and making an RGB pixmap of its first pages, in
one thread of a process that has imported all and drawn the first page of each file before.
"""

import json
import sys
import time

import pymupdf


def draw(dpi: int, files: list[tuple[str, int]]) -> int:
    drawn = 0
    for path, pages in files:
        with pymupdf.open(path) as document:
            for number in range(pages):
                pixmap = document[number].get_pixmap(dpi=dpi, colorspace=pymupdf.csRGB, alpha=False)
                drawn += bool(pixmap.samples_mv)
    return drawn


def main() -> None:
    dpi = int(sys.argv[1])
    files = [(path, int(pages)) for path, pages in zip(sys.argv[2::2], sys.argv[3::2], strict=True)]
    draw(dpi, [(path, 1) for path, _ in files])
    begun, cpu = time.perf_counter(), time.process_time()
    pages = draw(dpi, files)
    taken = {"seconds": time.perf_counter() - begun, "cpu": time.process_time() - cpu, "pages": pages}
    print(json.dumps(taken))


if __name__ == "__main__":
    main()
