"""The guarded way out, against real servers on loopback: what may be asked, and how long and how much."""

from __future__ import annotations

import socket
import ssl
import threading
import time

import pytest

from jobs.settings import OutboundSettings
from tests.certificates import certificate
from tests.receiver import HOST, Answer, Receiver
from workers.outbound import Outbound, OutboundFailed, OutboundRefused, OutboundTooLarge, resolve_host


@pytest.fixture
def receiver():
    with Receiver(lambda _: Answer(200, {"X-Told": "so"}, b"hello")) as found:
        yield found


def outbound(allow="", resolve=resolve_host, tls=None, **settings):
    return Outbound(OutboundSettings(outbound_allow=allow, **settings), resolve=resolve, tls=tls)


def fetched(out, url, *, timeout=20.0, **values):
    with out.stream("GET", url, timeout=timeout, **values) as reply:
        return reply.status_code, b"".join(reply)


def names(*answers):
    """A resolver that says one thing after the other, the last one for ever; and what it was asked."""
    asked = []

    def resolve(host, port):
        asked.append((host, port))
        return answers[min(len(asked), len(answers)) - 1]

    return resolve, asked


# --- what may be asked


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "localhost.", "LOCALHOST", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f000001",
        "0177.0.0.1", "127.1", "0", "0.0.0.0", "[::]",
    ],
)  # fmt: skip
def test_this_machine_is_refused_however_it_is_spelt(receiver, host):
    with pytest.raises(OutboundRefused, match="not a public address"):
        fetched(outbound(outbound_http=True), f"http://{host}:{receiver.port}/")
    assert receiver.received == []


@pytest.mark.parametrize("host", ["169.254.169.254", "10.0.0.1", "[fd00:ec2::254]", "[64:ff9b::a9fe:a9fe]"])
def test_other_internal_addresses_are_refused(host):
    with pytest.raises(OutboundRefused):
        fetched(outbound(), f"https://{host}/latest/meta-data/")


@pytest.mark.parametrize("url", ["ftp://example.org/", "https://a:b@example.org/", "https://example.org:0/", "x"])
def test_urls_that_are_none_are_refused(url):
    with pytest.raises(OutboundRefused):
        fetched(outbound(), url)


def test_the_allow_list_lets_through_what_it_names_and_nothing_else(receiver):
    port = receiver.port
    for allow in ("127.0.0.1", "127.0.0.0/8", f"127.0.0.1:{port}"):
        assert fetched(outbound(allow), receiver.url()) == (200, b"hello")
    assert fetched(outbound("127.0.0.1"), f"http://2130706433:{port}/") == (200, b"hello")
    resolve, _ = names([HOST])
    assert fetched(outbound(f"hooks.internal:{port}", resolve), f"http://hooks.internal:{port}/") == (200, b"hello")
    for allow in ("10.0.0.0/8", "127.0.0.1:1", "localhost", "127.0.0.2", "hooks.internal:1"):
        with pytest.raises(OutboundRefused):
            fetched(outbound(allow, resolve), f"http://other.internal:{port}/")


def test_one_internal_address_among_public_ones_refuses_the_host(receiver):
    resolve, _ = names(["1.1.1.1", "2606:4700::1111", HOST])
    with pytest.raises(OutboundRefused) as raised:
        fetched(outbound(resolve=resolve, outbound_http=True), f"http://two-faced.example:{receiver.port}/")
    assert HOST not in str(raised.value), "what a name resolves to inside is nobody's business"


def test_a_name_that_means_something_else_a_moment_later_changes_nothing(receiver):
    """Rebinding: two servers on one port of two addresses, of which one is allowed. The name is looked up once, and
    what was checked is what is connected to; the second answer of the resolver is never heard."""
    allowed = "127.0.0.2"
    with Receiver(lambda _: Answer(200, {}, b"checked"), host=allowed, port=receiver.port):
        resolve, asked = names([allowed], [HOST])
        assert fetched(outbound(allowed, resolve), f"http://rebinding.example:{receiver.port}/") == (200, b"checked")
        assert asked == [("rebinding.example", receiver.port)]
        with pytest.raises(OutboundRefused):
            fetched(outbound(allowed, resolve), f"http://rebinding.example:{receiver.port}/")
    assert receiver.received == []


def test_plain_http_needs_the_operators_word():
    resolve, _ = names(["1.1.1.1"])
    with pytest.raises(OutboundRefused, match="https"):
        fetched(outbound(resolve=resolve), "http://public.example/")


def test_a_host_that_has_no_address_is_a_failure_not_a_refusal():
    def resolve(host, port):
        raise socket.gaierror(-2, "Name or service not known")

    with pytest.raises(OutboundFailed, match="cannot be looked up"):
        fetched(outbound(resolve=resolve), "https://nowhere.invalid/")


def test_the_next_address_is_tried_where_one_does_not_answer(receiver):
    resolve, _ = names(["127.0.0.9", HOST])
    assert fetched(outbound("127.0.0.0/8", resolve), f"http://two.internal:{receiver.port}/") == (200, b"hello")


def test_the_environments_proxy_is_not_asked(receiver, monkeypatch):
    with Receiver() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://{HOST}:{proxy.port}")
        assert fetched(outbound(HOST), receiver.url()) == (200, b"hello")
        assert proxy.received == []


