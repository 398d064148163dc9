"""deploy/kubernetes: against Kubernetes' own schemas, against each other, and against what pagemill really takes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from api.cli.supervise import AFTER_GRACE
from jobs.settings import GROUPS, known_variables, load
from tests.commands import parse

FOLDER = Path(__file__).resolve().parents[2] / "deploy/kubernetes"
KEDA = json.loads(Path(__file__).with_name("keda_scaledobject.schema.json").read_text())
OLDEST = "1.30"
"""`preStop: sleep` is on from there on."""
SECRETS = {
    "pagemill": {
        "PAGEMILL_DATABASE_URL": "postgresql+psycopg://u:p@db/pagemill",
        "PAGEMILL_SECRET_KEY": "k" * 40,
        "PAGEMILL_BROKER_URL": "redis://r:6379/0",
        "PAGEMILL_S3_ACCESS_KEY": "a",
        "PAGEMILL_S3_SECRET_KEY": "s",
    },
    "pagemill-flower": {"PAGEMILL_FLOWER_AUTH": "name:password"},
}
"""What docs/kubernetes.md has people make."""

Thing = dict[str, Any]
FILES = sorted(path for path in FOLDER.rglob("*.yaml") if path.name != "kustomization.yaml")
KUSTOMIZATIONS = sorted(FOLDER.rglob("kustomization.yaml"))


def load_all(path: Path) -> list[Thing]:
    return [thing for thing in yaml.safe_load_all(path.read_text()) if thing is not None]


def parts(name: str) -> list[Thing]:
    """What a kustomization applies, its bases included, with the changes that ours make: `data` of ConfigMaps."""
    folder = FOLDER / name
    told = yaml.safe_load((folder / "kustomization.yaml").read_text())
    found: list[Thing] = []
    for resource in told["resources"]:
        path = (folder / resource).resolve()
        found += parts(str(path.relative_to(FOLDER))) if path.is_dir() else load_all(path)
    for patch in told.get("patches", []):
        for operation in yaml.safe_load(patch["patch"]):
            key = re.fullmatch("/data/([A-Z_]+)", operation["path"])
            assert operation["op"] == "add"
            assert key is not None
            one(found, patch["target"]["kind"], patch["target"]["name"])["data"][key[1]] = operation["value"]
    return found


def one(things: list[Thing], kind: str, name: str) -> Thing:
    [found] = [thing for thing in things if (thing["kind"], thing["metadata"]["name"]) == (kind, name)]
    return found


def pods(things: list[Thing]) -> Iterator[tuple[Thing, Thing]]:
    """Everything that makes pods, with the pod's template."""
    for thing in things:
        if thing["kind"] in ("Deployment", "StatefulSet", "Job"):
            yield thing, thing["spec"]["template"]


OVERLAYS = ["cpu", "gpu"]
CONTAINERS = [
    pytest.param(overlay, thing, container, id=f"{overlay}-{thing['metadata']['name']}")
    for overlay in OVERLAYS
    for thing, template in pods(parts(overlay))
    for container in template["spec"]["containers"]
]


def check(thing: Thing) -> None:
    if thing["apiVersion"].startswith("keda.sh/"):
        jsonschema.validate(thing, KEDA, cls=jsonschema.Draft202012Validator)
        return
    for version in (OLDEST, kubernetes_validate.latest_version()):
        kubernetes_validate.validate(thing, version, strict=True)


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(FOLDER)) for path in FILES])
def test_kubernetes_would_take_them(path):
    for thing in load_all(path):
        check(thing)


def test_a_wrong_field_would_be_noticed():
    for path, place in ((FOLDER / "cpu/worker.yaml", ["spec", "template"]), (FOLDER / "cpu/scaling.yaml", ["spec"])):
        [thing] = load_all(path)
        inner = thing
        for key in place:
            inner = inner[key]
        inner["maxReplicas"] = 3
        with pytest.raises((kubernetes_validate.ValidationError, jsonschema.ValidationError), match="maxReplicas"):
            check(thing)


