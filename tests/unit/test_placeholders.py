"""A secret that nobody has chosen is refused before anything starts with it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from jobs.errors import InvalidRequest
from jobs.placeholders import check, is_placeholder
from jobs.settings import (
    BlobSettings,
    BrokerSettings,
    ClientSettings,
    DatabaseSettings,
    InboxSettings,
    OpenAiSettings,
    SecretSettings,
    environment,
    load,
)


@pytest.fixture(autouse=True)
def _clean(monkeypatch):
    for name in environment():
        if name.startswith("PAGEMILL_"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    "value",
    [
        "change-me", "change-me-postgres", "CHANGEME", "Change_Me!", " change me", "<secret>", "admin:change-me-flower",
        "admin:<password>", "a:long-and-random,b:changeme",
    ],
)  # fmt: skip
def test_what_a_placeholder_looks_like(value):
    assert is_placeholder(value)


@pytest.mark.parametrize("value", ["", "4f1c9a", "exchange-meter", "admin:4f1c", "a<b>c", "unchangemeant", "x <y> z"])
def test_what_does_not(value):
    assert not is_placeholder(value)


@pytest.mark.parametrize(
    ("group", "variable", "value"),
    [
        (SecretSettings, "PAGEMILL_SECRET_KEY", "change-me-secret"),
        (DatabaseSettings, "PAGEMILL_DATABASE_URL", "postgresql+psycopg://pagemill:change-me-pg@db:5432/pagemill"),
        (DatabaseSettings, "PAGEMILL_DATABASE_URL", "postgresql+psycopg://pagemill:%3Cpassword%3E@db/pagemill"),
        (DatabaseSettings, "PAGEMILL_DATABASE_URL", "postgresql+psycopg://db/pagemill?user=x&password=CHANGEME"),
        (BrokerSettings, "PAGEMILL_BROKER_URL", "redis://:change-me@redis:6379/0"),
        (BrokerSettings, "PAGEMILL_BROKER_URL", "sentinel://:fine@one:26379;sentinel://:changeme@two:26379"),
        (BlobSettings, "PAGEMILL_S3_ACCESS_KEY", "<access key>"),
        (BlobSettings, "PAGEMILL_S3_SECRET_KEY", "change-me-s3"),
        (OpenAiSettings, "PAGEMILL_OPENAI_KEY", "<key>"),
        (InboxSettings, "PAGEMILL_INBOX_EVENTS_TOKEN", "changeme"),
        (ClientSettings, "PAGEMILL_API_KEY", "<key>"),
    ],
)
def test_every_secret_of_the_settings_is_looked_at(monkeypatch, group, variable, value):
    monkeypatch.setenv(variable, value)
    with pytest.raises(InvalidRequest, match=f"^{variable} holds a placeholder") as refused:
        load(group)
    assert refused.value.where == variable
    assert value not in str(refused.value.problem())


@pytest.mark.parametrize(
    ("group", "variable", "value"),
    [
        (DatabaseSettings, "PAGEMILL_DATABASE_URL", "postgresql+psycopg://pagemill:4f1c9a@db/change-me"),
        (BrokerSettings, "PAGEMILL_BROKER_URL", "redis://:4f1c9a@redis:6379/0"),
        (SecretSettings, "PAGEMILL_SECRET_KEY", "4f1c9a-change-me"),
    ],
)
def test_what_somebody_chose_is_taken(monkeypatch, group, variable, value):
    monkeypatch.setenv(variable, value)
    assert load(group)


def test_an_empty_variable_is_no_secret_either():
    with pytest.raises(InvalidRequest, match=r"^B is not set$"):
        check({"A": "4f1c", "B": " "}, ["A", "B"])


@pytest.mark.parametrize("variable", ["POSTGRES_PASSWORD", "REDIS_PASSWORD"])
@pytest.mark.parametrize("value", ["4/f1c9==", "4f@1c", "4f#1c", "4f%41c", "4f?1c", "[4f1c", "4f;1c", "4f 1c"])
def test_a_password_that_breaks_the_url_it_is_put_into(variable, value):
    """`openssl rand -base64` prints such ones. PostgreSQL made its volume with it, and nobody could get in any more."""
    with pytest.raises(InvalidRequest, match=f"^{variable} becomes part of a URL") as refused:
        check({variable: value}, [variable])
    assert value not in str(refused.value.problem())
    check({"PAGEMILL_SECRET_KEY": value}, ["PAGEMILL_SECRET_KEY"])  # in no URL


@pytest.mark.parametrize("value", ["4f1c9a", "4f+1c=", "a-b_c.d~e!f:g"])
def test_a_password_that_does_not(value):
    check({"POSTGRES_PASSWORD": value}, ["POSTGRES_PASSWORD"])


@pytest.mark.parametrize(("value", "status"), [("4f1c9a", 0), ("change-me-grafana", 1)])
def test_the_command_of_the_compose_file(value, status):
    done = subprocess.run(
        [sys.executable, "-m", "jobs.placeholders", "FINE", "GRAFANA_ADMIN_PASSWORD"],
        env=dict(os.environ) | {"FINE": "4f1c", "GRAFANA_ADMIN_PASSWORD": value},
        capture_output=True,
        text=True,
    )
    assert done.returncode == status
    assert ("invalid_request: GRAFANA_ADMIN_PASSWORD holds a placeholder" in done.stderr) == bool(status)
    assert value not in done.stderr
