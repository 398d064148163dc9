"""The page half of RapidOCR: one page's pixels to blocks, in a render process."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from PIL import Image

from jobs.errors import EngineError
from jobs.options import PageOptions
from jobs.results import Block, PageImage, PageOutput, PageResult, Warning_
from jobs.settings import EngineSettings
from workers.engines.base import RenderedPage
from workers.engines.rapidocr.arrange import Piece, arrange
from workers.engines.rapidocr.geometry import Box, Line, Region, mean_score
from workers.engines.rapidocr.gutters import pieces
from workers.engines.rapidocr.labels import CDLA
from workers.engines.rapidocr.models import Models, engine_info, open_models, threads_per_process
from workers.engines.rapidocr.skew import leaning, moved, skew, straightened

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

Turn = Literal[0, 90, 180, 270]

# A turn is believed from this probability on (upright and turned pages of the test documents: 0.70 and more; the wrong
# answers that remain are caught by reading).
SURE_TURN = 0.7
# Turned pages that read worse than this are read upright as well, and the better reading counts.
GOOD_READING = 0.85
LEAST_SCORE = 0.5
LOW_CONFIDENCE = 0.6
# Detection: long sides up to this are taken as they are, larger ones scaled to no less than the factor (200 dpi to 144)
# and to no more pixels than that; small images are enlarged until the short side has the model's 736 pixels.
DETECT_SIDE = 1600
DETECT_SCALE = 0.72
DETECT_PIXELS = 3_500_000
DETECT_SHORT = 736
# Pages longer than this many widths are detected in windows.
WINDOW = 3.0
# Wider lines are squeezed: the recogniser's cost grows with the square of the width.
LINE_RATIO = 60
SMALLEST_SIDE = 16
# Of 255: what a blank page may vary, and what differs from the paper enough to be ink.
NOISE = 8
INK = 60
JPEG_QUALITY = 85


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

    @property
    def score(self) -> float | None:
        return mean_score(self.lines)


class RapidOcrPageHalf:
    """One instance per render process, with its own sessions."""

    def __init__(self, settings: EngineSettings) -> None:
        self._threads = threads_per_process(settings.render_processes)

    def start(self) -> None:
        """Load the models and run each once. Raises EngineUnavailable."""
        self._models: Models = open_models(self._threads)
        self._info = engine_info()

    def recognize(self, rendered: RenderedPage, options: PageOptions) -> PageOutput:
        """Read one page. Raises EngineError when a model refuses it."""
        watch = _Stopwatch()
        watch.seconds["render"] = rendered.render_seconds
        try:
            turn, pixels, reading = self._upright(rendered.pixels, watch)
        except (RuntimeError, ValueError) as error:
            raise EngineError(f"page {rendered.number}: {error}") from error
        with watch.step("arrange"):
            pieces = _arranged(reading, pixels, rendered.number)
        with watch.step("figures"):
            blocks, figures = _blocks(pieces, pixels, rendered.number, figures=options.figures)
        image = _turned_image(rendered.info, pixels, turn)
        score = reading.score
        result = PageResult(
            number=rendered.number,
            image=image,
            blocks=blocks,
            engine=self._info,
            score=score,
            warnings=(*rendered.warnings, *_doubts(score)),
            timings={name: round(seconds, 4) for name, seconds in watch.seconds.items()},
        )
        return PageOutput(result=result, figures=figures)

    def _upright(self, pixels: Image.Image, watch: _Stopwatch) -> tuple[Turn, Image.Image, _Reading]:
        """The page set upright and what is on it; a turn that does not read well must read better than none."""
        with watch.step("orient"):
            turn = self._turn(_bgr(pixels))
        turned = _turned(pixels, turn)
        reading = self._read(_bgr(turned), watch)
        if turn == 0 or (reading.score or 0.0) >= GOOD_READING:
            return turn, turned, reading
        as_it_was = self._read(_bgr(pixels), watch)
        if (as_it_was.score or 0.0) >= (reading.score or 0.0):
            return 0, pixels, as_it_was
        return turn, turned, reading

    def _read(self, image: Pixels, watch: _Stopwatch) -> _Reading:
        if _is_blank(image):
            return _Reading([], [], 0.0)
        with watch.step("layout"):
            regions = self._regions(image)
        with watch.step("detect"):
            quads = _cut(self._detect(image), regions)
        if not len(quads):
            return _Reading(regions, [], 0.0)
        with watch.step("recognize"):
            reader = self._models.reader
            read = reader.recognize_txt([_squeezed(crop) for crop in reader.crop_text_regions(image, quads)])
        found = zip(quads, read.txts, read.scores, strict=True)
        kept = [(quad, text, float(score)) for quad, text, score in found if score >= LEAST_SCORE and text.strip()]
        return _reading(regions, kept, image)

    def _turn(self, image: Pixels) -> Turn:
        """Degrees clockwise that set the page upright; 0 where the model is not sure."""
        content = _content(image)
        if content is None:
            return 0
        model = self._models.orientation
        scores = np.mean([model.session(model.preprocess(window)[:1])[0][0] for window in _squares(content)], axis=0)
        best = int(scores.argmax())
        found = int(model.labels[best])
        return _TURNS[-found % 360] if scores[best] >= SURE_TURN else 0

    def _detect(self, image: Pixels) -> NDArray[np.float32]:
        """Quadrangles (n, 4, 2) of text lines in pixels of the image."""
        height, width = image.shape[:2]
        if min(height, width) < SMALLEST_SIDE:
            return np.empty((0, 4, 2), np.float32)
        found = [self._detect_window(image, window) for window in _windows(height, width)]
        return np.concatenate(found).astype(np.float32)

    def _detect_window(self, image: Pixels, part: _Window) -> NDArray[np.float32]:
        import cv2

        window = image[part.top : part.bottom]
        height, width = window.shape[:2]
        scale = _detection_scale(width, height)
        size = (max(32, round(width * scale)), max(32, round(height * scale)))
        small = window if size == (width, height) else cv2.resize(window, size, interpolation=cv2.INTER_AREA)
        boxes = self._models.detector(small).boxes
        if boxes is None:
            return np.empty((0, 4, 2), np.float32)
        quads = np.asarray(boxes, np.float32) * (width / size[0], height / size[1]) + (0, part.top)
        centres = quads[:, :, 1].mean(axis=1)
        own: NDArray[np.float32] = quads[(centres >= part.own_top) & (centres < part.own_bottom)]
        return own

    def _regions(self, image: Pixels) -> list[Region]:
        found = self._models.layout(image)
        height, width = image.shape[:2]
        regions = []
        for box, score, name in zip(found.boxes, found.scores, found.class_names, strict=True):
            x0, x1 = sorted(min(max(x, 0.0), float(width)) for x in (box[0], box[2]))
            y0, y1 = sorted(min(max(y, 0.0), float(height)) for y in (box[1], box[3]))
            regions.append(Region(CDLA[name], Box(x0, y0, x1, y1), min(1.0, float(score))))
        return regions


_TURNS: dict[int, Turn] = {0: 0, 90: 90, 180: 180, 270: 270}
_TRANSPOSE = {90: Image.Transpose.ROTATE_270, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_90}


def _reading(
    regions: Sequence[Region], found: Sequence[tuple[NDArray[np.float32], str, float]], image: Pixels
) -> _Reading:
    corners = [[(float(x), float(y)) for x, y in quad] for quad, _, _ in found]
    centre = (image.shape[1] / 2, image.shape[0] / 2)
    angle = skew((quad[0], quad[1]) for quad in corners)
    lines = [
        Line(straightened(quad, angle, centre), text, score)
        for quad, (_, text, score) in zip(corners, found, strict=True)
    ]
    return _Reading([replace(r, box=moved(r.box, -angle, centre)) for r in regions], lines, angle)


def _arranged(reading: _Reading, pixels: Image.Image, number: int) -> list[Piece]:
    """The blocks in order, with boxes on the page as it is."""
    pieces = arrange(reading.lines, reading.regions, number=number, width=pixels.width, height=pixels.height)
    centre = (pixels.width / 2, pixels.height / 2)
    upright = {"image", "table"}
    return [replace(p, box=(moved if p.label in upright else leaning)(p.box, reading.skew, centre)) for p in pieces]


def _bgr(pixels: Image.Image) -> Pixels:
    return np.ascontiguousarray(np.asarray(pixels)[:, :, ::-1])


def _turned(pixels: Image.Image, turn: Turn) -> Image.Image:
    return pixels.transpose(_TRANSPOSE[turn]) if turn else pixels


def _turned_image(info: PageImage, pixels: Image.Image, turn: Turn) -> PageImage:
    rotation = _TURNS[(info.rotation + turn) % 360]
    return info.model_copy(update={"width": pixels.width, "height": pixels.height, "rotation": rotation})


def _is_blank(image: Pixels) -> bool:
    """One colour all over, but for the noise of a JPEG."""
    return bool((np.ptp(image, axis=(0, 1)) <= NOISE).all())


def _content(image: Pixels) -> Pixels | None:
    """The part of the page that stands out from its paper, with a little air; None where nothing does."""
    grey = image.min(axis=2).astype(np.int16)
    ink = np.abs(grey - int(np.median(grey[::4, ::4]))) > INK
    ys, xs = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if not len(ys) or min(image.shape[:2]) < SMALLEST_SIDE:
        return None
    air = max(8, min(image.shape[:2]) // 50)
    y0, y1 = max(0, ys[0] - air), min(image.shape[0], ys[-1] + air)
    x0, x1 = max(0, xs[0] - air), min(image.shape[1], xs[-1] + air)
    return image[y0:y1, x0:x1]


def _squares(image: Pixels) -> list[Pixels]:
    """Up to three squares along the longer side: the orientation model looks at the middle of what it gets."""
    height, width = image.shape[:2]
    short, long = sorted((height, width))
    count = min(3, max(1, math.ceil(long / short / 1.2)))
    starts = [round((long - short) * i / (count - 1)) for i in range(count)] if count > 1 else [(long - short) // 2]
    return [image[s : s + short] if height > width else image[:, s : s + short] for s in starts]


def _detection_scale(width: int, height: int) -> float:
    short, long = sorted((width, height))
    scale = max(DETECT_SIDE / long, DETECT_SCALE) if long > DETECT_SIDE else 1.0
    if short * scale < DETECT_SHORT:
        scale = max(scale, min(DETECT_SHORT / short, 2.0, DETECT_SIDE / long))
    return min(scale, math.sqrt(DETECT_PIXELS / (width * height)))


class _Window(NamedTuple):
    """A part of a very long page; it answers for the lines whose middle lies in its own part."""

    top: int
    bottom: int
    own_top: float
    own_bottom: float


def _windows(height: int, width: int) -> list[_Window]:
    """Windows that overlap by an eighth; their own parts meet within the overlaps, so that no line is read twice."""
    window = int(WINDOW * width)
    if height <= window * 1.25:
        return [_Window(0, height, 0, math.inf)]
    overlap = window // 8
    tops = range(0, height - overlap, window - overlap)
    inner = [top + overlap / 2 for top in tops[1:]]
    return [
        _Window(top, min(height, top + window), own_top, own_bottom)
        for top, own_top, own_bottom in zip(tops, [0.0, *inner], [*inner, math.inf], strict=True)
    ]


def _cut(quads: NDArray[np.float32], regions: Sequence[Region]) -> NDArray[np.float32]:
    """Quadrangles that run across a gutter as one for each column, without what strays into the next."""
    cut: list[NDArray[np.float32]] = []
    for quad in quads:
        box = _box(quad)
        top_left, top_right, bottom_right, bottom_left = quad
        for x0, x1 in pieces(box, regions):
            start, end = (x0 - box.x0) / box.width, (x1 - box.x0) / box.width
            top, bottom = top_right - top_left, bottom_right - bottom_left
            corners = (
                top_left + top * start,
                top_left + top * end,
                bottom_left + bottom * end,
                bottom_left + bottom * start,
            )
            cut.append(np.stack(corners).astype(np.float32))
    return np.stack(cut) if cut else quads


def _squeezed(crop: Pixels) -> Pixels:
    import cv2

    height, width = crop.shape[:2]
    if width <= LINE_RATIO * max(1, height):
        return crop
    return np.asarray(cv2.resize(crop, (LINE_RATIO * max(1, height), max(1, height))), np.uint8)


def _box(quad: NDArray[np.float32]) -> Box:
    (x0, y0), (x1, y1) = quad.min(axis=0), quad.max(axis=0)
    return Box(float(x0), float(y0), float(x1), float(y1))


def _doubts(score: float | None) -> tuple[Warning_, ...]:
    if score is None or score >= LOW_CONFIDENCE:
        return ()
    return (Warning_(code="low_confidence", detail=f"mean score of the text is {score:.2f}"),)


def _blocks(
    pieces: Sequence[Piece], pixels: Image.Image, number: int, *, figures: bool
) -> tuple[tuple[Block, ...], dict[str, bytes]]:
    blocks: list[Block] = []
    images: dict[str, bytes] = {}
    for order, piece in enumerate(pieces):
        bbox = _pixel_box(piece.box, pixels)
        name = None
        if figures and piece.label == "image" and bbox[0] < bbox[2] and bbox[1] < bbox[3]:
            name = f"page-{number:04d}-figure-{len(images) + 1}.jpg"
            images[name] = _jpeg(pixels.crop(bbox))
        score = None if piece.score is None else round(piece.score, 4)
        blocks.append(
            Block(
                label=piece.label,
                bbox=bbox,
                content=piece.content,
                score=score,
                order=order,
                level=piece.level,
                figure=name,
            )
        )
    return tuple(blocks), images


def _pixel_box(box: Box, pixels: Image.Image) -> tuple[int, int, int, int]:
    return (
        max(0, math.floor(box.x0)),
        max(0, math.floor(box.y0)),
        min(pixels.width, math.ceil(box.x1)),
        min(pixels.height, math.ceil(box.y1)),
    )


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()
