"""What the doctor says of settings alone: nothing is asked of anybody."""

from __future__ import annotations

import pytest

from jobs.doctor.checks import checks
from jobs.doctor.engine import needed
from jobs.doctor.run import run
from jobs.doctor.scene import Scene, is_near, passwords_in
from jobs.placeholders import is_placeholder
from jobs.settings import EngineSettings, environment

WELL = {
    "PAGEMILL_DATABASE_URL": "postgresql://pagemill:p4ss-of-db@127.0.0.1/pagemill",
    "PAGEMILL_BROKER_URL": "redis://:p4ss-of-redis@127.0.0.1:6379/0",
    "PAGEMILL_STORE_URL": "s3://scans/mill",
    "PAGEMILL_S3_ENDPOINT": "http://127.0.0.1:9000",
    "PAGEMILL_S3_ACCESS_KEY": "somebody",
    "PAGEMILL_S3_SECRET_KEY": "p4ss-of-s3",
    "PAGEMILL_SECRET_KEY": "kD83jf9-sKw02mfpQ7",
}
IDS = (
    "config-unknown,config-value,config-placeholder,config-secret-key,config-url,config-cleartext,config-files,"
    "config-contradiction,config-sqlite,config-local-store,config-api-open"
)


@pytest.fixture
def wrong(monkeypatch):
    """Ids and levels of what is not well with these variables beside or instead of the good ones (None: unset)."""
    for name in environment():
        if name.startswith("PAGEMILL_"):
            monkeypatch.delenv(name)

    def look(**settings):
        values = WELL | {f"PAGEMILL_{name}": value for name, value in settings.items()}
        for name, value in values.items():
            if value is not None:
                monkeypatch.setenv(name, value)
        scene = Scene.look()
        found = run(scene, checks(scene, IDS.split(",")), 60.0)
        assert all(one.do for one in found if one.level in ("warning", "error"))
        assert "p4ss" not in "".join(one.model_dump_json() for one in found)
        return [(one.id, one.level.value) for one in found if one.level not in ("ok", "skipped")]

    return look


def test_good_settings(wrong):
    assert wrong() == []


FAULTS = {
    "config-unknown": [{"DATABASE_ULR": "x"}],
    "config-value": [{"STORE_URL": "ftp://x"}, {"API_PORT": "99999"}],
    "config-placeholder": [
        {"S3_SECRET_KEY": "CHANGEME"},
        {"S3_ACCESS_KEY": "<access key>"},
        {"DATABASE_URL": "postgresql://pagemill:change-me@127.0.0.1/x"},
        {"BROKER_URL": "redis://:%3Cpassword%3E@127.0.0.1/0"},
        {"OPENAI_KEY": "${OPENAI_KEY}"},
    ],
    "config-url": [
        {"DATABASE_URL": "mysql://127.0.0.1/x"},
        {"DATABASE_URL": "postgres://127.0.0.1/x"},
        {"BROKER_URL": "amqp://127.0.0.1"},
        {"STORE_URL": "s3:///prefix"},
        {"S3_ENDPOINT": "127.0.0.1:9000"},
    ],
    "config-contradiction": [
        {"HEARTBEAT_STALE": "9"},
        {"VL_MIN_PIXELS": "2000", "VL_MAX_PIXELS": "1000"},
        {"VL_MAX_TOKENS": "20000"},
        {"QUEUES": "recognize,everything"},
        {"ENGINE": "tesseract", "ENGINES": "tesseract"},
    ],
    "config-files": [{"RAPIDOCR_LAYOUT": "/nowhere.onnx"}, {"VLLM_MODEL": "/models/nowhere"}],
    "config-secret-key": [{"SECRET_KEY": "short"}],
}


@pytest.mark.parametrize(("id_", "settings"), [(id_, s) for id_, several in FAULTS.items() for s in several])
def test_an_error(wrong, id_, settings):
    found = wrong(**settings)
    assert (id_, "error") in found
    assert {other for other, _ in found} <= {id_, "config-value"}  # an unknown engine is none of the API's either