# --- what is sent and what comes


def test_host_headers_and_body_arrive_as_they_were_given(receiver):
    resolve, _ = names([HOST])
    url = f"http://Hooks.Internal:{receiver.port}/a%20b?c=d#e"
    with outbound("hooks.internal", resolve).stream(
        "POST", url, headers={"X-One": "1"}, content=b"body", timeout=20
    ) as reply:
        assert (reply.status_code, reply.headers["x-told"], b"".join(reply)) == (200, "so", b"hello")
    (request,) = receiver.received
    assert (request.method, request.path, request.body) == ("POST", "/a%20b?c=d", b"body")
    assert request.headers["host"] == f"hooks.internal:{receiver.port}"
    assert (request.headers["x-one"], request.headers["content-length"]) == ("1", "4")


def test_a_header_cannot_begin_another(receiver):
    with pytest.raises(OutboundFailed):
        fetched(outbound(HOST), receiver.url(), headers={"X-One": "1\r\nX-Two: 2"})
    assert receiver.received == []


def test_a_redirect_is_told_and_not_followed(receiver):
    with Receiver(lambda _: Answer(302, {"Location": receiver.url("/secret")})) as other:
        with outbound(HOST).stream("GET", other.url("/a/b"), timeout=20) as reply:
            assert (reply.status_code, reply.redirect) == (302, receiver.url("/secret"))
        other.answer = lambda _: Answer(307, {"Location": "../c"})
        with outbound(HOST).stream("GET", other.url("/a/b"), timeout=20) as reply:
            assert reply.redirect == other.url("/c")
        other.answer = lambda _: Answer(200, {"Location": "/c"})
        with outbound(HOST).stream("GET", other.url("/a/b"), timeout=20) as reply:
            assert reply.redirect is None
    assert receiver.received == []


# --- how much and how long


def test_no_more_is_read_than_was_asked_for(receiver):
    with pytest.raises(OutboundTooLarge) as raised:
        fetched(outbound(HOST), receiver.url(), max_bytes=4)
    assert raised.value.limit == 4
    assert fetched(outbound(HOST), receiver.url(), max_bytes=5) == (200, b"hello")


def test_a_body_of_unknown_length_is_bounded_too():
    def endless(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 4096)

    with raw_server(endless) as port, pytest.raises(OutboundTooLarge):
        fetched(outbound(HOST), f"http://{HOST}:{port}/", max_bytes=100_000)


@pytest.mark.parametrize("beginning", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nX-Long: ", b""])
def test_a_server_that_drips_meets_the_deadline(beginning):
    """Each read is answered in time, so that only a deadline over all of it ends the request."""

    def drip(connection):
        connection.sendall(beginning)
        while True:
            connection.sendall(b"1")
            time.sleep(0.05)

    with raw_server(drip) as port, pytest.raises(OutboundFailed, match="in time"):
        fetched(outbound(HOST), f"http://{HOST}:{port}/", timeout=1.0)


def test_a_resolver_that_hangs_meets_the_deadline():
    ended = threading.Event()

    def resolve(host, port):
        ended.wait(60)
        return [HOST]

    try:
        with pytest.raises(OutboundFailed, match="looked up"):
            fetched(outbound(HOST, resolve), "https://slow.example/", timeout=0.3)
    finally:
        ended.set()


def test_nobody_there_is_a_failure():
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        with pytest.raises(OutboundFailed, match="refused"):
            fetched(outbound(HOST), f"http://{HOST}:{taken.getsockname()[1]}/")


def test_an_answer_that_is_none_is_a_failure():
    def ftp(connection):
        connection.sendall(b"220 ftp ready\r\n\r\n")

    with raw_server(ftp) as port, pytest.raises(OutboundFailed, match="no answer"):
        fetched(outbound(HOST), f"http://{HOST}:{port}/")


# --- TLS


def test_the_certificate_is_checked_for_the_name_though_an_address_is_connected_to(tmp_path):
    pem = certificate(tmp_path, "hooks.internal")
    trusting = ssl.create_default_context(cafile=pem)
    resolve, _ = names([HOST])
    with Receiver(lambda _: Answer(200, {}, b"safe"), tls=pem) as server:
        url = f"https://hooks.internal:{server.port}/"
        assert fetched(outbound("hooks.internal", resolve, trusting), url) == (200, b"safe")
        with pytest.raises(OutboundFailed, match=r"(?i)certificate"):
            fetched(outbound("other.internal", resolve, trusting), f"https://other.internal:{server.port}/")
        with pytest.raises(OutboundFailed, match=r"(?i)certificate"):
            fetched(outbound(HOST, tls=trusting), f"https://{HOST}:{server.port}/")
        with pytest.raises(OutboundFailed, match=r"(?i)certificate"):
            fetched(outbound("hooks.internal", resolve), url)


class raw_server:  # noqa: N801 -- reads as a function
    """A server that does to its first connection what it is told, until the other end has gone."""

    def __init__(self, serve):
        self._serve = serve
        self._socket = socket.create_server((HOST, 0))
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        try:
            connection, _ = self._socket.accept()
            with connection:
                self._serve(connection)
        except OSError:
            pass

    def __enter__(self):
        self._thread.start()
        return self._socket.getsockname()[1]

    def __exit__(self, *_):
        self._socket.close()
        self._thread.join(10)
