"""Flower as `pagemill flower` starts it, and what its API says."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from typing import Any

import httpx

from tests.processes import HOST, Service, free_port

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120
LOGIN = ("ops", "a-password-for-tests")

_PAGES = re.compile(r"pages? ([0-9, -]+) of (doc_[0-9a-f]{32})")


@dataclass(frozen=True)
class Task:
    """A message as Flower shows it."""

    name: str
    state: str
    worker: str
    shown: str
    result: str
    exception: str

    @property
    def pages(self) -> set[tuple[str, int]]:
        """(document, number) of those that it says it is about."""
        return pages_in(self.shown)

    @property
    def done(self) -> set[tuple[str, int]]:
        """Those without the ones that were skipped."""
        return self.pages - pages_in(self.result.partition("skipped")[2])


def pages_in(text: str) -> set[tuple[str, int]]:
    return {(document, number) for listed, document in _PAGES.findall(text) for number in _numbers(listed)}


def _numbers(listed: str) -> list[int]:
    found = []
    for part in filter(None, (part.strip() for part in listed.split(","))):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


class Flower(Service):
    name = "flower"

    def __init__(self, broker_url: str, **settings: str) -> None:
        super().__init__(free_port())
        self.settings = {"PAGEMILL_BROKER_URL": broker_url, "PAGEMILL_FLOWER_AUTH": ":".join(LOGIN), **settings}

    def _command(self) -> list[str]:
        env = [f"{name}={value}" for name, value in self.settings.items()]
        base = ["/usr/bin/env", "-i", f"PATH={os.environ['PATH']}", f"PYTHONPATH={ROOT}", *env]
        return [*base, sys.executable, "-m", "api.cli", "flower", "--host", HOST, "--port", str(self.port)]

    def _ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthcheck", timeout=2).is_success
        except httpx.TransportError:
            return False

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def get(self, path: str, auth: tuple[str, str] | None = LOGIN, **parameters: str) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", params=parameters, auth=auth, timeout=30)

    def post(self, path: str) -> httpx.Response:
        return httpx.post(f"{self.url}{path}", auth=LOGIN, timeout=30)

    def json(self, path: str, **parameters: str) -> Any:
        return self.get(path, **parameters).raise_for_status().json()

    def online(self) -> set[str]:
        """Workers from which it has heard."""
        return {name for name, alive in self.json("/api/workers", status="1").items() if alive}

    def tasks(self, **wanted: str) -> list[Task]:
        found = self.json("/api/tasks", **wanted).values()
        return [
            Task(t["name"], t["state"], t["worker"], t["kwargs"], t["result"] or "", t["exception"] or "")
            for t in found
        ]
