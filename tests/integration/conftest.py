"""Databases with the schema in them, one of each kind per test, quickly: copied from one that was migrated once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from jobs.blobs import BlobStore, open_store
from jobs.settings import BlobSettings, DatabaseSettings
from jobs.store.database import Database, open_database
from tests.ledger import assert_exact

_numbers = count(1)

LONG = (
    "test_worker_process", "test_upgrades", "test_reconcile_runs", "test_reuse_jobs", "test_api_following",
    "test_openai_worker", "test_inbox_workers", "test_api_end_to_end", "test_telemetry", "test_backup",
    "test_worker_metrics", "test_flower", "test_webhook_workers", "test_api_uploads", "test_secrets_in_logs",
    "test_worker_together", "test_worker_jobs", "test_store_writers",
)  # fmt: skip
"""Files of few tests that take long. Begun last, one of them would run on after the others had nothing left."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first; else the order in which they were found."""
    items.sort(key=lambda item: item.path.stem not in LONG)


def _migrate(url: str) -> None:
    db = open_database(DatabaseSettings(database_url=url))
    db.migrate()
    db.dispose()


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "migrated.db"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_postgres(postgres) -> str:
    _migrate(postgres.create_database("migrated"))
    return "migrated"


@pytest.fixture
def sqlite_store_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    shutil.copy(migrated_sqlite, tmp_path / "store.db")
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture
def postgres_store_url(postgres, migrated_postgres: str) -> Iterator[str]:
    name = f"store{next(_numbers)}"
    yield postgres.create_database(name, migrated_postgres)
    postgres.drop_database(name)


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest) -> str:
    """A migrated, empty database of each kind: the test runs once on SQLite and once on PostgreSQL."""
    url: str = request.getfixturevalue(f"{request.param}_store_url")
    return url


@pytest.fixture
def db(store_url: str) -> Iterator[Database]:
    """A migrated database of each kind. When the test is over, its books must be right."""
    yield from _with_right_books(store_url)


@pytest.fixture
def pg(postgres_store_url: str) -> Iterator[Database]:
    """A migrated PostgreSQL, for what SQLite cannot show: rows locked one by one."""
    yield from _with_right_books(postgres_store_url)


def _with_right_books(url: str) -> Iterator[Database]:
    found = open_database(DatabaseSettings(database_url=url, database_busy_timeout=30.0))
    try:
        yield found
        assert_exact(found)
    finally:
        found.dispose()


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return open_store(BlobSettings(store_url=f"file:{tmp_path / 'objects'}"))
