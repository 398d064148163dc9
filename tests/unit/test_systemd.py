"""deploy/systemd: what systemd says of the units, and whether they start what there is with settings that there are."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from api.cli.supervise import AFTER_GRACE
from jobs.settings import TimerSettings, known_variables
from tests.commands import parse

UNITS = Path(__file__).resolve().parents[2] / "deploy/systemd"
INSTALLED = "/opt/pagemill/bin/"
_NEW_IN_254 = re.compile(r"Unknown key( name)? 'Restart(Steps|MaxDelaySec)' in section '?\[?Service\]?'?, ignoring\.")


def settings(unit: str) -> dict[str, list[str]]:
    """The values of each key of a unit, in order."""
    found: dict[str, list[str]] = {}
    for line in (UNITS / unit).read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


SERVICES = sorted(path.name for path in UNITS.glob("*.service"))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_systemd_has_nothing_to_say(tmp_path):
    for path in UNITS.iterdir():
        # The commands of this environment: it also looks whether they can be executed.
        text = path.read_text().replace(INSTALLED, f"{Path(sys.executable).parent}/")
        (tmp_path / path.name).write_text(text)
    names = [name.replace("@", "@0") for name in SERVICES] + ["pagemill-worker@cpu.service", "pagemill.target"]
    done = subprocess.run(
        ["systemd-analyze", "verify", *names], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    said = [line for line in (done.stdout + done.stderr).splitlines() if str(tmp_path) in line or "agemill" in line]
    assert [line for line in said if not _NEW_IN_254.search(line)] == []
    assert done.returncode == 0


@pytest.mark.parametrize("unit", SERVICES)
def test_units_start_what_there_is(unit):
    [command] = settings(unit)["ExecStart"]
    program, *arguments = command.removeprefix(INSTALLED).split()
    assert command.startswith(INSTALLED)
    assert (Path(sys.executable).parent / program).exists()
    if program == "pagemill":
        parse([argument.replace("%i", "0") for argument in arguments])


@pytest.mark.parametrize("unit", SERVICES)
def test_units_are_those_of_one_user_without_rights(unit):
    found = settings(unit)
    assert (found["User"], found["NoNewPrivileges"], found["ProtectSystem"]) == (["pagemill"], ["yes"], ["strict"])
    own = unit == "pagemill-up.service"  # brings its database, broker and store along
    assert found["EnvironmentFile"][0] == ("-/etc/pagemill/up.env" if own else "/etc/pagemill/pagemill.env")


def test_up_has_time_to_end_its_parts_and_keeps_its_data_where_it_may_write():
    found = settings("pagemill-up.service")
    assert found["KillMode"] == ["mixed"], "it ends its parts itself, Valkey last"
    assert int(found["TimeoutStopSec"][0]) > TimerSettings.model_fields["grace"].default + 2 * AFTER_GRACE
    data = parse(found["ExecStart"][0].removeprefix(INSTALLED).split()[1:])["data"]
    assert data.parent == Path("/var/lib") / found["StateDirectory"][0].split()[0]


def test_a_worker_has_time_to_hand_its_pages_back():
    found = settings("pagemill-worker@.service")
    assert found["KillMode"] == ["mixed"]
    assert int(found["TimeoutStopSec"][0]) > TimerSettings.model_fields["grace"].default + AFTER_GRACE
    assert found["Restart"] == ["on-failure"], "who was drained stays down (docs/turns.md)"
    assert found["StartLimitIntervalSec"] == ["0"], "an ill card is tried for ever"


def test_the_api_neither_ends_nor_fails_with_the_migration():
    """It had Requires=, by which restarting the migration (docs/upgrade.md) restarted the API too, before the workers;
    and a database that was late when the machine came up left the API down: Restart= does not count for that."""
    found = settings("pagemill-api.service")
    assert not {"Requires", "Requisite", "BindsTo"} & set(found)
    assert "pagemill-migrate.service" in found["Wants"][0].split()
    assert "pagemill-migrate.service" in found["After"][0].split()


def test_the_settings_of_the_example_are_known():
    lines = [line for line in (UNITS / "pagemill.env.example").read_text().splitlines() if line[:1] not in ("#", "")]
    names = {line.partition("=")[0] for line in lines}
    assert names <= set(known_variables())
    assert {"PAGEMILL_ENGINE", "PAGEMILL_ENGINES"} <= names, "else jobs wait for engines that nobody serves"
    assert {"PAGEMILL_DATABASE_URL", "PAGEMILL_BROKER_URL", "PAGEMILL_STORE_URL", "PAGEMILL_SECRET_KEY"} <= names


def test_each_process_can_have_a_port_for_metrics_of_its_own():
    """In the file that all read it would be everybody's; a later file wins, and the last one is one process's alone."""
    shared = (UNITS / "pagemill.env.example").read_text()
    assert not re.search(r"^PAGEMILL_METRICS_PORT=", shared, re.MULTILINE)
    own = {unit: settings(unit)["EnvironmentFile"][-1] for unit in ("pagemill-api.service", "pagemill-worker@.service")}
    assert list(own.values()) == ["-/etc/pagemill/api.env", "-/etc/pagemill/worker-%i.env"]
    for name, port in (("/etc/pagemill/api.env", 9464), ("worker-0.env", 9465), ("worker-1.env", 9466)):
        assert re.search(f"{port} in {name}", shared), "the example says how"