@pytest.mark.parametrize("path", KUSTOMIZATIONS, ids=lambda path: path.parent.name)
def test_a_kustomization_names_what_is_there_and_forgets_nothing(path):
    told = yaml.safe_load(path.read_text())
    assert all((path.parent / resource).exists() for resource in told["resources"])
    files = {file.name for file in path.parent.glob("*.yaml")} - {"kustomization.yaml"}
    assert files <= set(told["resources"])
    used = {c["image"] for _, template in pods(parts(path.parent.name)) for c in template["spec"]["containers"]}
    if path.parent.name in OVERLAYS:
        assert {image["name"] for image in told["images"]} == used


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl here")
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kustomize_makes_of_them_what_we_think(overlay):
    done = subprocess.run(["kubectl", "kustomize", str(FOLDER / overlay)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    built = [thing for thing in yaml.safe_load_all(done.stdout) if thing is not None]
    for thing in built:
        check(thing)
        assert thing["kind"] == "Namespace" or thing["metadata"]["namespace"] == "pagemill"
    names = {(thing["kind"], thing["metadata"]["name"]) for thing in built}
    ours = parts(overlay)
    assert names == {(thing["kind"], thing["metadata"]["name"]) for thing in ours}
    assert one(built, "ConfigMap", "pagemill")["data"] == one(ours, "ConfigMap", "pagemill")["data"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_they_find_each_other(overlay):
    things = parts(overlay)
    labels = [template["metadata"]["labels"] for _, template in pods(things)]
    selectors = [thing["spec"]["selector"] for thing in things if thing["kind"] == "Service"]
    selectors += [t["spec"]["selector"]["matchLabels"] for t in things if t["kind"] in ("Deployment", "StatefulSet")]
    selectors += [t["spec"]["selector"]["matchLabels"] for t in things if t["kind"] == "PodDisruptionBudget"]
    selectors += [t["spec"]["podSelector"].get("matchLabels", {}) for t in things if t["kind"] == "NetworkPolicy"]
    for selector in selectors:
        assert any(selector.items() <= found.items() for found in labels), selector
    for thing in things:
        if thing["kind"] == "ScaledObject":
            target = thing["spec"]["scaleTargetRef"]
            scaled = one(things, target["kind"], target["name"])
            assert "replicas" not in scaled["spec"], "applying it again would undo the scaling"
    names = {(thing["kind"], thing["metadata"]["name"]) for thing in things}
    assert len(names) == len(things)


def environment(container: Thing, things: list[Thing]) -> dict[str, str]:
    """What the container's process finds in its environment."""
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        if "configMapRef" in source:
            found |= one(things, "ConfigMap", source["configMapRef"]["name"])["data"]
        else:
            found |= SECRETS[source["secretRef"]["name"]]
    for variable in container.get("env", []):
        secret = variable.get("valueFrom", {}).get("secretKeyRef")
        found[variable["name"]] = SECRETS[secret["name"]][secret["key"]] if secret else variable["value"]
    return found


@pytest.mark.parametrize(("overlay", "thing", "container"), CONTAINERS)
def test_a_container_runs_what_there_is_with_settings_that_there_are(overlay, thing, container, monkeypatch):
    env = environment(container, parts(overlay))
    assert {name for name in env if name.startswith("PAGEMILL_")} <= set(known_variables())
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    for group in GROUPS:
        load(group)  # raises for a value that is none
    assert container["command"] == ["pagemill"]
    parse(container["args"])


@pytest.mark.parametrize(("overlay", "thing", "container"), CONTAINERS)
def test_it_listens_where_it_is_asked(overlay, thing, container):
    env = environment(container, parts(overlay))
    ports = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
    assert ports.get("metrics", 9464) == int(env.get("PAGEMILL_METRICS_PORT", 9464))
    if container["name"] == "api":
        assert ports["http"] == int(env["PAGEMILL_API_PORT"])
    described = json.loads((FOLDER.parents[1] / "api/openapi.json").read_text())["paths"]
    for name, probe in container.items():
        if name.endswith("Probe"):
            known = {"metrics": {"/healthz", "/readyz"}, "http": {*described, "/healthcheck"}}
            assert probe["httpGet"]["path"] in known[probe["httpGet"]["port"]]


@pytest.mark.parametrize(("overlay", "thing", "container"), CONTAINERS)
def test_nothing_runs_as_root_or_with_more_than_it_needs(overlay, thing, container):
    pod = thing["spec"]["template"]["spec"]
    assert (pod["securityContext"]["runAsNonRoot"], pod["automountServiceAccountToken"]) == (True, False)
    own = container["securityContext"]
    assert (own["allowPrivilegeEscalation"], own["readOnlyRootFilesystem"]) == (False, True)
    assert own["capabilities"] == {"drop": ["ALL"]}
    assert "memory" in container["resources"]["limits"]
    mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
    claims = {claim["metadata"]["name"] for claim in thing["spec"].get("volumeClaimTemplates", [])}
    assert mounted == {volume["name"] for volume in pod.get("volumes", [])} | claims


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_workers_have_time_to_hand_their_pages_back(overlay):
    things = parts(overlay)
    workers = [template["spec"] for thing, template in pods(things) if thing["metadata"]["name"].startswith("worker")]
    assert workers
    for pod in workers:
        grace = float(environment(pod["containers"][0], things)["PAGEMILL_GRACE"])
        assert pod["terminationGracePeriodSeconds"] > grace + AFTER_GRACE
        [shm] = [volume for volume in pod["volumes"] if volume["name"] == "shm"]
        assert shm["emptyDir"]["medium"] == "Memory"


def test_a_gpu_worker_has_one_card():
    pod = one(parts("gpu"), "StatefulSet", "worker-gpu")["spec"]["template"]["spec"]["containers"][0]
    assert pod["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert parse(pod["args"])["device"] == "0"


def test_a_wrong_command_would_be_noticed():
    for wrong in (["wurker"], ["worker", "--devise", "0"], ["db", "upgrade", "now"]):
        with pytest.raises(Exception, match=r"No such|unexpected extra"):
            parse(wrong)


def test_no_secret_is_written_down():
    assert not [path for path in FILES for thing in load_all(path) if thing["kind"] == "Secret"]
    documented = (FOLDER.parents[1] / "docs/kubernetes.md").read_text()
    for secret, keys in SECRETS.items():
        assert f"create secret generic {secret} " in documented
        assert all(f"--from-literal={key}=" in documented for key in keys)
