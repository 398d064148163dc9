"""Secrets at rest: unreadable without the key, and an error that names the setting when the key is another one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from jobs.errors import InternalError, InvalidRequest
from jobs.settings import SecretSettings
from jobs.vault import Vault, open_vault

KEY = "correct horse battery staple"


@given(st.text())
def test_what_is_sealed_opens_again(text):
    assert Vault(KEY).open(Vault(KEY).seal(text)) == text


def test_a_token_shows_nothing_and_is_never_the_same():
    vault = Vault(KEY)
    first, second = vault.seal("hunter2"), vault.seal("hunter2")
    assert first != second
    assert "hunter2" not in first
    assert first.isascii()


def test_a_password_that_is_not_valid_unicode_survives():
    assert Vault(KEY).open(Vault(KEY).seal("a\udcffb")) == "a\udcffb"


def test_another_key_does_not_open_it_and_the_error_names_the_setting():
    token = Vault(KEY).seal("hunter2")
    with pytest.raises(InternalError, match="PAGEMILL_SECRET_KEY") as refused:
        Vault(KEY + "!").open(token)
    assert "hunter2" not in str(refused.value)


def flip(token):
    return token[:40] + ("A" if token[40] != "A" else "B") + token[41:]


@pytest.mark.parametrize("damage", [flip, lambda token: token[:-4], lambda _: "", lambda _: "é"])
def test_a_damaged_token_does_not_open(damage):
    token = Vault(KEY).seal("hunter2")
    with pytest.raises(InternalError, match="PAGEMILL_SECRET_KEY"):
        Vault(KEY).open(damage(token))


def test_a_token_of_an_earlier_release_still_opens():
    # Sealed with the first release: changing how the key is derived would make every stored secret unreadable.
    token = "gAAAAABrAuJ3tFwYMm1p3jn34eKSMwJ35fE1qoBYZug0dmyWIXeGogKZi3719wuEDLPGLFY4EAhP0QRzM-WHXd5IgIH-etHUUg=="
    assert Vault(KEY).open(token) == "hunter2"


def test_a_short_key_is_refused():
    with pytest.raises(InvalidRequest, match="PAGEMILL_SECRET_KEY"):
        Vault("changeme")


def test_no_key_no_vault():
    assert open_vault(SecretSettings(secret_key=None)) is None
    vault = open_vault(SecretSettings(secret_key=SecretStr(KEY)))
    assert vault is not None
    assert Vault(KEY).open(vault.seal("hunter2")) == "hunter2"
