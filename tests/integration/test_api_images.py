"""Page images over HTTP: real files, a real render process."""

import io
import threading

import psutil
import pytest
from PIL import Image

from jobs.models import PageState
from tests.api_server import ApiServer, files, finish, write_pages
from tests.processes import wait_until
from tests.testdata import document


def pdf_of(pages, width=360, height=720):
    """A PDF of pages in these colours, by hand."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>"]
    kids = " ".join(f"{3 + 2 * n} 0 R" for n in range(len(pages)))
    objects.append(f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>")
    for n, (red, green, blue) in enumerate(pages):
        content = f"{red} {green} {blue} rg 0 0 {width} {height} re f"
        objects.append(f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {width} {height}] /Contents {4 + 2 * n} 0 R >>")
        objects.append(f"<< /Length {len(content)} >>\nstream\n{content}\nendstream")
    body, places = "%PDF-1.7\n", []
    for number, text in enumerate(objects, 1):
        places.append(len(body))
        body += f"{number} 0 obj\n{text}\nendobj\n"
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    size = len(objects) + 1
    xref = f"xref\n0 {size}\n0000000000 65535 f \n{table}"
    return f"{body}{xref}trailer << /Size {size} /Root 1 0 R >>\nstartxref\n{len(body)}\n%%EOF\n".encode()


def png(width, height):
    out = io.BytesIO()
    Image.new("RGB", (width, height), (0, 128, 0)).save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    url = f"sqlite:///{tmp_path_factory.mktemp('api') / 'pagemill.db'}"
    api = ApiServer(url, secret_key="x" * 40, max_page_pixels=1_000_000)
    database = api.database()
    database.migrate()
    database.dispose()
    with api:
        yield api


@pytest.fixture
def http(server):
    with server.client() as client:
        yield client


def pages_of(server, http, count, *parts):
    """Where the pages of the only document of a new job are."""
    answer = http.post("jobs", files=list(parts))
    job = answer.json()["id"]
    (found,) = http.get(f"jobs/{job}/documents").json()["items"]
    write_pages(server, job, found["id"], [PageState.PENDING] * count)
    return f"jobs/{job}/documents/{found['id']}/pages"


def image_of(response):
    assert response.headers["content-type"] == "image/jpeg", response.text
    return Image.open(io.BytesIO(response.content))


def test_a_page_of_a_pdf(server, http):
    place = pages_of(server, http, 2, *files(pdf_of([(1, 0, 0), (0, 0, 1)])))
    response = http.get(f"{place}/2/image?dpi=72")
    image = image_of(response)
    assert image.size == (360, 720)
    red, _, blue = image.getpixel((100, 100))
    assert (red < 40, blue > 215) == (True, True)
    assert http.get(f"{place}/2/image?dpi=72", headers={"If-None-Match": response.headers["etag"]}).status_code == 304
    assert image_of(http.get(f"{place}/1/image?dpi=36")).size == (180, 360)


def test_the_image_fits_the_boxes_of_the_result(server, http):
    """Without a dpi: that of the page's result (72 in the results that `finish` writes)."""
    job = http.post("jobs", files=files(pdf_of([(1, 1, 1)]))).json()["id"]
    (found,) = http.get(f"jobs/{job}/documents").json()["items"]
    finish(server, job)
    assert image_of(http.get(f"jobs/{job}/documents/{found['id']}/pages/1/image")).size == (360, 720)


def test_an_image_file(server, http):
    place = pages_of(server, http, 1, *files(("a.png", png(80, 50))))
    assert image_of(http.get(f"{place}/1/image")).size[0] > 0


def test_a_page_beyond_the_cap_comes_scaled_down(server, http):
    place = pages_of(server, http, 1, *files(pdf_of([(1, 0, 0)], 2000, 2000)))
    width, height = image_of(http.get(f"{place}/1/image?dpi=600")).size
    assert width * height <= 1_000_000


def test_a_page_that_cannot_be_rendered_answers_with_its_problem(server, http):
    place = pages_of(server, http, 1, *files(b"%PDF-1.7 and nothing more"))
    response = http.get(f"{place}/1/image")
    assert response.headers["content-type"] == "application/problem+json"
    assert (response.status_code, response.json()["code"]) == (422, "corrupt_file")


@pytest.mark.parametrize("password", ["openpassword", "wrong"])
def test_an_encrypted_document(server, http, password):
    source = document("hostile/py-pdf+sample-files/encrypted-public/libreoffice-writer-password.pdf")
    options = ("options", (None, f'{{"password": "{password}"}}'))
    place = pages_of(server, http, 1, ("file", ("x.pdf", source.read_bytes())), options)
    response = http.get(f"{place}/1/image?dpi=50")
    if password == "wrong":
        assert response.json()["code"] == "password_incorrect"
    else:
        assert image_of(response).size[0] > 0


@pytest.mark.parametrize("dpi", ["5", "5000", "x"])
def test_a_resolution_out_of_bounds(server, http, dpi):
    place = pages_of(server, http, 1, *files(pdf_of([(1, 0, 0)])))
    assert http.get(f"{place}/1/image?dpi={dpi}").json()["where"] == "query.dpi"


def test_never_more_than_two_processes_and_none_is_left(server, http):
    place = pages_of(server, http, 8, *files(pdf_of([(1, 0, 0)] * 8)))
    seen, sizes = [], []

    def ask(number):
        with server.client() as own:
            sizes.append(image_of(own.get(f"{place}/{number}/image?dpi=60")).size)

    def renderers():
        return len(psutil.Process(server.pid).children(recursive=True))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        seen.append(renderers())
    assert sizes == [(300, 600)] * 8
    assert 1 <= max(seen) <= 2
    wait_until(lambda: renderers() == 0, "the render processes to be gone")
    assert list(server.scratch.iterdir()) == []
