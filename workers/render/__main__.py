"""`python -m workers.render`: one page to a JPEG file, under the memory limit and the deadline of any other page.

The API shows page images by this, so that it never loads a PDF library and a hostile page ends nothing but this
process. The password, if there is one, is read from stdin. Exit code 0; or 1 with the problem as JSON in the last line
of stderr (decoders write their complaints there too); or a death by signal (SIGALRM: the deadline).
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from jobs.errors import InternalError, PagemillError, PageRenderFailed
from jobs.settings import LimitSettings, load
from workers.render.confine import data_bytes, limit_data
from workers.render.documents import open_document

JPEG_QUALITY = 85


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m workers.render", description="Render one page to a JPEG file.")
    parser.add_argument("--path", type=Path, required=True)
    parser.add_argument("--media-type", required=True)
    parser.add_argument("--page", type=int, required=True, help="1-based")
    parser.add_argument("--dpi", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--max-pixels", type=int, default=None, help="default: PAGEMILL_MAX_PAGE_PIXELS")
    return parser.parse_args()


def _render(arguments: argparse.Namespace, limits: LimitSettings) -> None:
    password = "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read().rstrip("\r\n")
    max_pixels = arguments.max_pixels or limits.max_page_pixels
    baseline = data_bytes()
    if baseline is not None:
        limit_data(baseline + limits.render_memory)
    try:
        document = open_document(arguments.path, arguments.media_type, password or None, max_pixels=max_pixels)
        page = document.render(arguments.page, arguments.dpi, max_pixels)
        dpi = round(page.info.dpi)
        page.pixels.save(arguments.out, "JPEG", quality=JPEG_QUALITY, dpi=(dpi, dpi))
    except MemoryError:
        raise PageRenderFailed("it takes more memory than a page may take", limit=limits.render_memory) from None
    document.close()


def main() -> int:
    try:
        limits = load(LimitSettings)
        # The default action ends the process whatever it hangs in, and whether or not the API still lives.
        signal.setitimer(signal.ITIMER_REAL, limits.page_timeout)
        _render(_arguments(), limits)
    except PagemillError as error:
        problem = error.problem()
    except Exception as error:  # noqa: BLE001 - the edge of the process
        problem = InternalError(f"{type(error).__name__}: {error}").problem()
    else:
        return 0
    sys.stderr.write(problem.model_dump_json(exclude_none=True) + "\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
