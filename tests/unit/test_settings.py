"""Settings: read from PAGEMILL_…, an unknown one is an error, and one place alone reads the environment."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from pydantic import ValidationError

from jobs.errors import InvalidRequest
from jobs.settings import (
    GROUPS,
    BlobSettings,
    BrokerSettings,
    ClientSettings,
    DatabaseSettings,
    EngineSettings,
    LimitSettings,
    SecretSettings,
    TimerSettings,
    WorkerSettings,
    environment,
    known_variables,
    load,
)
from jobs.store.database import open_database

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _clean(monkeypatch):
    for name in environment():
        if name.startswith("PAGEMILL_"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.__name__)
def test_every_group_has_defaults_for_one_machine(group):
    assert load(group)


def test_a_group_reads_its_variables(monkeypatch):
    monkeypatch.setenv("PAGEMILL_DATABASE_URL", "sqlite:///x.db")
    monkeypatch.setenv("PAGEMILL_DATABASE_POOL", "3")
    assert (load(DatabaseSettings).database_url, load(DatabaseSettings).database_pool) == ("sqlite:///x.db", 3)


def test_what_is_given_wins_over_the_environment(monkeypatch):
    monkeypatch.setenv("PAGEMILL_DATABASE_POOL", "3")
    assert load(DatabaseSettings, database_pool=5).database_pool == 5


def test_names_of_their_own_are_read_too(monkeypatch):
    monkeypatch.setenv("PAGEMILL_ENGINE", "echo")
    monkeypatch.setenv("PAGEMILL_DEVICE", "0")
    monkeypatch.setenv("PAGEMILL_RENDER_PROCESSES", "2")
    settings = load(EngineSettings)
    assert (settings.name, settings.device, settings.render_processes) == ("echo", "0", 2)
    assert EngineSettings(name="echo").name == "echo"


def test_a_typo_is_an_error_in_every_process(monkeypatch):
    monkeypatch.setenv("PAGEMILL_DATABASE_ULR", "x")
    for group in GROUPS:
        with pytest.raises(InvalidRequest, match="PAGEMILL_DATABASE_ULR") as raised:
            load(group)
        assert raised.value.where == "PAGEMILL_DATABASE_ULR"


@pytest.mark.parametrize(
    ("group", "variable", "value"),
    [
        (DatabaseSettings, "PAGEMILL_DATABASE_POOL", "0"),
        (DatabaseSettings, "PAGEMILL_DATABASE_POOL", "many"),
        (BlobSettings, "PAGEMILL_STORE_URL", "ftp://x"),
        (LimitSettings, "PAGEMILL_MAX_PAGES", "-1"),
        (TimerSettings, "PAGEMILL_TIME_FACTOR", "0"),
        (EngineSettings, "PAGEMILL_RENDER_PROCESSES", "0"),
        (WorkerSettings, "PAGEMILL_MAX_ERRORS", "none"),
    ],
)
def test_a_wrong_value_names_its_variable(monkeypatch, group, variable, value):
    monkeypatch.setenv(variable, value)
    with pytest.raises(InvalidRequest) as raised:
        load(group)
    assert raised.value.where == variable
    assert variable in raised.value.detail


def test_secrets_are_not_shown(monkeypatch):
    monkeypatch.setenv("PAGEMILL_SECRET_KEY", "geheim-geheim-geheim")
    settings = load(SecretSettings)
    assert "geheim" not in repr(settings)
    assert settings.secret_key.get_secret_value() == "geheim-geheim-geheim"


@pytest.mark.parametrize("pasted", ["pm_abc \n", "  pm_abc", "pm_abc"])
def test_a_key_is_taken_as_it_is_pasted(monkeypatch, pasted):
    monkeypatch.setenv("PAGEMILL_API_KEY", pasted)
    assert load(ClientSettings).api_key.get_secret_value() == "pm_abc"


def test_an_empty_key_is_none(monkeypatch):
    monkeypatch.setenv("PAGEMILL_API_KEY", " ")
    assert load(ClientSettings).api_key is None


@pytest.mark.parametrize("wrong", ["pm_abc\ndef", "pm_äbc", "pm_a c"])
def test_a_key_that_no_header_can_carry_is_told_without_it(monkeypatch, wrong):
    monkeypatch.setenv("PAGEMILL_API_KEY", wrong)
    with pytest.raises(InvalidRequest, match="no API key") as refused:
        load(ClientSettings)
    assert refused.value.where == "PAGEMILL_API_KEY"
    assert wrong not in str(refused.value.problem())


def test_groups_are_values():
    with pytest.raises(ValidationError):
        load(DatabaseSettings).database_pool = 9


def test_timers_are_divided_by_their_factor():
    timers = TimerSettings(time_factor=10, heartbeat_stale=30)
    assert timers.scaled("heartbeat_stale") == 3.0
    assert timers.scaled("tick_every") == pytest.approx(0.02)


def test_rescue_never_judges_faster_than_a_heartbeat_comes():
    timers = TimerSettings()
    assert timers.heartbeat_stale >= 3 * timers.heartbeat_every
    assert timers.ring_expires > timers.rescue_every


def test_every_variable_belongs_to_one_meaning():
    """Two groups may read the same variable (the engine's name), but then it means the same to both."""
    seen = {}
    for group in GROUPS:
        for name, field in group.model_fields.items():
            alias = field.validation_alias
            variable = alias if isinstance(alias, str) else f"PAGEMILL_{name.upper()}"
            seen.setdefault(variable, []).append(field.default)
    assert set(seen) == set(known_variables())
    assert {name: values for name, values in seen.items() if len(set(map(str, values))) > 1} == {}


def test_only_settings_read_the_environment():
    files = [path for package in ("jobs", "workers", "api") for path in (ROOT / package).rglob("*.py")]
    reading = {
        str(path.relative_to(ROOT))
        for path in files
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "environb")
    }
    assert reading == {"jobs/settings/loading.py"}


@pytest.mark.parametrize(
    ("group", "variable", "value"),
    [
        (BrokerSettings, "PAGEMILL_BROKER_URL", "redis://:s3/cret@127.0.0.1:6379/0"),
        (BrokerSettings, "PAGEMILL_BROKER_URL", "sentinel://:s3cret@one:26379;sentinel://:s3cret@two:s3cret"),
        (BlobSettings, "PAGEMILL_STORE_URL", "https://key:s3cret@host/"),
    ],
)
def test_a_wrong_setting_is_not_told_with_the_secret_in_it(monkeypatch, group, variable, value):
    monkeypatch.setenv(variable, value)
    with pytest.raises(InvalidRequest) as raised:
        load(group)
    assert "s3" not in raised.value.detail.replace("s3://", "")


@pytest.mark.parametrize("url", ["postgresql://u:s3cret:5@host:s3cret/db", "s3cret", "mysql://u:s3cret@host/db"])
def test_nor_is_a_wrong_database_url(url):
    with pytest.raises(InvalidRequest) as raised:
        open_database(DatabaseSettings(database_url=url))
    assert "s3cret" not in raised.value.detail


def test_several_sentinels_are_one_broker(monkeypatch):
    url = "sentinel://:x@one:26379/0;sentinel://:x@two:26379/0"
    monkeypatch.setenv("PAGEMILL_BROKER_URL", url)
    assert load(BrokerSettings).broker_url == url


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.__name__)
def test_every_setting_is_described(group):
    assert [name for name, field in group.model_fields.items() if not field.description] == []
