"""`python -m tests.tiers NAME…`: run parts of the suite one after the other and count what ran.

Every part runs even when an earlier one failed, so that one run tells everything; the exit status is 1 when any failed.
A tier in which no test ran has failed: a tier that cannot run must not look like one that passed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import psutil

REPOSITORY = Path(__file__).parent.parent
BIN = Path(sys.executable).parent

CHECKS: dict[str, list[list[str]]] = {
    "lint": [[str(BIN / "ruff"), "check", "."], [str(BIN / "ruff"), "format", "--check", "."]],
    "types": [[str(BIN / "mypy")]],
    "imports": [[str(BIN / "lint-imports")]],
}
TIERS = {"unit": 2, "integration": 3, "acceptance": 3, "ocr": 1, "chaos": 2, "hostile": 1, "vllm": 1}
"""Test processes side by side, each with services of its own. What waits for processes and clocks shares two cores
well; what computes on both (ocr, vllm) or fills memory until a deadline (hostile) does not."""

ORDERED = {"integration"}
"""Tiers whose conftest.py says which files come first; elsewhere those with the most tests do."""
IN_MEMORY = 10 * 2**30
"""Bytes of the file system and of memory that must be free before a tier's files are kept there: ample, unmeasured."""


def main(names: list[str]) -> int:
    """Run the named parts. Returns the exit status."""
    counts: Counter[str] = Counter()
    failed = []
    for name in names:
        started = time.monotonic()
        print(f"=== {name}", flush=True)
        passed = _check(name) if name in CHECKS else _tier(name, counts)
        print(f"=== {name}: {'ok' if passed else 'FAILED'} in {time.monotonic() - started:.0f} s\n", flush=True)
        if not passed:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}")
    if counts:
        print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return 1 if failed else 0


def _check(name: str) -> bool:
    statuses = [subprocess.run(command, cwd=REPOSITORY).returncode for command in CHECKS[name]]
    return not any(statuses)


def _tier(name: str, counts: Counter[str]) -> bool:
    if name not in TIERS:
        print(f"there is no part {name!r}; known: {', '.join([*CHECKS, *TIERS])}")
        return False
    place = _place(name)
    with tempfile.TemporaryDirectory(dir=place, prefix="pagemill-") as directory:
        report = Path(directory) / "report.xml"
        command = [sys.executable, "-m", "pytest", f"tests/{name}", "-q", f"--junit-xml={report}", "--durations=5"]
        if TIERS[name] > 1:
            command += ["-n", str(TIERS[name]), "--dist", "loadfile"]
        if name in ORDERED:
            command.append("--no-loadscope-reorder")
        Path(directory).chmod(0o755)  # PostgreSQL runs as another user
        # In the ordinary place nothing is said: a path that is longer by a folder is too long for vLLM's sockets.
        env = os.environ | ({"TMPDIR": directory} if place else {})
        status = subprocess.run(command, cwd=REPOSITORY, env=env).returncode
        ran = _count(report, counts)
    if not ran:
        print(f"no test of tier {name!r} ran")
    return status == 0 and ran > 0


def _place(name: str) -> Path | None:
    """Memory, where there is plenty, for the tier that copies a database for every test: a fifth of the time that a
    copy takes on disk. The other tiers fill disks and memory on purpose, and have the ordinary place."""
    memory = Path("/dev/shm")
    if name != "integration" or not memory.is_dir():
        return None
    free = shutil.disk_usage(memory).free
    return memory if min(free, psutil.virtual_memory().available) > IN_MEMORY else None


def _count(report: Path, counts: Counter[str]) -> int:
    """Add the report's numbers; returns how many tests ran and were not skipped."""
    if not report.exists():
        counts["failed"] += 1
        return 0
    suite = ET.parse(report).getroot().find("testsuite")
    assert suite is not None
    total, skipped = int(suite.get("tests", 0)), int(suite.get("skipped", 0))
    failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
    counts.update(passed=total - skipped - failed, failed=failed, skipped=skipped)
    return total - skipped


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
