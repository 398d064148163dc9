"""The page half of RapidOCR: one page's pixels to blocks, in a render process."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from time import perf_counter
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

from jobs.errors import EngineError
from jobs.options import PageOptions
from jobs.results import Block, PageImage, PageOutput, PageResult, Warning_
from jobs.settings import EngineSettings
from workers.engines.base import RenderedPage
from workers.engines.rapidocr.arrange import Piece, arrange
from workers.engines.rapidocr.geometry import Box, Line, Region, mean_score
from workers.engines.rapidocr.gutters import cuts
from workers.engines.rapidocr.labels import CDLA
from workers.engines.rapidocr.models import Models, engine_info, open_models, threads_per_process

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
            turn, pixels, regions, lines = self._upright(rendered.pixels, watch)
        except (RuntimeError, ValueError) as error:
            raise EngineError(f"page {rendered.number}: {error}") from error
        with watch.step("arrange"):
            pieces = arrange(lines, regions, number=rendered.number, height=pixels.height)
        with watch.step("figures"):
            blocks, figures = _blocks(pieces, pixels, rendered.number, figures=options.figures)
        image = _turned_image(rendered.info, pixels, turn)
        score = mean_score(lines)
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

    def _upright(self, pixels: Image.Image, watch: _Stopwatch) -> tuple[Turn, Image.Image, list[Region], list[Line]]:
        """The page set upright and what is on it; a turn that does not read well must read better than none."""
        with watch.step("orient"):
            turn = self._turn(_bgr(pixels))
        turned = _turned(pixels, turn)
        regions, lines = self._read(_bgr(turned), watch)
        if turn == 0 or (mean_score(lines) or 0.0) >= GOOD_READING:
            return turn, turned, regions, lines
        as_it_was, lines_as_it_was = self._read(_bgr(pixels), watch)
        if (mean_score(lines_as_it_was) or 0.0) >= (mean_score(lines) or 0.0):
            return 0, pixels, as_it_was, lines_as_it_was
        return turn, turned, regions, lines

    def _read(self, image: Pixels, watch: _Stopwatch) -> tuple[list[Region], list[Line]]:
        with watch.step("layout"):
            regions = self._regions(image)
        with watch.step("detect"):
            quads = _cut(self._detect(image), regions)
        if not len(quads):
            return regions, []
        with watch.step("recognize"):
            reader = self._models.reader
            read = reader.recognize_txt([_squeezed(crop) for crop in reader.crop_text_regions(image, quads)])
        found = zip(quads, read.txts, read.scores, strict=True)
        return regions, [
            Line(_box(quad), text, float(score)) for quad, text, score in found if score >= LEAST_SCORE and text.strip()
        ]

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
        found = [self._detect_window(image, top, bottom) for top, bottom in _windows(height, width)]
        return np.concatenate(found).astype(np.float32)

    def _detect_window(self, image: Pixels, top: int, bottom: int) -> NDArray[np.float32]:
        import cv2

        window = image[top:bottom]
        height, width = window.shape[:2]
        scale = _detection_scale(width, height)
        size = (max(32, round(width * scale)), max(32, round(height * scale)))
        small = window if size == (width, height) else cv2.resize(window, size, interpolation=cv2.INTER_AREA)
        boxes = self._models.detector(small).boxes
        if boxes is None:
            return np.empty((0, 4, 2), np.float32)
        quads = np.asarray(boxes, np.float32) * (width / size[0], height / size[1]) + (0, top)
        own_top, own_bottom = _own_part(top, bottom, image.shape[0])
        centres = quads[:, :, 1].mean(axis=1)
        own: NDArray[np.float32] = quads[(centres >= own_top) & (centres < own_bottom)]
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


def _bgr(pixels: Image.Image) -> Pixels:
    return np.ascontiguousarray(np.asarray(pixels)[:, :, ::-1])


def _turned(pixels: Image.Image, turn: Turn) -> Image.Image:
    return pixels.transpose(_TRANSPOSE[turn]) if turn else pixels


def _turned_image(info: PageImage, pixels: Image.Image, turn: Turn) -> PageImage:
    rotation = _TURNS[(info.rotation + turn) % 360]
    return info.model_copy(update={"width": pixels.width, "height": pixels.height, "rotation": rotation})


def _content(image: Pixels) -> Pixels | None:
    """The part of the page that has ink on it, with a little air; None for a page without."""
    grey = image.min(axis=2)
    paper = float(np.percentile(grey[::4, ::4], 90))
    dark = grey < paper - 60
    ys, xs = np.flatnonzero(dark.any(axis=1)), np.flatnonzero(dark.any(axis=0))
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


def _windows(height: int, width: int) -> list[tuple[int, int]]:
    """Top and bottom of the windows of a very long page, overlapping by an eighth of a window."""
    window = int(WINDOW * width)
    if height <= window * 1.25:
        return [(0, height)]
    step = window - window // 8
    tops = range(0, max(1, height - window // 8), step)
    return [(top, min(height, top + window)) for top in tops]


def _own_part(top: int, bottom: int, height: int) -> tuple[float, float]:
    """The part of a window whose lines it answers for, so that no line of an overlap is read twice."""
    half = (bottom - top) / 16
    return (0 if top == 0 else top + half), (math.inf if bottom == height else bottom - half)


def _cut(quads: NDArray[np.float32], regions: Sequence[Region]) -> NDArray[np.float32]:
    """Quadrangles that run across a gutter as one for each column."""
    pieces: list[NDArray[np.float32]] = []
    for quad in quads:
        box = _box(quad)
        top_left, top_right, bottom_right, bottom_left = quad
        ends = [0.0, *((x - box.x0) / box.width for x in cuts(box, regions)), 1.0]
        for start, end in pairwise(ends):
            top, bottom = top_right - top_left, bottom_right - bottom_left
            corners = (
                top_left + top * start,
                top_left + top * end,
                bottom_left + bottom * end,
                bottom_left + bottom * start,
            )
            pieces.append(np.stack(corners).astype(np.float32))
    return np.stack(pieces) if pieces else quads


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
