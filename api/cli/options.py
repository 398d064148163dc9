"""Options that several commands share, and how they become `JobOptions`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from api.complaints import complaint
from jobs.engines import ENGINE_NAMES
from jobs.options import JobOptions, TextSource, parse_page_ranges


def _check_pages(value: str | None) -> str | None:
    return _checked(value, parse_page_ranges)


def _check_engine(value: str | None) -> str | None:
    if value is not None and value not in ENGINE_NAMES:
        raise typer.BadParameter(f"there is no engine {value!r}; known: {', '.join(ENGINE_NAMES)}")
    return value


def _checked(value: str | None, check: Callable[[str], Any]) -> str | None:
    if value is not None:
        try:
            check(value)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
    return value


Paths = Annotated[
    list[Path], typer.Argument(metavar="PATHS…", help="Files, and folders to be read with all their subfolders.")
]
Engine = Annotated[
    str | None,
    typer.Option("--engine", metavar="NAME", callback=_check_engine, help=f"One of: {', '.join(ENGINE_NAMES)}."),
]
Pages = Annotated[
    str | None,
    typer.Option("--pages", metavar="RANGES", callback=_check_pages, help="Pages of each document, 1-based: 1-3,8-"),
]
Dpi = Annotated[
    int | None, typer.Option("--dpi", min=36, max=600, help="Resolution of rendering; the engine's own by default.")
]
TextFrom = Annotated[
    TextSource | None,
    typer.Option("--text", help="A PDF's own text where it can be trusted (auto), never (ocr), or only that (layer)."),
]
Password = Annotated[str | None, typer.Option("--password", metavar="TEXT", help="Opens encrypted documents.")]
More = Annotated[
    str | None,
    typer.Option(
        "--options", metavar="JSON", help="Further job options as in the API, as JSON: '{\"figures\": false}'"
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Write one JSON document to stdout, nothing else.")]


def job_options(more: str | None, **given: Any) -> JobOptions:
    """The options of a job: those given by name win over those in the JSON. Raises typer.BadParameter."""
    try:
        values = json.loads(more) if more is not None else {}
        if not isinstance(values, dict):
            raise typer.BadParameter("must be a JSON object", param_hint="--options")
        return JobOptions.model_validate(values | {k: v for k, v in given.items() if v is not None})
    except json.JSONDecodeError as error:
        raise typer.BadParameter(f"is not JSON: {error}", param_hint="--options") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise typer.BadParameter(f"{place}: {complaint(first)}", param_hint="--options") from None
