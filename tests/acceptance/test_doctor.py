"""`pagemill doctor` on an installation that is well, and on the same one with one real fault at a time.

Each fault must be found under its own id, with its remedy and exit status, and nothing else beside it but what follows
from it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from alembic import command as alembic
from jsonschema import Draft202012Validator

from jobs.migrations import config
from jobs.schemas import schema_path
from jobs.settings import DatabaseSettings
from jobs.store.database import open_database
from tests.acceptance.command import Place
from tests.chaos.disk import Disk
from tests.chaos.stage import faketime
from tests.documents import pdf
from tests.header_dropper import header_dropper
from tests.installation import Installation
from tests.processes import HOST, free_port, wait_until
from tests.services import Postgres, SeaweedFS, Valkey

SECRET = "a7Kx-93hfjQpzLm4-vault"
SPEED = {"database-latency", "redis-latency", "store-latency"}
"""What a busy machine may be warned of."""


@dataclass(frozen=True)
class Ward:
    """An installation that is well."""

    place: Place
    postgres: Postgres
    valkey: Valkey
    s3: SeaweedFS
    template: str
    """Name of its database."""

    def examine(self, *options: str, status: int, **settings: str) -> Findings:
        """The command's findings, once its output was checked as a program that reads it would."""
        done = self.place.run("doctor", "--json", *options, **settings)
        assert done.stdout, done.stderr
        report = json.loads(done.stdout)
        Draft202012Validator(json.loads(schema_path("doctor").read_text())).validate(report)
        found = Findings(report)
        expected = 3 if status == 0 and found.slow() else status
        assert done.returncode == report["status"] == expected, found.wrong_text()
        assert SECRET not in done.stdout + done.stderr
        return found


class Findings(dict[str, dict[str, Any]]):
    """By id."""

    def __init__(self, report: dict[str, Any]) -> None:
        super().__init__((found["id"], found) for found in report["findings"])
        self.text = json.dumps(report)
        assert sum(report["counts"].values()) == len(report["findings"])

    def slow(self) -> bool:
        return any(self[id_]["level"] == "warning" for id_ in SPEED & self.keys())

    def wrong(self) -> dict[str, str]:
        """Id and level of everything that is not well."""
        levels = ("warning", "error")
        return {id_: f["level"] for id_, f in self.items() if f["level"] in levels and id_ not in SPEED}

    def assert_only(self, **expected: str) -> None:
        """Exactly these, ids with `_` for `-`; each says what to do."""
        assert self.wrong() == {id_.replace("_", "-"): level for id_, level in expected.items()}, self.wrong_text()
        assert all(self[id_]["do"] for id_ in self.wrong())

    def wrong_text(self) -> str:
        return "\n".join(f"{id_}: {self[id_]['found']}" for id_ in self.wrong())


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    root = tmp_path_factory.mktemp("ward")
    with Postgres(fsync=True) as postgres, Valkey(persistent=True) as valkey, SeaweedFS() as s3:
        url = postgres.create_database("well")
        migrated(url)
        settings = {
            "PAGEMILL_DATABASE_URL": url,
            "PAGEMILL_BROKER_URL": valkey.url,
            "PAGEMILL_STORE_URL": f"s3://{s3.create_bucket('well')}/mill",
            "PAGEMILL_S3_ENDPOINT": s3.url,
            "PAGEMILL_S3_ACCESS_KEY": s3.access_key,
            "PAGEMILL_S3_SECRET_KEY": s3.secret_key,
            "PAGEMILL_SECRET_KEY": SECRET,
            "PAGEMILL_API_PORT": str(free_port()),
            # So little that every machine that runs tests has it.
            "PAGEMILL_SCRATCH_BYTES": str(1 << 20),
            "PAGEMILL_RENDER_PROCESSES": "1",
            "PAGEMILL_RENDER_MEMORY": str(64 << 20),
            "TZ": "UTC",
        }
        yield Ward(Place(root, settings), postgres, valkey, s3, "well")


