"""compose.yaml: what it says, and all its services at work as plain processes (tests/compose_stack.py)."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import boto3
import botocore.exceptions
import httpx
import psutil
import pytest
import valkey

from jobs.settings import TimerSettings, known_variables
from tests import compose
from tests.compose import ComposeError
from tests.compose_stack import ROOT, Stack
from tests.processes import alive, wait_until
from workers.consumer import HANDING_BACK, LAST_WORD

FILE = ROOT / "compose.yaml"
EXAMPLE = ROOT / ".env.example"
SECRETS = (
    "POSTGRES_PASSWORD", "REDIS_PASSWORD", "PAGEMILL_S3_ACCESS_KEY", "PAGEMILL_S3_SECRET_KEY", "PAGEMILL_SECRET_KEY",
    "FLOWER_BASIC_AUTH", "GRAFANA_ADMIN_PASSWORD",
)  # fmt: skip
EVERYTHING = "postgres,redis,s3,cpu,gpu8,monitoring"
ONE_SHOT = {"check", "migrate"}


def chosen(**changes: str) -> dict[str, str]:
    """`.env.example` as somebody filled it in."""
    env = compose.read_env(EXAMPLE.read_text())
    env |= {name: secrets.token_hex(16) for name in SECRETS}
    return env | {"FLOWER_BASIC_AUTH": "admin:" + secrets.token_hex(16)} | changes


@pytest.fixture(scope="module")
def everything():
    """The file with all profiles."""
    return compose.load(FILE, chosen(COMPOSE_PROFILES=EVERYTHING))


# --- what it says


def test_it_is_what_the_compose_specification_allows():
    done = subprocess.run(
        [Path(sys.executable).parent / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", FILE],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_docker_compose_reads_it_as_these_tests_do(everything, tmp_path):
    """Interpolation, merges, profiles and order are ours in tests/compose.py; here they meet the real ones."""
    command = _docker_compose()
    if command is None:
        pytest.skip("Docker Compose is not installed")
    env = chosen(COMPOSE_PROFILES=EVERYTHING)
    (tmp_path / "env").write_text("".join(f"{name}={value}\n" for name, value in env.items()))
    arguments = ["--env-file", tmp_path / "env", "-f", FILE, "config", "--format", "json"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=True)
    theirs, ours = json.loads(done.stdout)["services"], compose.load(FILE, env)
    assert set(theirs) == set(ours.active)
    for name, service in theirs.items():
        mine = ours.services[name]
        given = {k: v.replace("$$", "$") for k, v in (service.get("environment") or {}).items() if v is not None}
        assert given == mine.environment
        assert [word.replace("$$", "$") for word in service.get("command") or []] == mine.command
        assert [volume["target"] for volume in service.get("volumes", [])] == mine.mounts
        assert set(service.get("depends_on", {})) == set(mine.needs)


def _docker_compose() -> list[str] | None:
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    if shutil.which("docker") and subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0:
        return ["docker", "compose"]
    return None


def test_every_variable_is_in_the_example_and_none_that_is_not_read():
    named = set(re.findall(r"^#?([A-Z][A-Z0-9_]*)=", EXAMPLE.read_text(), re.MULTILINE))
    passed_on = {
        "PAGEMILL_S3_PUBLIC_ENDPOINT",
        "PAGEMILL_HOST",
        "HF_TOKEN",
        "HF_HUB_OFFLINE",
    }  # they have no text there
    assert named - {"COMPOSE_PROFILES"} == compose.variables(FILE.read_text()) | passed_on


@pytest.mark.parametrize("missing", SECRETS)
def test_without_a_secret_compose_does_not_start(missing):
    for value in ({}, {missing: ""}):
        env = chosen()
        del env[missing]
        with pytest.raises(ComposeError, match=f"required variable {missing} is missing a value: set it in .env"):
            compose.load(FILE, env | value)


def test_no_secret_has_a_value_in_the_file():
    env = compose.read_env(EXAMPLE.read_text())
    assert {name for name, value in env.items() if "change-me" in value} == set(SECRETS)
    for name in SECRETS:
        references = re.findall(rf"\$\{{{name}\b([^}}]*)", FILE.read_text())
        assert references
        assert all(rest.startswith(":?") for rest in references)


def test_what_runs_is_bounded_watched_and_without_privileges(everything):
    for name, service in everything.services.items():
        raw = service.raw
        assert raw["restart"] == ("no" if name in ONE_SHOT else "unless-stopped"), name
        assert (service.health is None) == (name in ONE_SHOT), name
        assert "memory" in service.limits, name
        assert "cpus" in service.limits or name.startswith("worker-"), name
        assert raw["logging"]["options"].keys() == {"max-size", "max-file"}, name
        assert raw["read_only"] is True, name
        assert raw["cap_drop"] == ["ALL"], name
        assert raw["security_opt"] == ["no-new-privileges:true"], name
        assert "container_name" not in raw, name
        assert re.search(r":v?\d+\.\d+", raw["image"]), name
        assert raw.get("init") is (True if raw["image"].startswith("pagemill-") else None), name


def test_only_the_api_and_the_two_views_can_be_reached_and_only_from_here(everything):
    published = {name: service.raw["ports"] for name, service in everything.services.items() if "ports" in service.raw}
    assert published == {
        "api": ["127.0.0.1:8470:8470"],
        "flower": ["127.0.0.1:5555:5555"],
        "grafana": ["127.0.0.1:3000:3000"],
    }
    stores = ("postgres", "redis", "s3")
    assert [everything.services[name].raw["networks"] for name in stores] == [["data"]] * 3


def test_replicas_of_the_api_share_a_range_of_ports():
    api = compose.load(FILE, chosen(API_REPLICAS="4", API_PORTS="8470-8473")).services["api"]
    assert api.raw["ports"] == ["127.0.0.1:8470-8473:8470"]
    assert api.raw["deploy"]["replicas"] == "4"


@pytest.mark.parametrize("own", ["postgres", "redis", "s3"])
def test_servers_of_ones_own_need_no_edit(own):
    variable, value = {
        "postgres": ("PAGEMILL_DATABASE_URL", "postgresql+psycopg://u:p@db.example/x"),
        "redis": ("PAGEMILL_BROKER_URL", "rediss://:p@redis.example:6380/0"),
        "s3": ("PAGEMILL_S3_ENDPOINT", "https://s3.example"),
    }[own]
    profiles = ",".join({"postgres", "redis", "s3", "cpu"} - {own})
    file = compose.load(FILE, chosen(COMPOSE_PROFILES=profiles, **{variable: value}))
    assert own not in file.active
    for name in ("migrate", "api", "worker-cpu"):
        assert file.services[name].environment[variable] == value


def test_workers_are_given_the_time_that_they_take_to_end(everything):
    needed = TimerSettings().grace + HANDING_BACK + LAST_WORD
    for name, service in everything.services.items():
        if name.startswith("worker-"):
            assert service.grace > needed
            assert float(service.environment["PAGEMILL_GRACE"]) == TimerSettings().grace


@pytest.mark.parametrize(("profile", "cards"), [("gpu", 1), ("gpu2", 2), ("gpu4", 4), ("gpu8", 8)])
def test_a_gpu_worker_for_each_card(profile, cards):
    file = compose.load(FILE, chosen(COMPOSE_PROFILES=profile, GPU_0="GPU-5a1b", PAGEMILL_HOST="node1"))
    workers = [name for name in file.active if name.startswith("worker-")]
    assert workers == [f"worker-gpu-{card}" for card in range(cards)]
    for card, name in enumerate(workers):
        [device] = file.services[name].raw["deploy"]["resources"]["reservations"]["devices"]
        assert device == {"driver": "nvidia", "device_ids": [str(card or "GPU-5a1b")], "capabilities": ["gpu"]}
        # Docker shows it this one card, which is number 0 then.
        assert file.services[name].environment["CUDA_VISIBLE_DEVICES"] == "0"
        assert file.services[name].command[-2:] == ["--device", "0"]
        assert "/models" in file.services[name].mounts
        # Host and slot together are one worker's: what it leaves, its successor takes over.
        given = file.services[name].environment
        assert (given["PAGEMILL_HOST"], given["PAGEMILL_SLOT"]) == ("node1", f"gpu-{card}")
    assert "PAGEMILL_HOST" not in file.services["worker-cpu"].environment  # its replicas all have the same slot


def test_every_setting_of_pagemill_is_one(everything):
    for service in everything.services.values():
        given = {name for name in service.environment if name.startswith("PAGEMILL_")}
        assert given <= set(known_variables())


def test_what_the_views_are_given_is_there_and_knows_the_services_by_name(everything):
    mounted = {
        volume["source"]: volume
        for name in ("prometheus", "grafana")
        for volume in everything.services[name].raw["volumes"]
        if isinstance(volume, dict)
    }
    assert set(mounted) == {
        "./deploy/prometheus/prometheus.yml", "./deploy/prometheus/alerts.yml",
        "./deploy/grafana/provisioning", "./deploy/grafana/dashboards",
    }  # fmt: skip
    # Docker would else make an empty folder where a file is missing.
    assert all(volume["read_only"] and volume["bind"] == {"create_host_path": False} for volume in mounted.values())
    if not (ROOT / "deploy/prometheus").exists():
        pytest.skip("deploy/prometheus comes with the metrics")
    assert [source for source in mounted if not (ROOT / source).exists()] == []
    scraped = set(re.findall(r"\b([\w-]+):\d{4,5}\b", (ROOT / "deploy/prometheus/prometheus.yml").read_text()))
    aliases = everything.services["worker-cpu"].raw["networks"]["default"]["aliases"]
    assert scraped - {"localhost"} <= {*everything.services, *aliases}


# --- at work


@pytest.fixture(scope="module")
def env():
    return chosen()


@pytest.fixture(scope="module")
def stack(env, tmp_path_factory):
    """`docker compose up`. Starting and watching take a minute on two cores; every test here looks at the same one."""
    with Stack(compose.load(FILE, env), tmp_path_factory.mktemp("compose")) as stack:
        yield stack.start()


@pytest.fixture(scope="module")
def key(stack):
    """As docs/compose.md says: docker compose exec api pagemill keys create "back office"."""
    made = stack.run("api", "pagemill", "keys", "create", "back office")
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


@pytest.fixture(scope="module")
def client(stack, key):
    with httpx.Client(
        base_url=stack.url("api"), headers={"Authorization": f"Bearer {key}"}, timeout=60, trust_env=False
    ) as client:
        yield client


@pytest.mark.timeout(400)
def test_a_job_goes_through_all_of_it(stack, client):
    assert httpx.get(f"{stack.url('api')}/v1/jobs", trust_env=False).status_code == 401
    with (ROOT / "examples/scanned-flyer.pdf").open("rb") as file:
        answer = client.post("/v1/jobs", files={"file": ("flyer.pdf", file)}, data={"options": '{"pages":"1"}'})
    assert answer.status_code == 202, answer.text
    job = answer.json()["id"]
    while (found := client.get(f"/v1/jobs/{job}", headers={"Prefer": "wait=30"}).json())["state"] in (
        "queued",
        "running",
    ):
        pass
    assert (found["state"], found["pages"]["succeeded"]) == ("succeeded", 1), found
    markdown = client.get(f"/v1/jobs/{job}/result", params={"format": "markdown"})
    assert markdown.status_code == 200
    assert len(markdown.text.split()) > 20


def test_the_bucket_is_there_and_nobody_else_reads_it(stack, env):
    names = (env["PAGEMILL_S3_ACCESS_KEY"], env["PAGEMILL_S3_SECRET_KEY"])
    assert "KeyCount" in _bucket(stack, *names)
    for wrong in ((names[0], "guessed"), ("guessed", names[1])):
        with pytest.raises(botocore.exceptions.ClientError, match=r"SignatureDoesNotMatch|InvalidAccessKeyId"):
            _bucket(stack, *wrong)
    assert httpx.get(f"{stack.url('s3')}/pagemill", trust_env=False).status_code == 403
    inner = [stack.ports("s3")[port] for port in (9333, 8080, 8888)]
    listening = {c.laddr for c in psutil.Process(stack.pid("s3")).net_connections("tcp") if c.status == "LISTEN"}
    assert {address.ip for address in listening if address.port in inner} == {"127.0.0.1"}


def _bucket(stack: Stack, access_key: str, secret_key: str) -> dict[str, object]:
    client = boto3.session.Session().client(
        "s3", endpoint_url=stack.url("s3"), region_name="us-east-1",
        aws_access_key_id=access_key, aws_secret_access_key=secret_key,
    )  # fmt: skip
    try:
        return dict(client.list_objects_v2(Bucket="pagemill"))
    finally:
        client.close()


def test_redis_asks_for_its_password_keeps_a_file_and_evicts_nothing(stack, env):
    with valkey.Valkey(port=stack.port("redis")) as stranger, pytest.raises(valkey.AuthenticationError):
        stranger.ping()
    with valkey.Valkey(port=stack.port("redis"), password=env["REDIS_PASSWORD"]) as client:
        found = {
            name: client.config_get(name)[name] for name in ("appendonly", "appendfsync", "maxmemory-policy", "save")
        }
        assert found == {
            "appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction", "save": "",
        }  # fmt: skip
        assert int(client.config_get("maxmemory")["maxmemory"]) == 512 * 1024 * 1024
    assert (stack.directory("redis", "/data") / "appendonlydir").is_dir()


def test_flower_asks_for_its_login_and_sees_the_worker(stack, env):
    user, _, password = env["FLOWER_BASIC_AUTH"].partition(":")
    address = f"{stack.url('flower')}/workers"
    assert httpx.get(address, params={"json": "1"}, trust_env=False).status_code == 401
    assert httpx.get(address, params={"json": "1"}, auth=(user, "guessed"), trust_env=False).status_code == 401

    def workers() -> list[object]:
        found: list[object] = httpx.get(address, params={"json": "1"}, auth=(user, password), trust_env=False).json()[
            "data"
        ]
        return found

    wait_until(workers, "Flower to see the worker")


@pytest.mark.parametrize("name", SECRETS)
def test_nothing_starts_with_a_placeholder(stack, env, name, tmp_path):
    """`check` comes before PostgreSQL, Redis and S3 in every start, so no volume is made with it either."""
    placeholder = compose.read_env(EXAMPLE.read_text())[name]
    file = compose.load(FILE, env | {name: placeholder})
    assert all("check" in file.services[store].needs for store in ("postgres", "redis", "s3", "migrate"))
    done = Stack(file, tmp_path / "again").run("check")
    assert done.returncode == 1
    assert f"invalid_request: {name} holds a placeholder" in done.stderr
    assert placeholder not in done.stderr


@pytest.mark.parametrize("service", ["migrate", "api", "worker-cpu", "flower"])
def test_nor_does_pagemill_by_itself(stack, env, service, tmp_path):
    password = env["REDIS_PASSWORD"] if service == "flower" else env["POSTGRES_PASSWORD"]
    changed = {name: "change-me" for name, value in env.items() if value == password}
    done = Stack(compose.load(FILE, env | changed), tmp_path / "again").run(service)
    assert done.returncode != 0
    variable = "PAGEMILL_BROKER_URL" if service == "flower" else "PAGEMILL_DATABASE_URL"
    assert f"{variable} holds a placeholder" in done.stdout + done.stderr


@pytest.mark.timeout(300)
def test_a_gpu_worker_reads_its_settings_and_stops_where_its_engine_is_missing(stack):
    """Its image was never built here. Its command and environment are real up to the import of vLLM."""
    done = stack.run("worker-gpu-0")
    assert done.returncode == 1, done.stderr
    assert "engine_unavailable" in done.stderr
    assert "No module named 'vllm'" in done.stderr


@pytest.mark.timeout(400)
def test_everything_ends_in_its_time_when_told_to_and_healthy_until_then(stack):
    """The last test of this stack."""
    names = [name for name in reversed(stack.file.active) if name not in ONE_SHOT]
    assert {name for name in names if not stack.healthy(name)} == set()
    statuses = {name: stack.end(name) for name in names}
    assert statuses == dict.fromkeys(names, 0)


def test_it_dies_with_whoever_started_it(tmp_path, env):
    """kill -9 of the process that holds a stack: the kernel ends its services."""
    (tmp_path / "env.json").write_text(json.dumps(env))
    program = (
        "import json, pathlib, sys, time; from tests import compose; from tests.compose_stack import Stack\n"
        "folder = pathlib.Path(sys.argv[1]); env = json.loads((folder / 'env.json').read_text())\n"
        "stack = Stack(compose.load(pathlib.Path(sys.argv[2]), env), folder / 'stack')\n"
        "stack.start('redis', 'postgres')\n"
        "print(stack.pid('redis'), stack.pid('postgres'), flush=True); time.sleep(600)\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, tmp_path, FILE], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    services = [psutil.Process(int(pid)) for pid in holder.stdout.readline().split()]
    assert len(services) == 2
    holder.kill()
    holder.wait()
    holder.stdout.close()
    wait_until(lambda: not any(map(alive, services)), "its services to be gone")
