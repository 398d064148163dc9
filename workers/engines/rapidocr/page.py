"""The page half of RapidOCR: one page's pixels to blocks, in a render process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from time import perf_counter
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from jobs.errors import EngineError, PageRenderFailed
from jobs.options import PageOptions
from jobs.results import PageOutput, PageResult, Warning_
from jobs.settings import EngineSettings
from workers.engines.base import RenderedPage
from workers.engines.rapidocr.arrange import arrange
from workers.engines.rapidocr.blocks import blocks_of
from workers.engines.rapidocr.detection import cut, text_quads
from workers.engines.rapidocr.files import engine_info, model_files
from workers.engines.rapidocr.geometry import Box, Line, Region, mean_score
from workers.engines.rapidocr.grids import Grid
from workers.engines.rapidocr.grids import moved as grid_moved
from workers.engines.rapidocr.labels import CDLA
from workers.engines.rapidocr.layer import Eyes, LayerPage, read_layer, told
from workers.engines.rapidocr.legibility import NOTHING, Legibility, assess, legible, script_of, warnings
from workers.engines.rapidocr.models import Models, open_models, threads_per_process
from workers.engines.rapidocr.orientation import Turn, turn_of, turned, turned_image
from workers.engines.rapidocr.pieces import Piece
from workers.engines.rapidocr.recognition import ReadLine
from workers.engines.rapidocr.skew import band, leaning, moved, skew, straightened
from workers.engines.rapidocr.table_places import places, with_tables

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

# Turned pages that read worse than this are read upright as well, and the better reading counts.
GOOD_READING = 0.85
# Of 255: what a blank page may vary.
NOISE = 8


class _Stopwatch:
    """Seconds by step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        start = perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + perf_counter() - start


class _Reading(NamedTuple):
    """What is on a page, on boxes straightened by `skew` radians around the page's middle."""

    regions: list[Region]
    lines: list[Line]
    skew: float
    legibility: Legibility = NOTHING
    grids: Mapping[Region, Grid] = MappingProxyType({})
    """Cells of those of the regions that are tables."""

    @property
    def score(self) -> float | None:
        return mean_score(self.lines)


