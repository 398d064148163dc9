"""Which card is meant, and what its worker is told. The nvidia-smi here says what the real one says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from api.cli.devices import Device, choose
from api.cli.supervise import cpu_slots, environments
from jobs.errors import InvalidRequest
from jobs.slots import HANDED, take_slot

TWO = """\
GPU 0: NVIDIA H200 (UUID: GPU-0f6a8b1c-1111-2222-3333-444455556666)
GPU 1: NVIDIA L4 (UUID: GPU-9d2e7c4a-7777-8888-9999-aaaabbbbcccc)
"""
DIVIDED = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77)
  MIG 3g.20gb     Device  0: (UUID: MIG-c7384736-a75d-5afc-978f-d2f1294409fd)
  MIG 3g.20gb     Device  1: (UUID: MIG-a28ad590-3fda-56dd-84fc-0a0b96edc58d)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-b38d4de0-1111-2222-3333-444455556666)
"""
H200 = "0 (NVIDIA H200, GPU-0f6a8b1c-1111-2222-3333-444455556666)"
L4 = "1 (NVIDIA L4, GPU-9d2e7c4a-7777-8888-9999-aaaabbbbcccc)"


@pytest.fixture
def smi(tmp_path, monkeypatch):
    """nvidia-smi, saying what it is given; none at all until then."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def put(listing: str, status: int = 0) -> None:
        install(folder, listing, status)

    return put


def install(folder: Path, listing: str, status: int = 0) -> None:
    (folder / "listing").write_text(listing)
    script = folder / "nvidia-smi"
    script.write_text(f'#!/bin/sh\n[ "$*" = -L ] || exit 3\n/bin/cat {folder / "listing"}\nexit {status}\n')
    script.chmod(0o755)


def pinned(wanted: str, **env: str) -> list[tuple[str, dict[str, str]]]:
    return [(device.place, dict(device.variables)) for device in choose(wanted, env, "--device")]


def refused(wanted: str, **env: str) -> str:
    with pytest.raises(InvalidRequest) as caught:
        choose(wanted, env, "--device")
    assert caught.value.where == "--device"
    return caught.value.detail


def by_number(number: int) -> dict[str, str]:
    return {"CUDA_VISIBLE_DEVICES": str(number), "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("0", [("gpu0", by_number(0))]),
        ("1,0", [("gpu1", by_number(1)), ("gpu0", by_number(0))]),
        ("all", [("gpu0", by_number(0)), ("gpu1", by_number(1))]),
        ("GPU-9d2e7c4a-7777-8888-9999-aaaabbbbcccc", [("gpu1", by_number(1))]),
        ("GPU-0f6a", [("gpu0", by_number(0))]),
        ("0, cpu", [("gpu0", by_number(0)), ("cpu", {"CUDA_VISIBLE_DEVICES": ""})]),
    ],
)
def test_numbers_are_those_of_nvidia_smi(smi, wanted, expected):
    smi(TWO)
    assert pinned(wanted) == expected
    assert pinned(wanted, CUDA_DEVICE_ORDER="FASTEST_FIRST") == expected


def test_cpu_asks_nobody(smi):
    assert pinned("cpu,cpu") == [("cpu", {"CUDA_VISIBLE_DEVICES": ""})] * 2


def test_what_the_environment_shows_is_counted_from_zero(smi):
    """A scheduler, or whoever started us, gave us some of the cards: 0 is the first of these, as for all of CUDA."""
    smi(TWO)
    assert pinned("0", CUDA_VISIBLE_DEVICES="1") == [("gpu1", {"CUDA_VISIBLE_DEVICES": "1"})]
    assert pinned("all", CUDA_VISIBLE_DEVICES="1,0") == [
        ("gpu1", {"CUDA_VISIBLE_DEVICES": "1"}),
        ("gpu0", {"CUDA_VISIBLE_DEVICES": "0"}),
    ]
    # vLLM reads no UUIDs there.
    assert pinned("0", CUDA_VISIBLE_DEVICES="GPU-9d2e7c4a") == [("gpu1", by_number(1))]


def test_a_divided_card_is_its_slices(smi):
    smi(DIVIDED)
    first, second, whole = pinned("all")
    assert (first[0], second[0]) == (
        "MIG-c7384736-a75d-5afc-978f-d2f1294409fd",
        "MIG-a28ad590-3fda-56dd-84fc-0a0b96edc58d",
    )
    assert whole == ("gpu1", by_number(1))
    assert pinned("MIG-a28a") == [second]
    assert refused("0") == (
        "there is no device '0'; there are: MIG-c7384736-a75d-5afc-978f-d2f1294409fd (NVIDIA A100-SXM4-40GB 3g.20gb), "
        "MIG-a28ad590-3fda-56dd-84fc-0a0b96edc58d (NVIDIA A100-SXM4-40GB 3g.20gb), "
        "1 (NVIDIA A100-SXM4-40GB, GPU-b38d4de0-1111-2222-3333-444455556666)"
    )


def test_what_is_not_there_is_refused_with_what_is(smi):
    smi(TWO)
    assert refused("2") == f"there is no device '2'; there are: {H200}, {L4}"
    assert refused("cuda:0") == f"there is no device 'cuda:0'; there are: {H200}, {L4}"
    assert refused("1", CUDA_VISIBLE_DEVICES="1") == (
        f"there is no device '1'; there are by CUDA_VISIBLE_DEVICES=1: 0 = card {L4}"
    )
    assert refused("0", CUDA_VISIBLE_DEVICES="7") == (
        f"CUDA_VISIBLE_DEVICES=7 names 7, which is not here; there are: {H200}, {L4}"
    )
    assert refused("all", CUDA_VISIBLE_DEVICES="") == "CUDA_VISIBLE_DEVICES='' hides every GPU"
    assert refused("0,,1") == "write all, or devices separated by commas: 0,1"
    assert refused("0,GPU-0f6a8b1c") == "GPU-0f6a8b1c is a card that is named already; a worker fills one"


def test_without_a_card_it_says_where_it_looked(smi):
    help_ = "in a container, NVIDIA_DRIVER_CAPABILITIES must name utility; without a card, the device is cpu"
    assert refused("0") == f"there is no GPU here: no nvidia-smi on the PATH ({help_})"
    smi("")
    assert refused("all") == f"there is no GPU here: nvidia-smi lists none ({help_})"
    smi("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n", status=9)
    assert refused("all") == (
        "nvidia-smi ended with status 9: NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."
    )


CARDS = [Device("0", "A", {"CUDA_VISIBLE_DEVICES": "0"}), Device("1", "A", {"CUDA_VISIBLE_DEVICES": "1"})]


def test_each_worker_has_its_card_slot_and_port():
    env = {"PAGEMILL_METRICS_PORT": "9464", "PAGEMILL_DEVICE": "cpu", "PATH": "/bin", "PAGEMILL_SLOT": "mine"}
    found = dict(environments(CARDS, env))
    assert list(found) == ["gpu0", "gpu1"]
    for index, name in enumerate(found):
        own = found[name]
        assert (own["PAGEMILL_DEVICE"], own["CUDA_VISIBLE_DEVICES"]) == (str(index), str(index))
        assert (own["PAGEMILL_SLOT"], own["PAGEMILL_METRICS_PORT"]) == (f"gpu{index}-0", str(9464 + index))
        assert own["PATH"] == "/bin"
        assert int(own["PAGEMILL_RENDER_PROCESSES"]) == max(1, len(os.sched_getaffinity(0)) // 2)


def test_workers_on_cpus_have_the_first_slots_that_are_free_and_their_names(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    other = take_slot("host", "cpu", "cpu-1", "db")
    devices = choose("cpu,cpu", {}, "--devices")
    slots = cpu_slots(devices, "host", "db")
    two = environments(devices, {"PAGEMILL_RENDER_PROCESSES": "7", "PAGEMILL_SLOT": "x"}, slots)
    assert [(name, own["PAGEMILL_SLOT"]) for name, own in two] == [("cpu-0", "cpu-0"), ("cpu-2", "cpu-2")]
    assert [own[HANDED] for _, own in two] == [str(slot.descriptor) for slot in slots]
    assert all(own["PAGEMILL_RENDER_PROCESSES"] == "7" for _, own in two)
    assert all("PAGEMILL_METRICS_PORT" not in own for _, own in two)
    for slot in (other, *slots):
        slot.release()


@pytest.mark.parametrize(
    ("port", "says"),
    [
        ("94a", "PAGEMILL_METRICS_PORT: a port is a number"),
        ("65535", "2 workers take the ports 65535 to 65536, and the last is 65535"),
    ],
)
def test_ports_that_there_are_not(port, says):
    with pytest.raises(InvalidRequest) as caught:
        environments(CARDS, {"PAGEMILL_METRICS_PORT": port})
    assert (caught.value.detail, caught.value.where) == (says, "PAGEMILL_METRICS_PORT")


def test_port_0_stays_0():
    assert {own["PAGEMILL_METRICS_PORT"] for _, own in environments(CARDS, {"PAGEMILL_METRICS_PORT": "0"})} == {"0"}
