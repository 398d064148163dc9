"""Clients of a model's server: one for each request in flight, and no more than that."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import httpx

from workers.engines.paddleocr_vl.backends.clients import Clients


def test_requests_side_by_side_never_share_a_client_and_later_ones_reuse_them() -> None:
    opened: list[httpx.AsyncClient] = []
    busy: set[int] = set()
    shared: list[int] = []

    def open_client() -> httpx.AsyncClient:
        number = len(opened)

        async def answer(_: httpx.Request) -> httpx.Response:
            if number in busy:
                shared.append(number)
            busy.add(number)
            await asyncio.sleep(0)
            busy.discard(number)
            return httpx.Response(200)

        opened.append(httpx.AsyncClient(transport=httpx.MockTransport(answer)))
        return opened[-1]

    async def main() -> None:
        clients = Clients(open_client, 60.0)

        async def ask() -> None:
            with clients.one() as client:
                await client.get("http://model/")

        for _ in range(3):
            await asyncio.gather(*(ask() for _ in range(5)))
        await ask()
        await clients.close()

    asyncio.run(main())
    assert len(opened) == 5
    assert not shared
    assert all(client.is_closed for client in opened)


def test_a_client_is_lent_again_after_an_error() -> None:
    clients = Clients(httpx.AsyncClient, 60.0)
    lent = []
    for _ in range(2):
        try:
            with clients.one() as client:
                lent.append(client)
                raise ConnectionError
        except ConnectionError:
            pass
    assert lent[0] is lent[1]
    asyncio.run(clients.close())


def test_after_a_peak_clients_that_nobody_needs_any_more_are_closed() -> None:
    """A pool closes a connection that the server has given up when it gets a request: those of a peak of 200 stayed
    half closed for as long as the worker ran."""
    opened: list[httpx.AsyncClient] = []

    def open_client() -> httpx.AsyncClient:
        opened.append(httpx.AsyncClient())
        return opened[-1]

    async def main() -> None:
        now = 0.0
        clients = Clients(open_client, 3.0, clock=lambda: now)
        with ExitStack() as peak:
            for _ in range(5):
                peak.enter_context(clients.one())
        for now in (2.0, 4.0):  # noqa: B007 - the clients' clock
            with clients.one() as busy:
                pass
        while sum(client.is_closed for client in opened) < 4:
            await asyncio.sleep(0)
        assert not busy.is_closed
        with clients.one() as again:
            assert again is busy
        with clients.one(), clients.one() as new:
            assert len(opened) == 6
            assert not new.is_closed
        await clients.close()

    asyncio.run(asyncio.wait_for(main(), 10))
    assert all(client.is_closed for client in opened)
