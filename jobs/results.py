"""What an engine returns and what is stored: pages, blocks, documents, the job's manifest.

Coordinates are pixels of the page image, origin top left, x to the right, y down; the image's width, height and dpi
stand beside them. Page numbers are 1-based. `jobs/schemas/*.json` is produced from these models (`make schemas`) and
compared in a test.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from jobs.errors import Problem

SCHEMA_VERSION: Literal["1"] = "1"

# The 25 labels of PP-DocLayoutV2/V3 (paddleocr-vl.md, section 1), so that all engines speak one language.
Label = Literal[
    "abstract", "algorithm", "aside_text", "chart", "content", "display_formula", "doc_title", "figure_title",
    "footer", "footer_image", "footnote", "formula_number", "header", "header_image", "image", "inline_formula",
    "number", "paragraph_title", "reference", "reference_content", "seal", "table", "text", "vertical_text",
    "vision_footnote",
]  # fmt: skip
LABELS: tuple[str, ...] = get_args(Label)

# Kept in JSON, left out of Markdown and text (PaddleX `markdown_ignore_labels`).
FURNITURE: frozenset[Label] = frozenset(
    {"number", "footnote", "header", "header_image", "footer", "footer_image", "aside_text"}
)

Pixel = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]
Polygon = tuple[tuple[float, float], ...]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Warning_(_Value):  # noqa: N801 - `Warning` is a builtin
    """Something a reader of the result should know; the page still succeeded."""

    code: Literal[
        "output_truncated", "block_unread", "low_confidence", "page_scaled_down", "password_not_needed",
        "figure_skipped", "hidden_text", "text_layer_doubtful", "unsupported_script",
    ]  # fmt: skip
    detail: str
    bbox: tuple[Pixel, Pixel, Pixel, Pixel] | None = Field(
        default=None, description="Where on the page, if not all of it."
    )


class TextLine(_Value):
    """A line of text and the corners around it."""

    text: str
    polygon: Polygon


class BlockPlace(_Value):
    """A block of a document."""

    page: int = Field(ge=1)
    order: int = Field(ge=0)


class Block(_Value):
    """One piece of a page. `content` is plain text, HTML for tables, LaTeX for formulas, empty for bare figures.

    An `<img>` in a table's HTML names a figure's file, as `figure` does.
    """

    label: Label
    bbox: tuple[Pixel, Pixel, Pixel, Pixel]
    content: str = ""
    score: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="How sure the engine is: of the text (rapidocr), of the box (paddleocr_vl).",
    )
    order: int = Field(ge=0, description="Position in reading order, 0-based, without gaps.")
    level: int | None = Field(default=None, ge=1, le=6, description="Heading level of a title.")
    figure: str | None = Field(default=None, description="Name of the figure's file beside the document.")
    position: int | None = Field(
        default=None,
        ge=1,
        description="1-based place in the running text; None for figures, tables and page furniture.",
    )
    group: int | None = Field(
        default=None, ge=0, description="Order of the block that this one was read together with; the text is there."
    )
    goes_on_from: int | None = Field(
        default=None,
        ge=0,
        description="Order of the block whose paragraph goes on here: Markdown and text read them as one.",
    )
    polygon: Polygon | None = Field(default=None, description="Outline, where the layout model gives one.")
    lines: tuple[TextLine, ...] | None = Field(default=None, description="Lines with their places (task spotting).")
    continues: BlockPlace | None = Field(
        default=None, description="The block on an earlier page that holds what this one said: a table that goes on."
    )


class PaddlexStyle(_Value):
    """The page's Markdown is PaddleX's, with these of its settings (docs/paddleocr-vl.md)."""

    charts: bool = Field(default=False, description="Charts were read: their content is a table.")
    seals: bool = Field(default=False, description="Seals were read.")
    image_text: bool = Field(default=False, description="Text in images was read.")
    whole_page: bool = Field(default=False, description="One task read the whole page.")
    formula_numbers: bool = False
    ignored_labels: tuple[Label, ...] = ()


class PageImage(_Value):
    """The image the boxes refer to."""

    width: Pixel
    height: Pixel
    dpi: float = Field(gt=0)
    rotation: Literal[0, 90, 180, 270] = Field(
        default=0, description="Degrees clockwise by which the page was turned before reading, beyond its own /Rotate."
    )


class ModelFile(_Value):
    """A file the page was read with, so that it can be told from another of that name."""

    role: str = Field(examples=["recognition"])
    name: str
    sha256: str


class EngineInfo(_Value):
    """Provenance: what read the page."""

    name: str
    version: str
    model: str
    files: tuple[ModelFile, ...] = ()


class LayerDoubt(_Value):
    """Why the text layer of a page cannot be trusted (docs/decisions/0004-text-layer.md)."""

    code: Literal[
        "absent", "hidden", "too_large", "unreadable", "broken_encoding", "scan_layer", "mismatch", "incomplete"
    ]
    detail: str


class PageText(_Value):
    """Where the text of a page was taken from: option `text`."""

    source: Literal["layer", "ocr"]
    doubt: LayerDoubt | None = Field(
        default=None,
        description="Why `auto` did not use the PDF's own text (source `ocr`) or would not have (source `layer`).",
    )
    ocr_lines: int = Field(
        default=0, ge=0, description="With source `layer`: lines read by OCR because the layer lacks them."
    )
    hidden: int = Field(
        default=0, ge=0, description="Characters of the layer that cannot be seen on the page; they are left out."
    )


class PageResult(_Value):
    """One page as an engine read it. A blank page has no blocks."""

    number: int = Field(ge=1)
    image: PageImage | None = Field(default=None, description="None where the engine did not render the page.")
    blocks: tuple[Block, ...] = ()
    engine: EngineInfo
    text: PageText | None = Field(default=None, description="None where the engine knows one way only.")
    score: float | None = Field(default=None, ge=0, le=1)
    warnings: tuple[Warning_, ...] = ()
    timings: dict[str, Seconds] = Field(default_factory=dict, description="Seconds by stage: render, recognize, …")
    paddlex: PaddlexStyle | None = Field(default=None, description="Where Markdown is to look as PaddleX writes it.")


class PageEntry(_Value):
    """A page inside document.json: its result, or why there is none."""

    number: int = Field(ge=1)
    state: Literal["succeeded", "failed", "canceled"]
    result: PageResult | None = None
    error: Problem | None = None


class SourceInfo(_Value):
    name: str
    media_type: str
    bytes: int
    sha256: str
    pages: int | None = Field(default=None, description="Pages the document has, whatever was selected.")


class DocumentResult(_Value):
    """document.json."""

    schema_version: Literal["1"] = SCHEMA_VERSION
    id: str
    job_id: str
    state: Literal["succeeded", "partial", "failed", "canceled"]
    source: SourceInfo
    options: dict[str, Any]
    engine: str
    created_at: str
    pages: tuple[PageEntry, ...]


class JobDocument(_Value):
    """A document's line in job.json. Keys are relative to the job's prefix."""

    id: str
    name: str
    state: Literal["succeeded", "partial", "failed", "canceled"]
    pages: int
    markdown: str | None = None
    json_: str | None = Field(default=None, alias="json", serialization_alias="json")
    error: Problem | None = None


class ManifestUsage(_Value):
    """What reading the job took (jobs/spending.py): the engine's busy time divided among the pages inside, tokens."""

    engine_seconds: Seconds
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float | None = Field(default=None, description="At the price when this was written; absent without one.")
    currency: str | None = None


class JobManifest(_Value):
    """job.json: written last, so that whoever sees it may read everything it names."""

    schema_version: Literal["1"] = SCHEMA_VERSION
    id: str
    state: Literal["succeeded", "partial", "failed", "canceled"]
    engine: str
    options: dict[str, Any]
    metadata: dict[str, Any]
    created_at: str
    finished_at: str
    documents: tuple[JobDocument, ...]
    usage: ManifestUsage | None = Field(default=None, description="Absent where it was written before 0.7.")
    error: Problem | None = None


class PageOutput(_Value):
    """What an engine hands to the worker: the result and the bytes of its figures by name (JPEG)."""

    result: PageResult
    figures: dict[str, bytes] = Field(default_factory=dict)
