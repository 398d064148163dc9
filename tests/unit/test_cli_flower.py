"""How Flower is started: what it is told, and where it is not started at all."""

import pytest

from api.cli import embedded
from api.cli.flower import check_login
from api.cli.looking import COLUMNS, flower_argv, flower_environment
from jobs.errors import InvalidRequest

LOGIN = {"FLOWER_BASIC_AUTH": "ops:long enough"}


@pytest.mark.parametrize(
    "env",
    [
        {"FLOWER_ADDRESS": "127.0.0.1"},
        {"FLOWER_ADDRESS": "localhost"},
        {"FLOWER_ADDRESS": "", "FLOWER_UNIX_SOCKET": "/run/flower.sock"},
        {"FLOWER_ADDRESS": "0.0.0.0", **LOGIN},
        {"FLOWER_ADDRESS": "::", "FLOWER_BASIC_AUTH": "a:b,c:d"},
        {"FLOWER_ADDRESS": "10.0.0.1", "FLOWER_AUTH": ".*@a.example", "FLOWER_AUTH_PROVIDER": "flower.views.auth.X"},
    ],
)
def test_who_may_look_on(env):
    check_login(env)


@pytest.mark.parametrize(
    "env",
    [
        {"FLOWER_ADDRESS": "0.0.0.0"},
        {"FLOWER_ADDRESS": ""},
        {},
        {"FLOWER_ADDRESS": "0.0.0.0", "FLOWER_BASIC_AUTH": " , "},
        {"FLOWER_ADDRESS": "0.0.0.0", "FLOWER_AUTH": ".*@a.example"},
        {"FLOWER_ADDRESS": "127.0.0.1", "FLOWER_BASIC_AUTH": "ops"},
        {"FLOWER_ADDRESS": "127.0.0.1", "FLOWER_BASIC_AUTH": "ops:"},
        {"FLOWER_ADDRESS": "127.0.0.1", "FLOWER_BASIC_AUTH": "ops:s3cret,s3cret"},
    ],
)
def test_no_strangers_and_no_login_that_is_none(env):
    with pytest.raises(InvalidRequest) as raised:
        check_login(env)
    assert raised.value.where == "PAGEMILL_FLOWER_AUTH"
    assert "s3cret" not in raised.value.detail


def test_our_settings_are_defaults():
    assert flower_environment({}) == {
        "FLOWER_MAX_TASKS": "20000",
        "FLOWER_PURGE_OFFLINE_WORKERS": "3600",
        "FLOWER_TASKS_COLUMNS": COLUMNS,
        "FLOWER_READ_ONLY": "true",
    }
    assert flower_environment({"FLOWER_MAX_TASKS": "7"})["FLOWER_MAX_TASKS"] == "7"


def test_up_tells_its_password_to_nobody_who_lists_processes(tmp_path):
    command = embedded.flower({"PATH": "/bin", "FLOWER_READ_ONLY": "false"}, 5555, "pagemill:s3cret", tmp_path)
    assert command.env["FLOWER_BASIC_AUTH"] == "pagemill:s3cret"
    assert command.env["FLOWER_ADDRESS"] == "127.0.0.1"
    assert not any("s3cret" in argument for argument in command.argv)
    assert list(command.argv) == flower_argv()
    assert command.argv[-1] == "--conf=/dev/null", "a flowerconfig.py of the folder we stand in is not read"
