"""Every test here kills something real in the middle of jobs, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.jobs import SETTINGS, Chaos
from tests.installation import Installation
from tests.ledger import watch
from tests.services import Valkey

FOLDER = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(FOLDER):
            item.add_marker(pytest.mark.chaos)


@pytest.fixture
def broker() -> Iterator[Valkey]:
    """A Valkey of its own, to be killed."""
    with Valkey() as service:
        yield service


@pytest.fixture
def chaos(tmp_path: Path, database_url: str, broker: Valkey) -> Iterator[Chaos]:
    with Installation(tmp_path, database_url, broker.url, settings=SETTINGS) as mill:
        watch(mill.db)
        with Chaos(mill) as found:
            yield found
