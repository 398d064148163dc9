"""What a user may ask for, checked once at the door."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from jobs.errors import InvalidPageRange
from jobs.results import FURNITURE, Label
from jobs.urls import MAX_URL, parse_http_url

Priority = Literal["interactive", "batch"]
CacheUse = Literal["use", "bypass"]
VlVersion = Literal["1.0", "1.5", "1.6"]
VlTask = Literal["ocr", "table", "formula", "chart", "seal", "spotting"]

TextSource = Literal["auto", "ocr", "layer"]
"""auto: a PDF page's own text where it can be trusted, else OCR; ocr: always read the image; layer: never."""

_RANGE = re.compile(r"[0-9]*(-[0-9]*)?")


EchoFault = Literal[
    "error", "error_once", "fatal_error", "crash", "crash_once", "crash_beside", "hang", "kill_render", "memory",
    "endless", "block",
]  # fmt: skip
"""crash_beside: only where another page is in the engine; memory: MemoryError; endless: cut off as a model's answer;
block: the engine's loop stands still for good."""


_EchoPage = Annotated[str, StringConstraints(pattern=r"^(\*|[0-9]{1,8})$")]


class EchoOptions(BaseModel):
    """Programmed behaviour of the echo engine, by page number; "*" stands for every page."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    seconds: dict[_EchoPage, float] = Field(default_factory=dict, description="How long the page takes.")
    faults: dict[_EchoPage, EchoFault] = Field(default_factory=dict)
    render: bool = Field(default=False, description="Render the page and report its image.")
    layer: bool = Field(default=False, description="With render: report the lines of the PDF's own text as well.")


class VlPixels(BaseModel):
    """Bounds of the pixels of one image when it reaches the model; 784 pixels are one token."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min: int = Field(ge=784, le=16_777_216)
    max: int = Field(ge=784, le=16_777_216)

    @model_validator(mode="after")
    def _check_order(self) -> VlPixels:
        if self.min > self.max:
            raise ValueError(f"min ({self.min}) is above max ({self.max})")
        return self


class VlOptions(BaseModel):
    """What the engine paddleocr_vl may be told. The defaults are those of PaddleX's pipeline."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: VlVersion | None = Field(
        default=None, description="Only this version may read the pages; the one that the worker holds where absent."
    )
    layout: Literal["auto", "none"] = Field(
        default="auto", description="`none`: every page is one block, read by one task."
    )
    task: VlTask | None = Field(
        default=None, description="The task that reads the whole page, `ocr` where absent; only with layout `none`."
    )
    charts: bool = Field(default=False, description="Read charts as tables; otherwise they are figures.")
    seals: bool = Field(default=False, description="Read the text of seals; otherwise they are figures.")
    image_text: bool = Field(default=False, description="Read the text inside images; otherwise they are only figures.")
    merge_blocks: bool = Field(default=True, description="Read text that was cut in pieces as one image.")
    polygons: bool = Field(default=True, description="Cut regions along their outlines where the version has them.")
    ignored_labels: tuple[Label, ...] = Field(
        default=tuple(sorted(FURNITURE)), description="Labels that stay in JSON and are left out of Markdown."
    )
    pixels: dict[VlTask, VlPixels] = Field(
        default_factory=dict, description="Bounds by task instead of the usual ones, 112,896 to 1,003,520."
    )
    max_new_tokens: int | None = Field(
        default=None, ge=1, le=16_384, description="Longest answer to one crop; the engine's 4,096 where absent."
    )
    merge_tables: bool = Field(default=True, description="Join tables that go on on the next page.")
    title_levels: bool = Field(default=True, description="Give titles their levels from the whole document.")
    markdown: Literal["paddlex", "commonmark"] = Field(
        default="paddlex", description="As PaddleX writes it, or with all that is no structure escaped."
    )
    formula_numbers: bool = Field(default=False, description="Show the numbers of formulas in Markdown (paddlex).")

    @model_validator(mode="after")
    def _check_task(self) -> VlOptions:
        if self.task is not None and self.layout != "none":
            raise ValueError("task needs layout none: with a layout every block has the task of its label")
        if self.version == "1.0" and self.task in ("seal", "spotting"):
            raise ValueError(f"version 1.0 cannot do the task {self.task}")
        if self.version == "1.0" and self.seals:
            raise ValueError("version 1.0 cannot read seals")
        return self

    @property
    def whole_page_task(self) -> VlTask | None:
        """The one task that reads whole pages; None where the layout decides."""
        return (self.task or "ocr") if self.layout == "none" else None


class PageOptions(BaseModel):
    """Options that reach the engine with every page of a document."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dpi: int | None = Field(default=None, ge=36, le=600, description="Resolution; the engine's own by default.")
    figures: bool = Field(default=True, description="Store images of figures and link them in Markdown.")
    text: TextSource = Field(
        default="auto",
        description="Where a page's text comes from: the PDF's own text where it can be trusted and else OCR (auto), "
        "always OCR (ocr), or the PDF's own text and never OCR (layer).",
    )
    echo: EchoOptions | None = None
    paddleocr_vl: VlOptions | None = None