WARNINGS = {
    "config-secret-key": [{"SECRET_KEY": None}, {"SECRET_KEY": "abababababababababab"}],
    "config-cleartext": [
        {"DATABASE_URL": "postgresql://pagemill:p4ss@db.example/x?sslmode=disable"},
        {"BROKER_URL": "redis://:p4ss@redis.example:6379/0"},
        {"S3_PUBLIC_ENDPOINT": "http://files.example"},
    ],
    "config-sqlite": [{"DATABASE_URL": "sqlite:///x.db", "BROKER_URL": "rediss://:p4ss@redis.example:6379/0"}],
    "config-local-store": [{"STORE_URL": "file:objects", "DATABASE_URL": "postgresql://db.example/x"}],
    "config-api-open": [{"AUTH": "open", "API_HOST": "0.0.0.0"}],
    "config-contradiction": [
        {"TIME_FACTOR": "10"},
        {"ENGINE": "echo"},
        {"ENGINE": "rapidocr", "DEVICE": "0"},
        {"OUTBOUND_HTTP": "true"},
        {"INBOX_EVENTS_LIST": "events"},
        {"WORKER_MEMORY": "100000000"},
    ],
}


@pytest.mark.parametrize(("id_", "settings"), [(id_, s) for id_, several in WARNINGS.items() for s in several])
def test_a_warning(wrong, id_, settings):
    assert wrong(**settings) == [(id_, "warning")]


@pytest.mark.parametrize(
    "settings",
    [
        {"DATABASE_URL": "postgresql://pagemill:p4ss@db.example/x?sslmode=require"},
        {"DATABASE_URL": "sqlite:///x.db", "STORE_URL": "file:objects", "BROKER_URL": "redis+socket:///run/redis.sock"},
        {"BROKER_URL": "sentinel://127.0.0.1:26379;sentinel://127.0.0.1:26380"},
        {"VLLM_MODEL": "PaddlePaddle/PaddleOCR-VL"},
        {"API_HOST": "0.0.0.0"},
        {"S3_ENDPOINT": None},
    ],
)
def test_what_is_well_too(wrong, settings):
    assert wrong(**settings) == []


@pytest.mark.parametrize("text", ["change-me", "CHANGEME", "changeme-please", "<secret>", "${SECRET}"])
def test_placeholders(text):
    assert is_placeholder(text)


@pytest.mark.parametrize("text", ["kD83jf9", "no-change-me", "a<b>c", "yours", "money"])
def test_no_placeholders(text):
    assert not is_placeholder(text)


def test_passwords_in_addresses():
    assert passwords_in("redis://:a%2Fb@h/0") == {"a%2Fb", "a/b"}
    assert passwords_in("sentinel://:one@a:1;sentinel://:two@b:2") == {"one", "two"}
    assert passwords_in("http://me:three@a/v1,http://b/v1") == {"three"}
    assert "p@ss/w?rd" in passwords_in("redis://:p@ss/w?rd@h/0")  # rather too much is hidden than too little
    assert passwords_in("s3://bucket/prefix") == set()


def test_near():
    assert all(map(is_near, ["", "localhost", "127.0.0.1", "::1", "[::1]", "/run/redis.sock"]))
    assert not any(map(is_near, ["db", "10.0.0.1", "example.org", "0.0.0.0"]))


@pytest.mark.parametrize("address", ["pagemill:p4ss@word@127.0.0.1:1/x", "pagemill:p4ss@127.0.0.1:port/x"])
def test_an_address_of_no_database_is_an_error(monkeypatch, address):
    """Of the first, `word@127.0.0.1` was taken for the host, and told; the second was skipped: exit status 0."""
    monkeypatch.setenv("PAGEMILL_DATABASE_URL", f"postgresql://{address}")
    scene = Scene.look()
    found = {one.id: one for one in run(scene, checks(scene, ["database"]), 60.0)}
    assert found["database-reachable"].level == "error"
    assert "percent-encoded" in found["database-reachable"].found
    assert "word" not in found["database-reachable"].found.replace("password", "").replace("PASSWORD", "")
    assert {one.level.value for id_, one in found.items() if id_ != "database-reachable"} == {"skipped"}


@pytest.mark.parametrize(
    ("settings", "modules"),
    [
        ({}, {"cv2", "torch", "transformers", "vllm"}),
        ({"vl_backend": "openai"}, {"cv2", "torch", "transformers"}),
        ({"vl_layout_model": "none", "vl_backend": "openai"}, {"cv2"}),
        ({"vl_layout_model": "none"}, {"cv2", "vllm"}),
    ],
)
def test_libraries_that_an_engine_needs(settings, modules):
    engine = EngineSettings(name="paddleocr_vl", openai_urls="http://127.0.0.1/v1", **settings)
    assert set(needed(engine)) == modules
