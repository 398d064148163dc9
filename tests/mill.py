"""A mill: an installation with one worker running, shared by the tests of a module, once on each database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.installation import Installation
from tests.services import Valkey

CALM = {"PAGEMILL_HEARTBEAT_STALE": "6000", "PAGEMILL_RENDER_PROCESSES": "1"}
"""For workers that nobody kills: on a busy machine none is declared dead by mistake."""


def mill_fixture(**settings: str) -> Any:
    """The fixture `mill` of a module: `mill = mill_fixture(PAGEMILL_…="…")`."""

    @pytest.fixture(scope="module", params=["sqlite", "postgres"])
    def mill(
        request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, valkey: Valkey
    ) -> Iterator[Installation]:
        root = tmp_path_factory.mktemp("mill")
        valkey.flush()
        url = f"sqlite:///{root / 'pagemill.db'}" if request.param == "sqlite" else None
        with (
            _database(request, url) as url,
            Installation(root, url, valkey.url_of(1), settings=CALM | settings) as found,
            found.worker(),
        ):
            yield found

    return mill


@contextmanager
def _database(request: pytest.FixtureRequest, sqlite_url: str | None) -> Iterator[str]:
    if sqlite_url is not None:
        yield sqlite_url
        return
    postgres = request.getfixturevalue("postgres")
    name = request.module.__name__.rpartition(".")[2]
    yield postgres.create_database(name)
    postgres.drop_database(name)
