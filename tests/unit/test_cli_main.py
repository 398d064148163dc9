"""The command's parts are imported when they are asked for."""

import subprocess
import sys

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from api.cli.main import COMMANDS, asked, build

HEAVY = ("sqlalchemy", "celery", "kombu", "redis", "httpx", "fastapi", "boto3", "rapidfuzz", "alembic")


def test_every_command_is_there_and_has_a_help():
    whole = get_command(build())
    assert list(whole.commands) == list(COMMANDS)
    for name, command in whole.commands.items():
        assert command.help, name


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_alone_is_as_in_the_whole(name):
    alone = CliRunner().invoke(build([name]), [name, "--help"])
    assert alone.exit_code == 0
    assert alone.output == CliRunner().invoke(build(), [name, "--help"]).output


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["run", "a.pdf"], ["run"]),
        ([], COMMANDS),
        (["--help"], COMMANDS),
        (["rnu"], COMMANDS),
        (["-h", "run"], COMMANDS),
    ],
)
def test_one_where_one_is_named_else_all(arguments, wanted):
    assert list(asked(arguments)) == list(wanted)


def test_a_name_that_is_wrong_is_answered_with_one_that_is_right():
    answer = CliRunner().invoke(build(asked(["statsu"])), ["statsu"])
    assert answer.exit_code == 2
    assert "status" in answer.output


def test_run_begins_without_what_its_workers_import_meanwhile():
    code = "import sys; from api.cli.main import build; build(['run']); print(*sys.modules, sep='\\n')"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "api.cli.run" in loaded
    assert [name for name in HEAVY if name in loaded] == []