def migrated(url: str, revision: str = "head") -> None:
    db = open_database(DatabaseSettings(database_url=url))
    with db.engine.begin() as connection:
        alembic.upgrade(config(connection), revision)
    db.dispose()


@contextmanager
def configured(valkey: Valkey, **values: str) -> Iterator[None]:
    """CONFIG SET, and all of it back afterwards."""
    names = [name.replace("_", "-") for name in values]
    with valkey.client() as client:
        before = {name: client.config_get(name)[name] for name in names}
        for name, value in zip(names, values.values(), strict=True):
            client.config_set(name, value)
        try:
            yield
        finally:
            for name, value in before.items():
                client.config_set(name, value)


# --- well


def test_an_installation_that_is_well(ward: Ward) -> None:
    found = ward.examine(status=0)
    found.assert_only()
    skipped = {id_ for id_, f in found.items() if f["level"] == "skipped"}
    gpu = {"gpu-driver", "gpu-device", "gpu-libcuda", "gpu-cuda", "gpu-memory", "gpu-health", "machine-memlock"}
    assert skipped == {*gpu, "database-space", "engine-start"}
    assert all(f["found"] for f in found.values())
    assert len(found) > 50
    left = ward.s3.client.list_objects_v2(Bucket="well").get("Contents", [])
    uploads = ward.s3.client.list_multipart_uploads(Bucket="well").get("Uploads", [])
    with ward.valkey.client() as client:
        assert (left, uploads, client.keys("*")) == ([], [], [])


def test_a_laptop_that_is_well(ward: Ward, tmp_path: Path) -> None:
    """SQLite and a folder: the other half of the checks."""
    (tmp_path / "objects").mkdir()
    url = f"sqlite:///{tmp_path / 'pagemill.db'}"
    migrated(url)
    found = ward.examine(status=0, PAGEMILL_DATABASE_URL=url, PAGEMILL_STORE_URL=f"file:{tmp_path / 'objects'}")
    found.assert_only()
    assert "store-presign-get" not in found
    assert found["store-space"]["level"] == found["database-space"]["level"] == "ok"
    assert list((tmp_path / "objects").iterdir()) == []


# --- settings


def test_a_variable_that_does_not_exist(ward: Ward) -> None:
    found = ward.examine(status=1, PAGEMILL_DATABASE_ULR="sqlite:///x.db")
    found.assert_only(config_unknown="error")
    assert "PAGEMILL_DATABASE_URL" in found["config-unknown"]["found"]


def test_a_value_that_cannot_be(ward: Ward) -> None:
    """What needs it is not looked at, and says so; the rest is."""
    found = ward.examine(status=1, PAGEMILL_DATABASE_POOL="many")
    found.assert_only(config_value="error")
    assert found["database-reachable"]["level"] == "skipped"
    assert "config-value" in found["database-reachable"]["found"]
    assert found["redis-reachable"]["level"] == found["store-write"]["level"] == "ok"


@pytest.mark.parametrize("secret", ["change-me-to-something-long", "<a long random text>"])
def test_a_placeholder(ward: Ward, secret: str) -> None:
    found = ward.examine(status=1, PAGEMILL_SECRET_KEY=secret)
    found.assert_only(config_placeholder="error")
    assert found["config-placeholder"]["where"] == "PAGEMILL_SECRET_KEY"
    assert secret not in found.text


def test_an_open_api_and_a_worker_judged_too_soon(ward: Ward) -> None:
    found = ward.examine(status=1, PAGEMILL_AUTH="open", PAGEMILL_API_HOST="0.0.0.0", PAGEMILL_HEARTBEAT_STALE="6")
    found.assert_only(config_api_open="warning", config_contradiction="error")


def test_an_api_that_nobody_could_use(ward: Ward) -> None:
    found = ward.examine(status=1, PAGEMILL_API_HOST="0.0.0.0")
    found.assert_only(api_keys="error")
    assert "pagemill keys create" in found["api-keys"]["do"]


# --- database


