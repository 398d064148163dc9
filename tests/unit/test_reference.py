"""The committed reference pages are what the code says."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import Field

from jobs.errors import PagemillError, failure_codes
from jobs.settings import GROUPS, known_variables
from jobs.settings.group import Group
from tests import reference
from tests.reference import errors, settings
from tests.reference.advice import ERRORS, WARNINGS
from tests.reference.readers import readers
from tests.reference.tables import table

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", reference.PAGES)
def test_the_committed_page_is_the_one_the_code_makes(name):
    assert name not in reference.stale(), "run `make docs`"


def test_the_command_names_what_is_stale(tmp_path, monkeypatch, capsys):
    from tests.reference.__main__ import main

    monkeypatch.setattr(reference, "DOCS", tmp_path)
    assert main(["--check"]) == 1
    assert "stale docs/settings.md" in capsys.readouterr().out
    assert main([]) == 0
    assert main(["--check"]) == 0
    assert main(["--what"]) == 2


def test_the_module_runs():
    done = subprocess.run(
        [sys.executable, "-m", "tests.reference", "--check"], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_every_variable_has_its_line():
    page = settings.render()
    assert {name for name in known_variables() if f"| `{name}` |" not in page} == set()


def test_every_group_is_read_by_somebody():
    assert {group.__name__ for group in GROUPS} <= set(readers())
    assert readers()["ClientSettings"] == ("commands",)
    assert readers()["TimerSettings"] == ("worker", "commands")


class Sample(Group):
    """For the tests below."""

    share: float | None = Field(default=None, gt=0, le=1, description="a|b")
    size: int = Field(default=2 * settings.MIB, ge=1_000)


def test_limits_and_sizes_are_told():
    fields = Sample.model_fields
    assert settings._kind("share", fields["share"]) == "seconds, > 0, ≤ 1"
    assert settings._kind("size", fields["size"]) == "number, ≥ 1,000"
    assert settings._default("size", fields["size"]) == "`2097152` (2 MiB)"
    assert settings._default("share", fields["share"]) == "*none*"


def test_a_bar_does_not_break_a_table():
    assert table(("x",), [("a|b\nc",)]) == "| x |\n| --- |\n| a\\|b c |\n"


def test_every_error_and_warning_has_advice_and_nothing_else_has():
    known = errors.codes()
    assert set(ERRORS) == set(known)
    assert failure_codes() <= set(known)
    assert all(issubclass(error, PagemillError) for error in known.values())
    assert set(WARNINGS) == set(errors.warning_codes())


def test_every_metric_has_its_line():
    from jobs.metrics import METRICS
    from tests.reference import metrics

    page = metrics.render()
    assert metrics.untold() == []
    assert [metric.name for metric in METRICS if f"| `{metric.name}` |" not in page] == []
