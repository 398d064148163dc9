"""multipart/form-data (RFC 7578) as a stream of events, nothing spooled and nothing unbounded.

Starlette's `form()` spools whole files to disk before a handler sees them; here a part's bytes are handed on as they
come in. The byte-level state machine is python-multipart's.
"""

from __future__ import annotations

from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from jobs.errors import InvalidRequest, UploadIncomplete

MAX_HEADER_BYTES = 8 * 1024
"""One header line of a part; a file name may be this long and is then shortened."""
MAX_HEADERS = 16


@dataclass(frozen=True, slots=True)
class PartBegin:
    name: str
    filename: str | None
    media_type: str


@dataclass(frozen=True, slots=True)
class PartData:
    data: bytes


@dataclass(frozen=True, slots=True)
class PartEnd:
    pass


Event = PartBegin | PartData | PartEnd


class FormStream:
    """Feed it the body in pieces of any size; it gives back what they say. Raises InvalidRequest, UploadIncomplete."""

    def __init__(self, content_type: str) -> None:
        boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
        if not boundary:
            raise InvalidRequest("the multipart Content-Type names no boundary", where="Content-Type")
        self.ended = False
        """The closing boundary was seen; whatever follows means nothing."""
        self._events: list[Event] = []
        self._headers: dict[bytes, bytes] = {}
        self._field = b""
        self._value = b""
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._on_part_begin,
                    "on_part_data": self._on_part_data,
                    "on_part_end": lambda: self._events.append(PartEnd()),
                    "on_header_field": self._on_header_field,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_end": self._on_end,
                },
                max_header_count=MAX_HEADERS,
                max_header_size=MAX_HEADER_BYTES,
            )
        except FormParserError as error:
            raise InvalidRequest(f"the multipart boundary is not valid: {error}", where="Content-Type") from None

    def feed(self, chunk: bytes) -> list[Event]:
        """What this chunk completes, in order. Data comes in slices of the chunk, never gathered."""
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise InvalidRequest(f"the multipart body is not valid: {error}", where="body") from None
        events, self._events = self._events, []
        return events

    def finish(self) -> None:
        """The body is over. Raises UploadIncomplete where its closing boundary was never seen."""
        if not self.ended:
            raise UploadIncomplete("the multipart body ends before its closing boundary", where="body")

    def _on_part_begin(self) -> None:
        self._headers = {}

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._events.append(PartData(data[start:end]))

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[self._field.lower()] = self._value
        self._field = self._value = b""

    def _on_headers_finished(self) -> None:
        disposition, parameters = parse_options_header(self._headers.get(b"content-disposition", b""))
        if disposition != b"form-data" or b"name" not in parameters:
            raise InvalidRequest('a part lacks "Content-Disposition: form-data; name=…"', where="body")
        filename = parameters.get(b"filename")
        self._events.append(
            PartBegin(
                name=_text(parameters[b"name"]),
                filename=None if filename is None else _unescaped(_text(filename)),
                media_type=parse_options_header(self._headers.get(b"content-type", b""))[0].decode("latin-1"),
            )
        )

    def _on_end(self) -> None:
        self.ended = True


def _text(raw: bytes) -> str:
    """Browsers, curl and httpx send UTF-8; old clients their own bytes."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _unescaped(filename: str) -> str:
    """Browsers and httpx write `"` as %22 (WHATWG HTML, multipart/form-data encoding)."""
    return filename.replace("%22", '"').replace("%0D", "\r").replace("%0A", "\n")
