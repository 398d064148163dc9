"""What the doctor makes of what a driver says: a program stands for `nvidia-smi`, files for torch."""

from __future__ import annotations

import sys

import pytest

from jobs.doctor.gpu import gpu
from jobs.doctor.run import Check, run
from jobs.doctor.scene import Scene
from jobs.settings import DatabaseSettings, EngineSettings, TimerSettings, WorkerSettings

IDS = ("gpu-driver", "gpu-device", "gpu-libcuda", "gpu-cuda", "gpu-memory", "gpu-health")
ELSEWHERE = {
    DatabaseSettings: DatabaseSettings(database_url="sqlite:////nowhere/at/all.db"),
    WorkerSettings: WorkerSettings(),
    TimerSettings: TimerSettings(),
}
CARD = "{index}, GPU-{index}aaa-bbb, NVIDIA H200, {driver}, 143771, {free}, {errors}"


@pytest.fixture
def look(tmp_path, monkeypatch):
    """Findings by id on a machine whose driver prints this; `cuda`: the line in torch's version.py."""

    def found(*cards, device="0", visible=None, cuda="cuda: Optional[str] = '12.8'", **engine):
        program = tmp_path / "nvidia-smi"
        program.write_text("#!/bin/sh\n" + "".join(f"echo '{card}'\n" for card in cards))
        program.chmod(0o755)
        torch = tmp_path / "torch"
        torch.mkdir(exist_ok=True)
        (torch / "__init__.py").write_text("raise AssertionError('torch is not to be imported')\n")
        (torch / "version.py").write_text(f"__version__ = '2.9'\n{cuda}\n")
        monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
        monkeypatch.delitem(sys.modules, "torch", raising=False)
        variables = {"PATH": f"{tmp_path}:/usr/bin:/bin"} | (
            {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
        )
        settings = EngineSettings(name="paddleocr_vl", device=device, **engine)
        scene = Scene({EngineSettings: settings, **ELSEWHERE}, variables=variables)
        return {one.id: one for one in run(scene, [Check("gpu", IDS, gpu)], 30.0)}

    return found


def card(index=0, driver="570.86.15", free=143155, errors="0"):
    return CARD.format(index=index, driver=driver, free=free, errors=errors)


def test_a_card_that_is_well(look):
    found = look(card())
    assert [found[id_].level for id_ in ("gpu-driver", "gpu-cuda", "gpu-memory", "gpu-health")] == ["ok"] * 4
    assert "570.86.15" in found["gpu-driver"].found


@pytest.mark.parametrize(
    ("driver", "cuda", "level", "limit"),
    [
        ("525.60.13", "12.8", "ok", None),
        ("525.59", "12.8", "error", "525.60"),
        ("570.86.15", "13.0", "error", "580.65"),
        ("580.65.06", "13.0", "ok", None),
        ("418.1", "11.8", "error", "450.80"),
        ("999.1", "99.0", "skipped", None),
    ],
)
def test_drivers_and_cudas(look, driver, cuda, level, limit):
    found = look(card(driver=driver), cuda=f"cuda = '{cuda}'")["gpu-cuda"]
    assert (found.level, found.limit) == (level, limit)


def test_a_torch_for_the_cpu(look):
    assert look(card(), cuda="cuda = None")["gpu-cuda"].level == "error"


def test_a_card_that_others_fill(look):
    found = look(card(free=20_000))["gpu-memory"]
    assert (found.level, found.where) == ("warning", "PAGEMILL_VLLM_GPU_MEMORY_UTILIZATION")
    assert found.limit == int(0.85 * 143771 * 2**20)
    assert look(card(free=20_000), vl_backend="openai")["gpu-memory"].level == "ok"
    assert look(card(free=20_000), vllm_gpu_memory_utilization=0.1)["gpu-memory"].level == "ok"


def test_memory_errors(look):
    assert look(card(errors="3"))["gpu-health"].level == "error"
    assert look(card(errors="[N/A]"))["gpu-health"].level == "skipped"


def test_which_card_a_device_is(look):
    """CUDA counts among the visible ones."""
    cards = (card(0, errors="0"), card(1, errors="7"))
    assert look(*cards, device="1")["gpu-health"].level == "error"
    assert look(*cards, device="0", visible="1")["gpu-health"].level == "error"
    assert look(*cards, device="0", visible="GPU-1aaa")["gpu-health"].level == "error"
    assert look(*cards, device="0", visible="1,0")["gpu-health"].level == "error"
    assert look(*cards, device="1", visible="1")["gpu-device"].level == "error"
    found = look(*cards, device="2")
    assert (found["gpu-device"].level, found["gpu-health"].level) == ("error", "skipped")
    assert "NVIDIA H200" in found["gpu-device"].found
