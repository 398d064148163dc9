"""`python -m tests.earlier.record COMMIT`: keep what a version leaves in its databases, before a migration comes.

Takes that version's tree out of the history, has its own code play scene.py and statements.py on SQLite and on
PostgreSQL, and writes under tests/earlier/REVISION/: a dump of each database, the objects of each store, and what was
said. tests/integration/test_upgrades.py starts from there. To be run with the newest commit before the first one
of a new migration; only what is older than the oldest version that anybody upgrades from may be deleted.
"""

from __future__ import annotations

import io
import os
import re
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from tests.services import Postgres, Valkey

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
_MOMENT = (1980, 1, 1, 0, 0, 0)
"""Of every file in an archive, so that only contents make a difference."""


def main(commit: str) -> None:
    with tempfile.TemporaryDirectory(prefix="pagemill-earlier-") as folder, Postgres() as postgres, Valkey() as valkey:
        tree = Path(folder) / "tree"
        export(commit, tree)
        revision = sorted((tree / "jobs/migrations/versions").glob("0*.py"))[-1].name[:4]
        out = HERE / revision
        out.mkdir(exist_ok=True)
        for kind in ("sqlite", "postgres"):
            root = Path(folder) / kind
            root.mkdir()
            url, said = (
                (f"sqlite:///{root}/scene.db", f"sqlite:///{root}/said.db")
                if kind == "sqlite"
                else (postgres.create_database("scene"), postgres.create_database("said"))
            )
            valkey.flush()
            play(tree, "scene.py", root, url, valkey.url_of(1))
            play(tree, "statements.py", root, said)
            dumped = dump_sqlite(root / "scene.db") if kind == "sqlite" else dump_postgres(postgres, "scene")
            (out / f"{kind}.sql").write_text(dumped)
            (out / f"{kind}.notes.json").write_text((root / "notes.json").read_text() + "\n")
            pack(out / f"{kind}.zip", root)
        (out / "README").write_text(f"Made by tests/earlier/record.py from commit {commit}.\n")


def export(commit: str, tree: Path) -> None:
    """The files of a commit. Raises CalledProcessError where the history does not go back so far."""
    archive = subprocess.run(["git", "archive", commit], cwd=REPOSITORY, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
        packed.extractall(tree, filter="data")


def environment(tree: Path) -> dict[str, str]:
    """For a process that is to find the code of `tree` and none of ours."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("PAGEMILL_", "PYTEST_", "PYTHON"))}
    return own | {"PYTHONPATH": str(tree), "PYTHONSAFEPATH": "1"}


def play(tree: Path, script: str, *arguments: str | Path) -> None:
    subprocess.run([sys.executable, HERE / script, *arguments], cwd=tree, env=environment(tree), check=True)


def dump_sqlite(path: Path) -> str:
    connection = sqlite3.connect(path)
    try:
        return "\n".join(connection.iterdump()) + "\n"
    finally:
        connection.close()


def dump_postgres(postgres: Postgres, database: str) -> str:
    """Without the lines that name the dump's own version and its one-time key."""
    told = postgres.program("pg_dump", database, "--inserts", "--rows-per-insert=50", "--no-owner", "--no-privileges")
    return re.sub(r"(?m)^(--.*|\\(un)?restrict .*|)\n", "", told)


def pack(path: Path, root: Path) -> None:
    """The objects, and what was said."""
    files = [file for file in sorted((root / "objects").rglob("*")) if file.is_file()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in [*files, root / "statements.json"]:
            info = zipfile.ZipInfo(str(file.relative_to(root)), _MOMENT)
            packed.writestr(info, file.read_bytes(), zipfile.ZIP_DEFLATED, 9)


if __name__ == "__main__":
    main(sys.argv[1])
