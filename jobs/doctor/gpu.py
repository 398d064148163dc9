"""The GPU: driver, device, CUDA, memory. Asked by `nvidia-smi`, which is there wherever the driver is."""

from __future__ import annotations

import ctypes
import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jobs.doctor.disk import size
from jobs.doctor.findings import Finding, NotChecked, error, ok, skipped, warning
from jobs.doctor.fleet import engine_here
from jobs.doctor.scene import Scene

MIB = 1024 * 1024
PATIENCE = 10.0
NEEDED = {11: (450, 80), 12: (525, 60), 13: (580, 65)}
"""The oldest driver of each CUDA, by minor-version compatibility (NVIDIA, CUDA Compatibility, table 2; for 13.x the
release notes of 13.0)."""
_FIELDS = ("index", "uuid", "name", "driver_version", "memory.total", "memory.free",
           "ecc.errors.uncorrected.volatile.total")  # fmt: skip
_CUDA = re.compile(r"^cuda(?:\s*:[^=]*)?\s*=\s*['\"](\d+)\.(\d+)['\"]", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Card:
    """A GPU as the driver tells of it; memory in bytes."""

    index: str
    uuid: str
    name: str
    driver: str
    total: int
    free: int
    uncorrected: int | None
    """Memory errors since the driver was loaded; None where the card counts none."""


def gpu(scene: Scene) -> Iterator[Finding]:
    if not scene.on_gpu:
        raise NotChecked("PAGEMILL_DEVICE is no GPU")
    yield _libcuda()
    cards = _cards(scene)
    if isinstance(cards, Finding):
        yield cards
        raise NotChecked("no driver answers")
    yield ok("gpu-driver", f"driver {cards[0].driver}" if cards else "the driver answers")
    card = _chosen(cards, scene.engine.device, scene.variables.get("CUDA_VISIBLE_DEVICES"))
    yield _device(card, cards, scene.engine.device)
    if cards:
        yield _cuda(cards[0].driver)
    if card is not None:
        yield _memory(card, scene)
        yield _health(card)


def _libcuda() -> Finding:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError as failure:
        return error("gpu-libcuda", str(failure))
    return ok("gpu-libcuda", "libcuda.so.1 can be loaded")


def _cards(scene: Scene) -> list[Card] | Finding:
    program = shutil.which("nvidia-smi", path=scene.variables.get("PATH"))
    if program is None:
        return error("gpu-driver", "there is no nvidia-smi")
    command = [program, f"--query-gpu={','.join(_FIELDS)}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired) as failure:
        return error("gpu-driver", f"nvidia-smi: {failure}"[:300])
    if done.returncode:
        words = " ".join((done.stdout + done.stderr).split())
        return error("gpu-driver", f"nvidia-smi: {words}"[:300], limit=0, actual=done.returncode)
    return [_card(line) for line in done.stdout.splitlines() if line.count(",") == len(_FIELDS) - 1]


def _card(line: str) -> Card:
    index, uuid, name, driver, total, free, uncorrected = (part.strip() for part in line.split(","))
    return Card(index, uuid, name, driver, _mib(total), _mib(free), int(uncorrected) if uncorrected.isdigit() else None)


def _mib(text: str) -> int:
    return int(text) * MIB if text.isdigit() else 0


def _chosen(cards: list[Card], device: str, visible: str | None) -> Card | None:
    """The card that a worker with this device gets: CUDA counts among those that are visible."""
    names = [card.index for card in cards] if visible is None else [part.strip() for part in visible.split(",") if part]
    number = device.removeprefix("cuda:")
    if number.isdigit():
        if int(number) >= len(names):
            return None
        number = names[int(number)]
    return next((card for card in cards if number == card.index or (number and card.uuid.startswith(number))), None)


def _device(card: Card | None, cards: list[Card], device: str) -> Finding:
    if card is None:
        told = ", ".join(f"{one.index} ({one.name})" for one in cards) or "none"
        return error(
            "gpu-device", f"there is no device {device} here; the driver shows: {told}", where="PAGEMILL_DEVICE"
        )
    nodes = sorted(path.name for path in Path("/dev").glob("nvidia[0-9]*"))
    if not nodes and not Path("/dev/dxg").exists():  # WSL has one node for all
        return error(
            "gpu-device", "there is no /dev/nvidia0 here: the device is not passed on", where="PAGEMILL_DEVICE"
        )
    return ok("gpu-device", f"{device} is {card.name}")


def _cuda(driver: str) -> Finding:
    """By the file of torch's version: importing torch takes seconds and a GiB."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return skipped("gpu-cuda", "torch is not installed here")
    try:
        found = _CUDA.search((Path(spec.origin).parent / "version.py").read_text())
    except OSError:
        found = None
    if found is None:
        return error("gpu-cuda", "torch was built without CUDA", do="Install a torch with CUDA: see docs/vllm-gpu.md.")
    major, minor = int(found[1]), int(found[2])
    needed = NEEDED.get(major)
    if needed is None:
        return skipped("gpu-cuda", f"which driver CUDA {major}.{minor} needs is not known here")
    text = f"driver {driver}, torch with CUDA {major}.{minor}"
    numbers = tuple(int(part) for part in driver.split(".")[:2] if part.isdigit())
    if numbers < needed:
        return error("gpu-cuda", text, limit=".".join(map(str, needed)), actual=driver)
    return ok("gpu-cuda", text)


def _memory(card: Card, scene: Scene) -> Finding:
    text = f"{size(card.free)} of {size(card.total)} are free"
    if scene.engine.name != "paddleocr_vl" or scene.engine.vl_backend != "vllm":
        return ok("gpu-memory", text)
    share = scene.engine.vllm_gpu_memory_utilization
    if card.free < share * card.total and engine_here(scene):
        return ok("gpu-memory", f"{text}: a worker that lives here holds the engine already")
    if card.free < share * card.total:
        return warning(
            "gpu-memory",
            f"{text}; vLLM wants {share:g} of all as it starts",
            where="PAGEMILL_VLLM_GPU_MEMORY_UTILIZATION",
            limit=int(share * card.total),
            actual=card.free,
        )
    return ok("gpu-memory", text)


def _health(card: Card) -> Finding:
    if card.uncorrected is None:
        return skipped("gpu-health", "this card counts no memory errors")
    if card.uncorrected:
        return error(
            "gpu-health", f"{card.uncorrected} memory errors were not corrected", limit=0, actual=card.uncorrected
        )
    return ok("gpu-health", "no memory errors")