class RapidOcrPageHalf:
    """One instance per render process, with its own sessions."""

    def __init__(self, settings: EngineSettings, *, threads: int | None = None) -> None:
        """`threads` of each session: where absent, all render processes together use every core once."""
        self._settings = settings
        self._threads = threads or threads_per_process(settings.render_processes)

    def start(self) -> None:
        """Load the models and run each once. Raises EngineUnavailable."""
        files = model_files(self._settings)
        self._models: Models = open_models(files, self._threads)
        self._reader_name = files.recognition.name
        self._info = engine_info(files)
        self._eyes = Eyes(
            self._regions,
            lambda image, regions: cut(text_quads(image, self._models.detector), regions),
            self._models.recognizer.read,
            self._models.recognizer.alphabet,
        )

    def recognize(self, rendered: RenderedPage, options: PageOptions) -> PageOutput:
        """Read one page. Raises EngineError when a model refuses it."""
        watch = _Stopwatch()
        watch.seconds["render"] = rendered.render_seconds
        try:
            layer = read_layer(rendered, options.text, self._eyes, watch.step)
            if isinstance(layer, LayerPage):
                turn, pixels, reading = layer.turn, layer.pixels, _reading(layer.regions, layer.lines, layer.image)
            else:
                turn, pixels, reading = self._upright(rendered.pixels, watch)
            with watch.step("tables"):
                reading = self._with_grids(reading, pixels)
        except (RuntimeError, ValueError) as error:
            raise EngineError(f"page {rendered.number}: {error}") from error
        with watch.step("arrange"):
            pieces = _arranged(reading, pixels, rendered.number)
        text, told_of_layer, aside = told(layer)
        pieces += [Piece("aside_text", box, words, 1.0) for box, words in aside]
        with watch.step("figures"):
            blocks, figures = blocks_of(pieces, pixels, rendered.number, figures=options.figures)
        result = PageResult(
            number=rendered.number,
            image=turned_image(rendered.info, pixels, turn),
            blocks=blocks,
            engine=self._info,
            text=text,
            score=reading.score,
            warnings=(*rendered.warnings, *told_of_layer, *self._doubts(reading.legibility, rendered)),
            timings={name: round(seconds, 4) for name, seconds in watch.seconds.items()},
        )
        return PageOutput(result=result, figures=figures)

    def _upright(self, pixels: Image.Image, watch: _Stopwatch) -> tuple[Turn, Image.Image, _Reading]:
        """The page set upright and what is on it; a turn that does not read well must read better than none."""
        with watch.step("orient"):
            turn = turn_of(_bgr(pixels), self._models.orientation)
        upright = turned(pixels, turn)
        reading = self._read(_bgr(upright), watch)
        if turn == 0 or (reading.score or 0.0) >= GOOD_READING:
            return turn, upright, reading
        as_it_was = self._read(_bgr(pixels), watch)
        if (as_it_was.score or 0.0) >= (reading.score or 0.0):
            return 0, pixels, as_it_was
        return turn, upright, reading

    def _read(self, image: Pixels, watch: _Stopwatch) -> _Reading:
        if _is_blank(image):
            return _Reading([], [], 0.0)
        with watch.step("layout"):
            regions = self._regions(image)
        with watch.step("detect"):
            quads = cut(text_quads(image, self._models.detector), regions)
        if not len(quads):
            return _Reading(regions, [], 0.0)
        with watch.step("recognize"):
            found = self._models.recognizer.read(image, quads)
        return _reading(regions, legible(found), image)._replace(legibility=assess(found, image))

    def _with_grids(self, reading: _Reading, pixels: Image.Image) -> _Reading:
        """Tables with their cells; places that turn out to be tables become regions."""
        tables = self._models.tables
        found = places(reading.lines, reading.regions) if tables else []
        if tables is None or not found:
            return reading
        image, centre = _bgr(pixels), (pixels.width / 2, pixels.height / 2)
        grids: dict[Region, Grid] = {}
        for region in found:
            grid = tables.grid(image, moved(region.box, reading.skew, centre))
            if grid is not None:
                grids[region] = grid_moved(grid, lambda box: moved(box, -reading.skew, centre))
        return reading._replace(regions=with_tables(reading.regions, reading.lines, grids), grids=grids)

    def _doubts(self, legibility: Legibility, rendered: RenderedPage) -> tuple[Warning_, ...]:
        script = script_of(_layer_text(rendered), self._models.recognizer.alphabet) if legibility.foreign else None
        return warnings(legibility, self._reader_name, script)

    def _regions(self, image: Pixels) -> list[Region]:
        found = self._models.layout(image)
        height, width = image.shape[:2]
        regions = []
        for box, score, name in zip(found.boxes, found.scores, found.class_names, strict=True):
            x0, x1 = sorted(min(max(x, 0.0), float(width)) for x in (box[0], box[2]))
            y0, y1 = sorted(min(max(y, 0.0), float(height)) for y in (box[1], box[3]))
            regions.append(Region(CDLA[name], Box(x0, y0, x1, y1), min(1.0, float(score))))
        return regions


def _reading(regions: Sequence[Region], found: Sequence[ReadLine], image: Pixels) -> _Reading:
    corners = [[(float(x), float(y)) for x, y in line.quad] for line in found]
    centre = (image.shape[1] / 2, image.shape[0] / 2)
    angle = skew((quad[0], quad[1]) for quad in corners)
    lines = [
        Line(
            band(quad, angle, centre),
            line.text,
            line.score,
            straightened(quad, angle, centre),
            line.font,
            line.columns,
        )
        for quad, line in zip(corners, found, strict=True)
    ]
    return _Reading([replace(r, box=moved(r.box, -angle, centre)) for r in regions], lines, angle)


def _arranged(reading: _Reading, pixels: Image.Image, number: int) -> list[Piece]:
    """The blocks in order, with boxes on the page as it is."""
    size = {"width": pixels.width, "height": pixels.height}
    pieces = arrange(reading.lines, reading.regions, reading.grids, number=number, **size)
    centre = (pixels.width / 2, pixels.height / 2)
    upright = {"image", "table"}
    return [replace(p, box=(moved if p.label in upright else leaning)(p.box, reading.skew, centre)) for p in pieces]


def _bgr(pixels: Image.Image) -> Pixels:
    return np.ascontiguousarray(np.asarray(pixels)[:, :, ::-1])


def _is_blank(image: Pixels) -> bool:
    """One colour all over, but for the noise of a JPEG."""
    return bool((np.ptp(image, axis=(0, 1)) <= NOISE).all())


def _layer_text(rendered: RenderedPage) -> str:
    """What the PDF says is on the page; it may say nothing, and nothing follows from what it says but a name."""
    try:
        layer = rendered.text_layer()
    except PageRenderFailed:
        return ""
    return "".join(glyph.text for glyph in layer.glyphs) if layer else ""
