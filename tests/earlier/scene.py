"""Played by an earlier version: one job in each state, and a worker that is killed. Started by record.py in that
version's tree with that version's `jobs`, `workers` and `tests`; what both know must suffice here.

    scene.py ROOT DATABASE_URL BROKER_URL      writes ROOT/objects and ROOT/notes.json
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from jobs import lifecycle
from jobs.options import EchoOptions
from tests.documents import pdf
from tests.hostile_files import encrypted_pdf, pdf_without_pages
from tests.installation import Installation

try:
    from jobs.deletion import delete
except ImportError:  # versions up to migration 0011
    from jobs.lifecycle import delete


def play(root: Path, database_url: str, broker_url: str) -> dict[str, str]:
    """Returns what later versions want to know: ids of jobs by what is with them, and an API key."""
    with Installation(root, database_url, broker_url, settings={"PAGEMILL_RENDER_PROCESSES": "1"}) as mill:
        jobs = {}
        with mill.worker() as worker:
            jobs["succeeded"] = mill.submit(pdf(3), pdf(2))
            jobs["partial"] = mill.submit(pdf(4), pdf(1), echo=EchoOptions(faults={"2": "fatal_error"}))
            jobs["failed"] = mill.submit(pdf_without_pages())
            jobs["deleted"] = mill.submit(pdf(1))
            for job in jobs.values():
                mill.wait(job)
            delete(mill.db, mill.blobs, jobs["deleted"])
            jobs["canceled"] = mill.submit(pdf(3), echo=EchoOptions(seconds={"2": 600.0, "3": 600.0}))
            mill.wait_for_pages(jobs["canceled"], 1)
            lifecycle.cancel(mill.db, jobs["canceled"])
            mill.wait(jobs["canceled"])
            jobs["running"] = mill.submit(pdf(6), echo=EchoOptions(seconds={"4": 4.0, "5": 4.0, "6": 4.0}))
            mill.wait_for_pages(jobs["running"], 3)
            mill.until(lambda: mill.count(jobs["running"])["running"] == 3, "three pages to be in the engine")
            worker.crash()
        jobs["queued"] = mill.submit(pdf(2), encrypted_pdf("sesame"), password="sesame")
        key = subprocess.run(
            [sys.executable, "-m", "api.cli", "keys", "create", "earlier", "--scope", "admin"],
            env=mill.environment(),
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        [secret] = [word for word in key if word.startswith("pm_")]
        assert set(mill.count(jobs["running"])) == {"succeeded", "running"}
        return jobs | {"key": secret}


if __name__ == "__main__":
    where = Path(sys.argv[1])
    (where / "notes.json").write_text(json.dumps(play(where, *sys.argv[2:]), indent=1))