def test_a_database_that_is_away(ward: Ward) -> None:
    url = f"postgresql://somebody:p4ssw0rd@{HOST}:{free_port()}/x"
    found = ward.examine(status=1, PAGEMILL_DATABASE_URL=url)
    found.assert_only(database_reachable="error")
    assert "p4ssw0rd" not in found.text
    assert found["database-schema"]["level"] == found["workers-alive"]["level"] == "skipped"


def test_a_database_that_was_never_migrated_or_long_ago(ward: Ward) -> None:
    new = ward.postgres.create_database("new")
    ward.examine(status=1, PAGEMILL_DATABASE_URL=new).assert_only(database_schema="error")
    migrated(new, "0009")
    found = ward.examine(status=1, PAGEMILL_DATABASE_URL=new)
    found.assert_only(database_schema="error")
    assert found["database-schema"]["actual"] == "0009"
    assert "pagemill db upgrade" in found["database-schema"]["do"]


def test_a_database_that_loses_what_it_acknowledged(ward: Ward) -> None:
    with Postgres() as careless:
        url = careless.create_database("careless")
        migrated(url)
        found = ward.examine(status=1, PAGEMILL_DATABASE_URL=url)
    found.assert_only(database_durability="error")
    assert "fsync, full_page_writes off" in found["database-durability"]["found"]


# --- redis


def test_a_redis_that_throws_messages_away(ward: Ward) -> None:
    with configured(ward.valkey, maxmemory_policy="allkeys-lru", maxmemory="100000000"):
        found = ward.examine(status=1)
    found.assert_only(redis_eviction="error")
    assert (found["redis-eviction"]["limit"], found["redis-eviction"]["actual"]) == ("noeviction", "allkeys-lru")
    assert "CONFIG SET maxmemory-policy noeviction" in found["redis-eviction"]["do"]


def test_a_redis_that_keeps_nothing(ward: Ward) -> None:
    with configured(ward.valkey, appendonly="no"):
        found = ward.examine(status=3)
    found.assert_only(redis_persistence="warning")


def test_a_redis_that_is_full(ward: Ward) -> None:
    with configured(ward.valkey, maxmemory="500000"):
        found = ward.examine(status=1)
    found.assert_only(redis_writable="error", redis_memory="error")


def test_a_wrong_password(ward: Ward) -> None:
    url = ward.valkey.url.replace("redis://", "redis://:wr0ng-w0rd@")
    with configured(ward.valkey, requirepass="r1ght-w0rd"):
        # The setting back needs the password, and CONFIG is asked over a connection that is in already.
        found = ward.examine(status=1, PAGEMILL_BROKER_URL=url)
    found.assert_only(redis_auth="error")
    assert found["redis-reachable"]["level"] == "ok"
    assert "wr0ng-w0rd" not in found.text


def test_a_redis_that_hangs(ward: Ward) -> None:
    """A check without an end is a finding; the others go on."""
    with Valkey() as valkey:
        valkey.freeze()
        found = ward.examine("--timeout", "2", "--only", "redis,config-url", status=1, PAGEMILL_BROKER_URL=valkey.url)
    found.assert_only(check_hung="error")
    assert found["check-hung"]["where"] == "redis"
    assert found["redis-reachable"]["level"] == "skipped"
    assert found["config-url"]["level"] == "ok"


# --- store


def test_a_bucket_that_is_missing_and_a_key_that_opens_nothing(ward: Ward) -> None:
    ward.examine(status=1, PAGEMILL_STORE_URL="s3://nowhere/mill").assert_only(store_bucket="error")
    found = ward.examine(status=1, PAGEMILL_S3_SECRET_KEY="another-s3-secret")
    found.assert_only(store_access="error")
    assert "SignatureDoesNotMatch" in found["store-access"]["found"]


def test_an_s3_that_ignores_conditions(ward: Ward) -> None:
    with header_dropper(ward.s3) as url:
        found = ward.examine(status=3, PAGEMILL_S3_ENDPOINT=url)
    found.assert_only(store_conditional="warning")


