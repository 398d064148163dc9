"""Clients of a model's server: one for each request in flight, and no more than that."""

from __future__ import annotations

import asyncio

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
        clients = Clients(open_client)

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
    clients = Clients(httpx.AsyncClient)
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
