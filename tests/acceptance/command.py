"""The real command as its users start it: in a folder of its own, everything it starts recognisable."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pypdfium2

from tests.processes import wait_until

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = 120.0


@dataclass(frozen=True)
class Place:
    """A folder to stand in. Whatever is started here carries its name in its environment or arguments."""

    path: Path
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def temporary(self) -> Path:
        return self.path / "tmp"

    def environment(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PAGEMILL_")}
        self.temporary.mkdir(exist_ok=True)
        own = {"PYTHONPATH": str(ROOT), "TMPDIR": str(self.temporary), "COLUMNS": "200"}
        own["PAGEMILL_CACHE"] = "bypass"  # the same files are sent again and again and are meant to be read
        return clean | own | self.settings

    def run(self, *arguments: str | Path, **settings: str) -> subprocess.CompletedProcess[str]:
        """The command to its end."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.path,
            env=self.environment() | settings,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )

    def command(self, *arguments: str | Path) -> list[str]:
        return argv(*arguments)

    def json(self, *arguments: str | Path, status: int = 0, **settings: str) -> Any:
        """What the command says with --json: one document on stdout and nothing else."""
        done = self.run(*arguments, "--json", **settings)
        assert done.returncode == status, done
        return json.loads(done.stdout)

    @contextmanager
    def started(
        self, *arguments: str | Path, log: str = "log", reader: list[str] | None = None, **settings: str
    ) -> Iterator[Started]:
        """The command in the background, and nothing left of it at the end. `reader`: whom it is piped into."""
        with (self.path / log).open("w") as out:
            process = subprocess.Popen(
                argv(*arguments),
                cwd=self.path,
                env=self.environment() | settings,
                stdin=subprocess.DEVNULL,
                stdout=out if reader is None else subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            if process.stdout is not None and reader is not None:
                subprocess.Popen(reader, stdin=process.stdout, stdout=out, start_new_session=True).wait()
                process.stdout.close()
        try:
            yield Started(process, self.path / log)
        finally:
            process.kill()
            process.wait()
            for left in self.processes():
                left.kill()

    def processes(self) -> list[psutil.Process]:
        """Everything alive that was started here."""
        return [process for process in psutil.process_iter() if _belongs(process, str(self.path))]

    def put_pdf(self, name: str, pages: int = 1, width: float = 200) -> Path:
        """A born-digital PDF of blank pages. Documents of different width differ in their bytes."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        document = pypdfium2.PdfDocument.new()
        for _ in range(pages):
            document.new_page(width, 200)
        document.save(str(path))
        document.close()
        return path


@dataclass(frozen=True)
class Started:
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def output(self) -> str:
        return self.log.read_text()

    def wait_for(self, text: str) -> None:
        """Until the command has said so."""
        wait_until(lambda: text in self.output or self._ended(), f"{text!r}", TIMEOUT)
        assert text in self.output, f"exit status {self.process.returncode}: {self.output}"

    def _ended(self) -> bool:
        return self.process.poll() is not None

    def interrupt(self) -> int:
        """Ctrl-C, and the exit status it leads to."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(TIMEOUT)


def page_states(database: Path) -> dict[str, int]:
    """Pages by state, read beside the running service: asking through the command takes seconds on a busy machine."""
    if not database.exists():
        return {}
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        return dict(connection.execute("SELECT state, count(*) FROM page GROUP BY state").fetchall())
    except sqlite3.OperationalError:  # the tables are being made
        return {}
    finally:
        connection.close()


def argv(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "api.cli", *map(str, arguments)]


def _belongs(process: psutil.Process, mark: str) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        # Valkey writes over its arguments and has no environment: it stands in its folder.
        return any(mark in word for word in (*process.cmdline(), *process.environ().values(), process.cwd()))
    except psutil.Error:
        return False
