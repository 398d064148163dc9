"""Which cards there are, and what pins a process to one of them.

CUDA counts the cards it may see; nvidia-smi counts those of the machine (of the container, in one) by their place on
the bus. `CUDA_VISIBLE_DEVICES` is what makes the two differ, so: where it is set already, a device's number is its
place in that list, as it is for every CUDA program started there; where it is not, it is nvidia-smi's number, and
CUDA is told to count the same way (CUDA_DEVICE_ORDER=PCI_BUS_ID).
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from jobs.errors import InvalidRequest

CPU = "cpu"
ALL = "all"
_PATIENCE = 60.0
"""Seconds for nvidia-smi: without persistence mode it loads the driver first, which takes some seconds a card."""
_CARD = re.compile(r"GPU (\d+): (.+) \(UUID: (GPU-[^)]+)\)")
_SLICE = re.compile(r"\s+MIG (\S+)\s+Device\s+\d+: \(UUID: (MIG-[^)]+)\)")
_HELP = "in a container, NVIDIA_DRIVER_CAPABILITIES must name utility; without a card, the device is cpu"


@dataclass(frozen=True, slots=True)
class Card:
    """A card, or a slice of one, as nvidia-smi lists it."""

    name: str
    """Its number, or the UUID of a slice (MIG)."""
    uuid: str
    model: str
    slices: tuple[Card, ...] = ()

    def __str__(self) -> str:
        return f"{self.name} ({self.model})" if self.name == self.uuid else f"{self.name} ({self.model}, {self.uuid})"


@dataclass(frozen=True, slots=True)
class Device:
    """Where one worker runs."""

    name: str
    """`cpu`, the number nvidia-smi gives the card, or the UUID of a slice: the worker's PAGEMILL_DEVICE."""
    model: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    """What its process must have in its environment before anything of CUDA is loaded."""

    @property
    def place(self) -> str:
        """For people: `cpu`, `gpu0`, `MIG-…`. Slots begin with it too (jobs/slots.py)."""
        return f"gpu{self.name}" if self.name.isdigit() else self.name


_ON_CPU = Device(CPU, variables={"CUDA_VISIBLE_DEVICES": ""})


def choose(wanted: str, env: Mapping[str, str], where: str) -> list[Device]:
    """The devices of `all`, or of a list like `0,1,GPU-…,cpu`; `cpu` may be named several times.

    `env`: what the workers inherit. Raises InvalidRequest, saying what there is; `where` names what was asked with.
    """
    names = [name.strip() for name in wanted.split(",")]
    if not all(names):
        raise InvalidRequest("write all, or devices separated by commas: 0,1", where=where, actual=wanted)
    if all(name == CPU for name in names):
        return [_ON_CPU for _ in names]
    seen = _Seen.by(_installed(where), env.get("CUDA_VISIBLE_DEVICES"), where)
    if names == [ALL]:
        return [seen.device(index) for index in range(len(seen.cards))]
    chosen = [_ON_CPU if name == CPU else seen.device(seen.find(name, where)) for name in names]
    for number, device in enumerate(chosen):
        if device is not _ON_CPU and device in chosen[:number]:
            raise InvalidRequest(f"{names[number]} is a card that is named already; a worker fills one", where=where)
    return chosen


@dataclass(frozen=True, slots=True)
class _Seen:
    """What CUDA shows a process, in its order."""

    cards: Sequence[Card]
    entries: Sequence[str] | None
    """Each card's entry in CUDA_VISIBLE_DEVICES, where that was set."""

    @classmethod
    def by(cls, cards: Sequence[Card], setting: str | None, where: str) -> _Seen:
        """Raises InvalidRequest for a setting that hides everything or names what is not here."""
        if setting is None:
            return cls([part for card in cards for part in (card.slices or (card,))], None)
        entries = [entry.strip() for entry in setting.split(",") if entry.strip()]
        if not entries or entries[0] == "-1":
            raise InvalidRequest(f"CUDA_VISIBLE_DEVICES={setting!r} hides every GPU", where=where)
        everything = [part for card in cards for part in (card, *card.slices)]
        shown = []
        for entry in entries:
            named = _named(entry, everything)
            if named is None:
                there = _listed(everything)
                text = f"CUDA_VISIBLE_DEVICES={setting} names {entry}, which is not here; there are: {there}"
                raise InvalidRequest(text, where=where)
            shown.append(named)
        return cls(shown, entries)

    def find(self, name: str, where: str) -> int:
        """Where in the order the device `name` is. Raises InvalidRequest naming what there is."""
        if self.entries is not None and name.isdigit():
            if int(name) < len(self.cards):
                return int(name)
        elif (card := _named(name, self.cards)) is not None:
            return self.cards.index(card)
        known = self.cards if self.entries is None else [f"{i} = card {card}" for i, card in enumerate(self.cards)]
        why = f" by CUDA_VISIBLE_DEVICES={','.join(self.entries)}" if self.entries is not None else ""
        raise InvalidRequest(f"there is no device {name!r}; there are{why}: {_listed(known)}", where=where, actual=name)

    def device(self, index: int) -> Device:
        card = self.cards[index]
        if self.entries is not None and self.entries[index].isdigit():
            # As whoever set it meant it, whatever the order of the numbers.
            return Device(card.name, card.model, {"CUDA_VISIBLE_DEVICES": self.entries[index]})
        # A number also where a UUID was said: vLLM up to 0.20 at least reads nothing else (its issues 20939 and 41848).
        return Device(card.name, card.model, {"CUDA_VISIBLE_DEVICES": card.name, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"})


def _installed(where: str) -> list[Card]:
    """Every card, in the order of the bus. Raises InvalidRequest where there is none."""
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=_PATIENCE)  # noqa: S607
    except FileNotFoundError:
        raise InvalidRequest(f"there is no GPU here: no nvidia-smi on the PATH ({_HELP})", where=where) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InvalidRequest(f"nvidia-smi does not answer: {error}", where=where) from None
    if listed.returncode:
        said = " ".join((listed.stdout + listed.stderr).split()) or "it said nothing"
        raise InvalidRequest(f"nvidia-smi ended with status {listed.returncode}: {said}", where=where)
    cards = _parse(listed.stdout)
    if not cards:
        raise InvalidRequest(f"there is no GPU here: nvidia-smi lists none ({_HELP})", where=where)
    return cards


def _parse(listing: str) -> list[Card]:
    """`GPU 0: NVIDIA H200 (UUID: GPU-…)`, and below a divided card `  MIG 1g.18gb Device 0: (UUID: MIG-…)`."""
    cards: list[Card] = []
    for line in listing.splitlines():
        if card := _CARD.match(line):
            cards.append(Card(card[1], card[3], card[2]))
        elif cards and (part := _SLICE.match(line)):
            last = cards[-1]
            piece = Card(part[2], part[2], f"{last.model} {part[1]}")
            cards[-1] = Card(last.name, last.uuid, last.model, (*last.slices, piece))
    return cards


def _named(name: str, cards: Iterable[Card]) -> Card | None:
    """By number, or by UUID or the beginning of one, as CUDA does it."""
    for card in cards:
        if name == card.name or (name.startswith(("GPU-", "MIG-")) and card.uuid.startswith(name)):
            return card
    return None


def _listed(cards: Iterable[object]) -> str:
    return ", ".join(map(str, cards))