def test_links_that_lead_nowhere(ward: Ward) -> None:
    found = ward.examine(status=1, PAGEMILL_S3_PUBLIC_ENDPOINT=f"http://{HOST}:{free_port()}")
    found.assert_only(store_presign_get="error", store_presign_put="error")
    assert "PAGEMILL_S3_PUBLIC_ENDPOINT" in found["store-presign-get"]["do"]


def test_a_folder_that_takes_nothing(ward: Ward, tmp_path: Path) -> None:
    with Disk() as disk:
        if not disk.small:
            pytest.skip("a small disk cannot be mounted here")
        disk.fill()
        found = ward.examine(
            status=1, PAGEMILL_STORE_URL=f"file:{disk.path}", PAGEMILL_SCRATCH=str(disk.path), TMPDIR=str(tmp_path)
        )
    found.assert_only(store_write="error", store_space="error", disk_scratch="error")
    assert "No space left" in found["store-write"]["found"]


# --- machine


def test_a_clock_that_is_wrong(ward: Ward) -> None:
    library = faketime()
    if library is None:
        pytest.skip("libfaketime is not installed")
    wrong = {"LD_PRELOAD": str(library), "DONT_FAKE_MONOTONIC": "1"}
    found = ward.examine(status=3, FAKETIME="+120s", **wrong)
    found.assert_only(database_clock="warning", redis_clock="warning", store_clock="warning")
    assert -125 < found["database-clock"]["actual"] < -115
    found = ward.examine("--only", "store", status=1, FAKETIME="+2000s", **wrong)
    found.assert_only(store_clock="error")


def test_too_few_files(ward: Ward) -> None:
    limited = Limited(ward.place.path, ward.place.settings)
    found = Ward(limited, ward.postgres, ward.valkey, ward.s3, ward.template).examine(status=1)
    found.assert_only(machine_files="error")
    assert found["machine-files"]["actual"] == 200


class Limited(Place):
    """Where a process may open 200 files."""

    def command(self, *arguments: str | Path) -> list[str]:
        return ["/bin/sh", "-c", 'ulimit -n 200; exec "$@"', "sh", *super().command(*arguments)]


# --- GPU and engine


def test_a_gpu_without_a_driver(ward: Ward, tmp_path: Path) -> None:
    found = ward.examine("--device", "0", "--only", "gpu", status=1, PATH=str(tmp_path), CUDA_VISIBLE_DEVICES="0")
    assert found["gpu-driver"]["level"] == "error"
    assert found.wrong().keys() <= {"gpu-driver", "gpu-libcuda"}
    assert "Container Toolkit" in found["gpu-driver"]["do"]
    assert found["gpu-cuda"]["level"] == "skipped"


def test_a_driver_that_is_too_old(ward: Ward, tmp_path: Path) -> None:
    """By what nvidia-smi says, and the file in which torch tells its CUDA."""
    smi = tmp_path / "nvidia-smi"
    card = "0, GPU-1234, NVIDIA H200, 535.183.01, 143771, 143155, 0"
    smi.write_text(f"#!/bin/sh\necho '{card}'\n")
    smi.chmod(0o755)
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise ImportError('nobody imports this')\n")
    (tmp_path / "torch" / "version.py").write_text("__version__ = '2.9.0+cu130'\ncuda: str | None = '13.0'\n")
    path = {"PATH": str(tmp_path), "PYTHONPATH": f"{tmp_path}:{ward.place.environment()['PYTHONPATH']}"}
    found = ward.examine("--device", "0", "--only", "gpu", status=1, **path)
    assert (found["gpu-cuda"]["level"], found["gpu-cuda"]["limit"]) == ("error", "580.65")
    assert "535.183.01" in found["gpu-cuda"]["found"]
    # What a machine without a GPU lacks beside: its device file and library.
    assert found.wrong().keys() <= {"gpu-cuda", "gpu-device", "gpu-libcuda"}
    assert found["gpu-memory"]["level"] == found["gpu-health"]["level"] == "ok"
    smi.write_text("#!/bin/sh\necho 'Failed to initialize NVML: Driver/library version mismatch'; exit 18\n")
    found = ward.examine("--device", "0", "--only", "gpu", status=1, **path)
    assert "version mismatch" in found["gpu-driver"]["found"]


