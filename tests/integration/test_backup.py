"""docs/upgrade.md: its commands are run as they stand there, and what comes back is what was there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.blobs import open_store
from jobs.queue import Doorbell, make_app
from jobs.reconcile.ledger import document_ledger, job_ledger
from jobs.reconcile.objects import stored_differences
from jobs.reconcile.orphans import Orphans
from jobs.settings import BlobSettings, BrokerSettings, DatabaseSettings
from jobs.store.database import open_database
from tests.earlier.restoring import REVISIONS, Earlier, restore
from tests.ledger import assert_exact
from tests.protocol import rows
from tests.reconciling import PATIENCE, RULES, Parts

PAGE = Path(__file__).resolve().parents[2] / "docs/upgrade.md"


def command(begins: str) -> str:
    """The command on the page that begins so."""
    [line] = [line.strip().strip("`") for line in PAGE.read_text().splitlines() if line.startswith(f"    {begins}")]
    return line


def run(line: str, folder: Path, **env: str) -> None:
    done = subprocess.run(
        ["sh", "-ec", line], cwd=folder, env=dict(os.environ) | env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def tools(tmp_path, postgres):
    """A PATH with this Python, and with the clients of this PostgreSQL."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "python").symlink_to(sys.executable)
    return f"{folder}:{postgres.binaries}:{os.environ['PATH']}"


def content(url, folder):
    """Every row, every object, and what reconcile says of them."""
    db = open_database(DatabaseSettings(database_url=url))
    tables = sorted(t for (t,) in rows(db, _TABLES[db.engine.dialect.name]) if t != "sqlite_sequence")
    found = {table: sorted(map(repr, rows(db, f'SELECT * FROM "{table}"'))) for table in tables}
    objects = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    parts = Parts(
        db, open_store(BlobSettings(store_url=f"file:{folder}")), Doorbell(make_app(BrokerSettings())), PATIENCE, RULES
    )
    differences = [*document_ledger(parts), *stored_differences(parts, Orphans(parts)), *job_ledger(parts)]
    wrong = sorted((difference.code, difference.where) for difference in differences)
    assert_exact(db)
    db.dispose()
    return found, objects, wrong


_TABLES = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table'",
    "postgresql": "SELECT tablename FROM pg_tables WHERE schemaname = 'public'",
}


@pytest.fixture(params=["sqlite", "postgres"])
def earlier(request):
    return Earlier(REVISIONS[-1], request.param)


def test_a_backup_comes_back(earlier, tmp_path, tools, postgres, request):
    data = tmp_path / "pagemill-data"
    data.mkdir()
    earlier.unpack(data)
    url = f"sqlite:///{data}/pagemill.db" if earlier.kind == "sqlite" else request.getfixturevalue("postgres_url")
    restore(earlier, url, lambda: postgres)
    upgrade(url)
    before = content(url, data / "objects")
    assert len(before[0]["job"]) == 7
    assert len(before[1]) > 20
    plain = url.replace("+psycopg", "")

    run(command("pg_dump" if earlier.kind == "postgres" else "python -c"), tmp_path, PATH=tools, DATABASE=plain)
    run(command("cp -a"), tmp_path)
    shutil.rmtree(data / "objects")
    if earlier.kind == "postgres":
        url = postgres.create_database("restored")
        plain = url.replace("+psycopg", "")
    for left in data.iterdir():
        left.unlink()

    shutil.copytree(tmp_path / "objects.backup", data / "objects")
    if earlier.kind == "postgres":
        run(command("pg_restore"), tmp_path, PATH=tools, DATABASE=plain)
    else:
        assert "`cp pagemill.backup.db pagemill-data/pagemill.db`" in PAGE.read_text()
        run("cp pagemill.backup.db pagemill-data/pagemill.db", tmp_path)
    for line in (command("pagemill db upgrade"), command("pagemill reconcile")):
        assert line.split()[0] == "pagemill"
    upgrade(url)
    assert content(url, data / "objects") == before
    if earlier.kind == "postgres":
        postgres.drop_database("restored")


def upgrade(url):
    """`pagemill db upgrade`."""
    subprocess.run(
        [sys.executable, "-m", "api.cli", "db", "upgrade"],
        env=dict(os.environ) | {"PAGEMILL_DATABASE_URL": url},
        check=True,
        timeout=120,
        capture_output=True,
    )
