"""Fixtures of real services. One that cannot start is an error, never a skip."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.services import Postgres, SeaweedFS, Valkey

# No test asserts a wall-clock time, and an example may take a while on a machine that has other work.
settings.register_profile("pagemill", deadline=None)
settings.load_profile("pagemill")

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def valkey() -> Iterator[Valkey]:
    """One Valkey for the session. A test that flushes, freezes or kills it starts its own instead."""
    with Valkey() as service:
        yield service


@pytest.fixture
def broker_url(valkey: Valkey) -> str:
    """An empty Redis database."""
    valkey.flush()
    return valkey.url


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One PostgreSQL for the session. A test that freezes or kills it starts its own instead."""
    with Postgres() as service:
        yield service


@pytest.fixture(scope="session")
def seaweedfs() -> Iterator[SeaweedFS]:
    """One S3 for the session. A test that freezes or kills it starts its own instead."""
    with SeaweedFS() as service:
        yield service


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """A fresh, empty PostgreSQL database."""
    name = f"test{next(_numbers)}"
    yield postgres.create_database(name)
    postgres.drop_database(name)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A fresh SQLite database that does not exist yet."""
    return f"sqlite:///{tmp_path / 'pagemill.db'}"


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh, empty database of each kind: the test runs once on SQLite and once on PostgreSQL."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url
