"""`pagemill worker --devices …`: one worker process per device, started again when it dies, ended together.

A child that cannot start its engine is tried again and again, less and less often, and says why; the others go on
meanwhile. Who ends in good order (`pagemill drain`) is let go: when all have, so does this process.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import orjson

from api.cli.devices import CPU, Device
from api.cli.metrics_ports import VARIABLE, first_port
from api.cli.stack import Child, Command, Signals, Stack, say
from jobs.logs import json_line
from jobs.settings import (
    BlobSettings,
    BrokerSettings,
    DatabaseSettings,
    EngineSettings,
    TimerSettings,
    WorkerSettings,
    load,
)
from jobs.slots import HANDED, HeldSlot, scope_of, take_slot

DRAINED = 0
"""Exit status of a worker that ended in good order, as workers/__main__.py tells it; any other is started again."""
AFTER_GRACE = 20.0
"""Seconds beyond the grace time: handing pages back may take 10 (workers/consumer.py), the last word in its row 5."""
_ROUND = 0.1


def supervise(devices: Sequence[Device], env: Mapping[str, str]) -> int:
    """Until SIGTERM, SIGINT or SIGHUP, or until every worker has drained. Returns the exit status: 0, or 128 and the
    signal's number where a second one cut it short. Raises InvalidRequest for settings that no worker could run with.
    """
    for group in (BrokerSettings, BlobSettings, EngineSettings):
        load(group)
    host, database = load(WorkerSettings).host, load(DatabaseSettings).database_url
    grace = load(TimerSettings).scaled("grace") + AFTER_GRACE
    with ExitStack() as held, Signals() as signals:
        slots = cpu_slots(devices, host, scope_of(database))
        for slot in slots:
            held.callback(slot.release)
        commands = [
            Command(
                name, [sys.executable, "-m", "workers"], own, None, grace=grace, final=frozenset({DRAINED}),
                descriptors=(int(own[HANDED]),) if HANDED in own else (),
            )
            for name, own in environments(devices, env, slots)
        ]  # fmt: skip
        supervisor = Supervisor(commands, signals, as_json=env.get("PAGEMILL_LOG_FORMAT") == "json")
        try:
            supervisor.run()
        finally:
            supervisor.stop()
    return signals.exit_code if signals.hurried else 0


def cpu_slots(devices: Sequence[Device], host: str, scope: str) -> list[HeldSlot]:
    """A slot for each worker on the CPUs, the first that are free: other workers of this host keep theirs. They are
    ours as long as this process lives, so that a worker that is started again is its predecessor's heir."""
    return [take_slot(host, CPU, None, scope) for device in devices if device.name == CPU]


def environments(
    devices: Sequence[Device], env: Mapping[str, str], slots: Sequence[HeldSlot] = ()
) -> list[tuple[str, dict[str, str]]]:
    """Each worker's name for people, and its whole environment.

    A card's worker has the slot `gpu0-0`, so that a second one on the card is refused; those on CPUs have the `slots`,
    in their order, and are called by them. Ports of metrics count up from the one that is set, and the cores are shared
    out to render processes.
    """
    share = max(1, len(os.sched_getaffinity(0)) // len(devices))
    port = first_port(env.get(VARIABLE), len(devices))
    free, found = iter(slots), []
    for index, device in enumerate(devices):
        own = {"PAGEMILL_RENDER_PROCESSES": str(share)} | dict(env) | dict(device.variables)
        own["PAGEMILL_DEVICE"] = device.name
        own.pop(HANDED, None)
        name = device.place
        if device.name == CPU:
            slot = next(free)
            name = own["PAGEMILL_SLOT"] = slot.name
            own[HANDED] = str(slot.descriptor)
        else:
            own["PAGEMILL_SLOT"] = f"{device.place}-0"
        if port:
            own[VARIABLE] = str(port + index)
        found.append((name, own))
    return found


class Supervisor:
    """The loop around the children."""

    def __init__(self, commands: Sequence[Command], signals: Signals, *, as_json: bool) -> None:
        self._commands = commands
        self._signals = signals
        self._stack = Stack()
        self._out = Output(as_json=as_json)

    def run(self) -> None:
        for command in self._commands:
            child = self._stack.start(command)
            self._out.say(child.name, "worker_started", f"started as process {child.pid}")
        while not self._signals.stopped:
            dead = self._stack.watch()
            self._pass_on()
            for child, status in dead:
                self._tell(child, status)
            if not any(child.running or child.restart_at is not None for child in self._stack.children):
                return
            time.sleep(_ROUND)

    def stop(self) -> None:
        """SIGTERM to everybody; a second signal to us kills who is left."""
        if any(child.running for child in self._stack.children):
            text = "stopping: workers finish the pages they hold; a second signal ends them at once"
            self._out.say("", "stopping", text)
        self._stack.stop([], self._hurried)
        self._pass_on()

    def _hurried(self) -> bool:
        self._pass_on()  # a worker must not wait for a full pipe while it drains
        return self._signals.hurried

    def _pass_on(self) -> None:
        for child in self._stack.children:
            for line in child.output():
                self._out.pass_on(child.name, line)

    def _tell(self, child: Child, status: int) -> None:
        end = self._stack.describe(child, status).removeprefix(f"{child.name} ")
        if child.restart_at is None and not child.running:
            self._out.say(child.name, "worker_drained", "has drained and is not started again")
        else:
            text = f"{end}; starts again in {child.delay:.0f} s"
            self._out.say(child.name, "worker_ended", text, logging.ERROR)


class Output:
    """Lines to stderr, each with the device it is about: before it, or as the member `device` of a JSON object."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def say(self, device: str, action: str, text: str, level: int = logging.INFO) -> None:
        if not self._as_json:
            self._write(f"{device or 'workers'} | {text}")
            return
        about = {"action": action} | ({"device": device} if device else {})
        self._write(json_line(__name__, level, text, about))

    def pass_on(self, device: str, line: str) -> None:
        if self._as_json and line.startswith("{"):
            try:
                return self._write_json({"device": device} | orjson.loads(line))
            except orjson.JSONDecodeError:
                pass
        return self._write(f"{device} | {line}")

    def _write_json(self, value: dict[str, Any]) -> None:
        self._write(orjson.dumps(value).decode())

    @staticmethod
    def _write(line: str) -> None:
        say(line, sys.stderr)
