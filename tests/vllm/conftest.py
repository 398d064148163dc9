"""Engines of the tier. A start takes half a minute of one core, so those that can start beside each other do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.vllm.numbers import tiny_model
from tests.vllm.server import VllmServer


@pytest.fixture(scope="session")
def starting_server() -> Iterator[VllmServer]:
    """A real OpenAI-compatible vLLM server with the trained checkpoint, on its way up."""
    server = VllmServer(tiny_model())
    try:
        yield server.launch()
    finally:
        server.remove()


@pytest.fixture(scope="session")
def server(starting_server: VllmServer) -> VllmServer:
    """The same, serving."""
    return starting_server.when_ready()
