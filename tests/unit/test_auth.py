"""Who gets in without a key: by address, by whether keys were made, by what a browser says of the page that asks."""

import pytest

from api.auth import ANYBODY, FRESH, Doorkeeper, is_loopback
from api.main import check_door
from jobs import keys
from jobs.errors import Forbidden, InvalidRequest, Unauthorized
from jobs.models import Scope
from jobs.settings import ApiSettings, DatabaseSettings
from jobs.store.database import open_database

HERE = {"host": "127.0.0.1:8470", "origin": None, "site": None}


@pytest.fixture
def database(tmp_path):
    database = open_database(DatabaseSettings(database_url=f"sqlite:///{tmp_path / 'pagemill.db'}"))
    database.migrate()
    yield database
    database.dispose()


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "[::1]", "localhost", "LOCALHOST", "app.localhost"])
def test_loopback(host):
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "0.0.0.0", "::", "10.0.0.1", "example.org", "127.0.0.1.nip.io", "2130706433", "localhost.evil.org"]
)
def test_not_loopback(host):
    assert not is_loopback(host)


def test_on_loopback_everybody_gets_in_until_there_is_a_key(database):
    clock = Clock()
    door = Doorkeeper(database, "auto", "127.0.0.1", clock=clock)
    door.check_start()
    assert door.admit(None, **HERE) == ANYBODY
    key, secret = keys.create(database, "first", [Scope.READ])
    clock.now += FRESH
    with pytest.raises(Unauthorized):
        door.admit(None, **HERE)
    assert door.admit(secret, **HERE).owner == key.id
    keys.revoke(database, key.id)
    clock.now += FRESH
    for token in (None, secret):
        with pytest.raises(Unauthorized):
            door.admit(token, **HERE)


def test_on_other_addresses_a_server_without_keys_does_not_start(database):
    door = Doorkeeper(database, "auto", "0.0.0.0")
    with pytest.raises(InvalidRequest, match="no API key") as refused:
        door.check_start()
    assert refused.value.where == "PAGEMILL_API_HOST"
    with pytest.raises(Unauthorized):
        door.admit(None, **HERE)
    keys.create(database, "first", [Scope.READ])
    Doorkeeper(database, "auto", "0.0.0.0").check_start()
    Doorkeeper(database, "open", "0.0.0.0").check_start()


def test_a_name_that_may_be_bound_elsewhere_is_not_loopback_to_listen_on(database):
    with pytest.raises(InvalidRequest, match="no API key"):
        Doorkeeper(database, "auto", "pagemill.localhost").check_start()


def test_a_database_without_a_schema_is_told_and_no_server_starts(tmp_path):
    empty = open_database(DatabaseSettings(database_url=f"sqlite:///{tmp_path / 'empty.db'}"))
    try:
        with pytest.raises(InvalidRequest, match="db upgrade"):
            check_door(ApiSettings(api_host="0.0.0.0"), empty)
        check_door(ApiSettings(api_host="127.0.0.1"), empty)
    finally:
        empty.dispose()


def test_a_database_that_is_away_does_not_keep_a_server_from_starting():
    away = open_database(DatabaseSettings(database_url="postgresql://127.0.0.1:1/x"))
    check_door(ApiSettings(api_host="0.0.0.0"), away)


def test_open_means_open_and_a_wrong_key_is_still_wrong(database):
    keys.create(database, "first", [Scope.READ])
    door = Doorkeeper(database, "open", "0.0.0.0")
    assert door.admit(None, host="pagemill.example", origin=None, site=None) == ANYBODY
    with pytest.raises(Unauthorized):
        door.admit("pm_wrong", **HERE)


@pytest.mark.parametrize("host", ["evil.example:8470", "", None, "127.0.0.1.evil.example", "[::1].evil"])
def test_names_that_are_bound_to_this_address_elsewhere_are_refused(database, host):
    # DNS rebinding: a page's own name resolves to 127.0.0.1 after it was loaded.
    with pytest.raises(Forbidden):
        Doorkeeper(database, "auto", "127.0.0.1").admit(None, host=host, origin=None, site=None)


@pytest.mark.parametrize(
    "said",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9000"},
        {"origin": "http://[::1"},
        {"origin": ""},
        {"site": "cross-site"},
        {"site": "same-site"},
    ],
)
@pytest.mark.parametrize("mode", ["auto", "open"])
def test_pages_of_other_sites_are_refused(database, mode, said):
    with pytest.raises(Forbidden):
        Doorkeeper(database, mode, "127.0.0.1").admit(None, **(HERE | said))


def test_a_page_of_the_server_itself_is_not(database):
    own = HERE | {"origin": "http://127.0.0.1:8470", "site": "same-origin"}
    assert Doorkeeper(database, "auto", "127.0.0.1").admit(None, **own) == ANYBODY


def test_what_is_remembered_is_bounded(database):
    door = Doorkeeper(database, "keys", "127.0.0.1")
    for number in range(50):
        with pytest.raises(Unauthorized):
            door.admit(f"pm_{number}", **HERE)
    with pytest.raises(Unauthorized, match="no API key"):
        door.admit("x" * 100_000, **HERE)
