"""The multipart parser: whatever way the body is cut, the same events; whatever is wrong, an error that says so."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.multipart import MAX_HEADER_BYTES, MAX_HEADERS, FormStream, PartBegin, PartData, PartEnd
from jobs.errors import InvalidRequest, UploadIncomplete

BOUNDARY = "----form7MA4YW"
# Data that looks like boundaries: its beginning, all of it but the CRLF, with the CR of the next line doubled.
TRICKY = b"\r\n--\r\n------form7MA4Y\r\r\n\r\n-" + b"------form7MA4YW" + b"\r\n------form7MA4YX--\r\n\r"


def part(headers, data):
    return f"--{BOUNDARY}\r\n{headers}\r\n\r\n".encode() + data + b"\r\n"


def file_part(filename, data=b"%PDF-"):
    return part(f'Content-Disposition: form-data; name="file"; filename="{filename}"', data)


END = f"--{BOUNDARY}--\r\n".encode()
BODY = (
    part('Content-Disposition: form-data; name="options"\r\nContent-Type: application/json', b'{"dpi": 200}')
    + file_part("a.pdf", TRICKY)
    + file_part("empty.pdf", b"")
    + END
)
EVENTS = [
    PartBegin("options", None, "application/json"),
    PartData(b'{"dpi": 200}'),
    PartEnd(),
    PartBegin("file", "a.pdf", ""),
    PartData(TRICKY),
    PartEnd(),
    PartBegin("file", "empty.pdf", ""),
    PartEnd(),
]


def parse(pieces, boundary=BOUNDARY):
    form = FormStream(f"multipart/form-data; boundary={boundary}")
    events = list(itertools.chain.from_iterable(form.feed(piece) for piece in pieces))
    form.finish()
    return joined(events)


def joined(events):
    """Data comes in as many pieces as it likes."""
    found = []
    for event in events:
        if isinstance(event, PartData) and found and isinstance(found[-1], PartData):
            found[-1] = PartData(found[-1].data + event.data)
        elif event != PartData(b""):
            found.append(event)
    return found


def test_a_form_in_one_piece():
    assert parse([BODY]) == EVENTS


def test_a_form_cut_anywhere_says_the_same():
    for cut in range(len(BODY) + 1):
        assert parse([BODY[:cut], BODY[cut:]]) == EVENTS, f"cut at {cut}"


def test_a_form_byte_by_byte_says_the_same():
    assert parse([bytes([byte]) for byte in BODY]) == EVENTS


@settings(max_examples=150)
@given(
    data=st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"-", b"--", BOUNDARY.encode(), b"x", b""]), max_size=30),
    size=st.integers(1, 40),
)
def test_data_made_of_pieces_of_boundaries_comes_through_whole(data, size):
    content = b"".join(data)
    if f"\r\n--{BOUNDARY}".encode() in b"\r\n" + content:
        return  # RFC 2046: the delimiter cannot be in the data
    body = file_part("a.pdf", content) + END
    events = parse([body[start : start + size] for start in range(0, len(body), size)])
    assert b"".join(event.data for event in events if isinstance(event, PartData)) == content


def test_what_follows_the_end_means_nothing():
    assert parse([BODY, b"an epilogue\r\n--", file_part("late.pdf")]) == EVENTS


@pytest.mark.parametrize("cut", range(1, len(END) - 2))
def test_a_form_without_its_end_is_incomplete(cut):
    with pytest.raises(UploadIncomplete):
        parse([BODY[: -len(END) + cut]])


def test_an_empty_body_is_incomplete():
    with pytest.raises(UploadIncomplete):
        parse([])


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("plain.pdf", "plain.pdf"),
        ('say \\"hi\\".pdf', 'say "hi".pdf'),  # curl
        ("say %22hi%22.pdf", 'say "hi".pdf'),  # browsers, httpx
        ("Übersicht 报告.pdf", "Übersicht 报告.pdf"),
        ("semi;colon=1.pdf", "semi;colon=1.pdf"),
        ("../../etc/passwd", "../../etc/passwd"),  # as given; made safe by api.names
        ("", ""),
    ],
)
def test_file_names_as_clients_write_them(sent, name):
    assert parse([file_part(sent), END])[0] == PartBegin("file", name, "")


def test_a_name_in_latin_1_is_still_a_name():
    body = file_part("caf\N{LATIN SMALL LETTER E WITH ACUTE}.pdf").decode().encode("latin-1") + END
    assert parse([body])[0].filename == "caf\N{LATIN SMALL LETTER E WITH ACUTE}.pdf"


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ("Content-Type: application/pdf", "Content-Disposition"),
        ('Content-Disposition: attachment; name="file"', "Content-Disposition"),
        ('Content-Disposition: form-data; filename="a.pdf"', "Content-Disposition"),
        (f'Content-Disposition: form-data; name="{"n" * MAX_HEADER_BYTES}"', "header size"),
        ("\r\n".join(f"X-{n}: 1" for n in range(MAX_HEADERS + 1)), "header count"),
        ("No colon in this header", "invalid character"),
    ],
)
def test_parts_with_wrong_headers(headers, said):
    with pytest.raises(InvalidRequest, match=said):
        parse([part(headers, b"x"), END])


def test_an_endless_header_is_refused_before_it_is_gathered():
    form = FormStream(f"multipart/form-data; boundary={BOUNDARY}")
    form.feed(f"--{BOUNDARY}\r\nContent-Disposition: ".encode())
    form.feed(b"x" * (MAX_HEADER_BYTES - 100))
    with pytest.raises(InvalidRequest, match="header size"):
        form.feed(b"x" * 100)


@pytest.mark.parametrize(
    "content_type", ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; charset=utf-8"]
)
def test_a_form_without_a_boundary(content_type):
    with pytest.raises(InvalidRequest) as caught:
        FormStream(content_type)
    assert caught.value.where == "Content-Type"


def test_a_boundary_that_is_too_long():
    with pytest.raises(InvalidRequest, match="boundary"):
        FormStream(f"multipart/form-data; boundary={'b' * 5000}")


def test_a_body_that_begins_otherwise():
    with pytest.raises(InvalidRequest, match="not valid"):
        parse([b"%PDF-1.7 this was never a form"])