class WebhookOptions(BaseModel):
    """Who is told when the job has ended."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(
        max_length=MAX_URL,
        description="Gets a signed POST, again and again until it answers 2xx. A public https address, unless the "
        "server's operator allows another.",
        examples=["https://example.org/hooks/pagemill"],
    )

    @field_validator("url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        return str(parse_http_url(value))


class OutputOptions(BaseModel):
    """Where results are written besides, once a document has ended (docs/submitting.md)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prefix: str = Field(description="`s3://bucket/prefix/`, which the key was granted.", max_length=1200)
    layout: Literal["job", "name"] = Field(
        default="job",
        description="`job`: `<prefix><job>/<position>/<name>/document.md` and so on; `name`: `<prefix><name>/…`, where "
        "of documents with one name the one submitted last is to be seen.",
    )


class JobOptions(PageOptions):
    """The `options` part of a submission."""

    engine: str | None = Field(default=None, description="Engine by name; the server's default where absent.")
    pages: str | None = Field(default=None, description='Pages to read, 1-based: "1-3,8-".', examples=["1-3,8-"])
    password: str | None = Field(default=None, description="Opens encrypted documents; stored encrypted.", repr=False)
    priority: Priority = "batch"
    deadline_seconds: float | None = Field(
        default=None, gt=0, le=90 * 86_400, description="What has not ended by then fails; counted from the submission."
    )
    retention_seconds: float | None = Field(
        default=None, gt=0, le=10 * 366 * 86_400,
        description="The job and its results are deleted so long after its end; the server's setting where absent.",
    )  # fmt: skip
    cache: CacheUse | None = Field(
        default=None,
        description="use: a document that was read before, the same bytes with the same options by an engine that "
        "still serves here, gets that result without being read. bypass: read it, and give its result to no later "
        "one. The server's setting where absent.",
    )
    webhook: WebhookOptions | None = None
    output: OutputOptions | None = None
    metadata: dict[str, Any] = Field(default_factory=dict, description="Echoed back; at most 16 KiB as JSON.")

    @field_validator("pages")
    @classmethod
    def _check_pages(cls, value: str | None) -> str | None:
        if value is not None:
            parse_page_ranges(value)
        return value

    @field_validator("metadata")
    @classmethod
    def _check_metadata(cls, value: dict[str, Any]) -> dict[str, Any]:
        """PostgreSQL keeps a NUL in JSON and then fails on whoever looks inside."""
        found: list[Any] = [value]
        while found:  # no recursion: how deep it goes is the sender's choice
            item = found.pop()
            if isinstance(item, str) and "\0" in item:
                raise ValueError("holds a NUL character, which no database keeps")
            if isinstance(item, dict):
                found += [*item, *item.values()]
            elif isinstance(item, list):
                found += item
        return value

    def stored(self) -> dict[str, Any]:
        """What is kept with the job and echoed: everything but secrets, metadata and priority."""
        return self.model_dump(mode="json", exclude={"password", "metadata", "priority", "engine"}, exclude_none=True)


def page_options(stored: dict[str, Any]) -> PageOptions:
    """The page's share of what `JobOptions.stored` kept."""
    return PageOptions.model_validate({k: v for k, v in stored.items() if k in PageOptions.model_fields})


def parse_page_ranges(text: str) -> list[tuple[int, int | None]]:
    """`"1-3,8-"` -> `[(1, 3), (8, None)]`. Bounds are inclusive; None means to the end. Raises ValueError."""
    ranges: list[tuple[int, int | None]] = []
    for part in text.replace(" ", "").split(","):
        if not part or part == "-" or not _RANGE.fullmatch(part):
            raise ValueError(f"{part!r} is no page range; write 1-3,8-")
        first_text, dash, last_text = part.partition("-")
        first = int(first_text) if first_text else 1
        last = int(last_text) if last_text else (None if dash else first)
        if first < 1 or (last is not None and last < first):
            raise ValueError(f"{part!r} is no page range: pages count from 1 and ranges go upwards")
        ranges.append((first, last))
    return ranges


def select_pages(text: str | None, page_count: int) -> list[int]:
    """The page numbers that `text` selects out of 1..page_count, ascending, each once.

    Parts of a range beyond the end select nothing; raises InvalidPageRange when nothing at all is selected.
    """
    if text is None:
        return list(range(1, page_count + 1))
    chosen: list[int] = []
    for first, last in sorted((first, last or page_count) for first, last in parse_page_ranges(text)):
        # Only what is not chosen yet: thousands of ranges over the same pages cost no more than one.
        start = max(first, chosen[-1] + 1) if chosen else first
        chosen.extend(range(start, min(last, page_count) + 1))
    if not chosen:
        raise InvalidPageRange(
            f"pages {text!r} select nothing in a document with {page_count} page(s)", limit=page_count, actual=text
        )
    return chosen