def test_an_engine_that_cannot_start(ward: Ward, tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(b"this is no model")
    arguments = ("--engine", "rapidocr", "--engine-start", "--only", "engine")
    found = ward.examine(*arguments, status=1, PAGEMILL_RAPIDOCR_DETECTION=str(model))
    found.assert_only(engine_start="error")
    found = ward.examine("--engine", "echo", "--engine-start", "--only", "engine", status=0)
    assert "page 1" in found["engine-start"]["found"]


def test_an_engine_whose_libraries_are_elsewhere(ward: Ward) -> None:
    """In an API image it is no fault; where the engine is named it is one."""
    found = ward.examine("--only", "engine", status=0, PAGEMILL_ENGINE="paddleocr_vl")
    assert found["engine-libraries"]["level"] == "skipped"
    assert "vllm" in found["engine-libraries"]["found"]
    ward.examine("--only", "engine", "--engine", "paddleocr_vl", status=1).assert_only(engine_libraries="error")


# --- workers


def test_workers_that_are_gone_while_jobs_wait(ward: Ward, tmp_path: Path) -> None:
    settings = ward.place.settings
    store = {name: value for name, value in settings.items() if "STORE" in name or "S3" in name}
    url = ward.postgres.create_database("workers")
    factor = {"PAGEMILL_TIME_FACTOR": "10"}
    with Installation(tmp_path, url, ward.valkey.url_of(3), store) as mill:
        wanted = {"PAGEMILL_DATABASE_URL": url, "PAGEMILL_BROKER_URL": mill.broker_url}
        with mill.worker() as worker:
            mill.submit(pdf(2), engine="rapidocr")
            found = ward.examine("--only", "workers", status=1, **wanted)
            found.assert_only(workers_engines="error")
            assert "pagemill worker --engine rapidocr" in found["workers-engines"]["do"]
            assert "echo" in found["workers-engines"]["found"]
            worker.kill()
            mill.until(lambda: mill.workers()[0].silent_seconds > 3, "the heartbeat to be stale")
            found = ward.examine("--only", "workers", status=1, **wanted, **factor)
        found.assert_only(workers_silent="error", workers_alive="error", workers_engines="error")
        assert mill.workers()[0].id in found["workers-silent"]["found"]
        broken = mill.worker(PAGEMILL_ENGINE="rapidocr", PAGEMILL_RAPIDOCR_DETECTION="/nowhere/model.onnx").launch()
        wait_until(lambda: not broken.running, "the worker to give up")
        broken.remove()
        found = ward.examine("--only", "workers-failed", status=1, **wanted, **factor)
        assert "/nowhere/model.onnx" in found["workers-failed"]["found"]


# --- the command


def test_what_is_asked_wrongly(ward: Ward) -> None:
    done = ward.place.run("doctor", "--only", "redis,nothing")
    assert (done.returncode, done.stdout) == (2, "")
    assert "'nothing'" in done.stderr


def test_what_people_read(ward: Ward) -> None:
    """Areas, a line for each finding, the remedy beneath."""
    done = ward.place.run("doctor", "--only", "configuration,engine", PAGEMILL_SECRET_KEY="short")
    lines = done.stdout.splitlines()
    assert done.returncode == 1
    assert lines[0] == "configuration"
    at = next(n for n, line in enumerate(lines) if line.startswith("  error    config-secret-key"))
    assert "PAGEMILL_SECRET_KEY" in lines[at]
    assert lines[at + 1].strip().startswith("-> Set PAGEMILL_SECRET_KEY")
    assert lines[-1].endswith("1 error, 1 skipped")
    assert "short" not in done.stdout.replace("too short", "")
