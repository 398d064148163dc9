"""The section of docs/benchmarks.md from a journal, a whole one or one of a run that was cut short."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from tests.bench.plot import BACKLOG, Panel, svg
from tests.bench.report import Section, table
from tests.bench.scale.journal import Entry, entries
from tests.bench.scale.statements import SHARE
from tests.bench.scale.tenths import edges, nearest, spread, taken, within

MIB = 2**20
TABLES = ("page", "document", "job")
TOLD = 8
"""Statements: those that take most of the time."""
_DISPATCH = ("waiting._PAGES_IN_FLIGHT", "waiting._PAGE_TURNS", "ringing._STAMP_PAGES", "waiting._DOCUMENTS_IN_FLIGHT")
_CLAIM = ("claiming._CLAIM_PAGES", "recording._RECORD")


def told(path: Path, questions: str = "") -> Section:
    """`questions`: tables that were made elsewhere."""
    texts, plots = [_begin(path)], {}
    for part, tell in (("many", _many), ("listed", _listed)):
        if found := Part(entries(path, part)).whole:
            text, plot = tell(found)
            texts.append(f"{text}\n\n![How it went, and what it took meanwhile](bench/scale-{part}.svg)")
            plots[f"scale-{part}.svg"] = plot
    if found := Part(entries(path, "large")).whole:
        texts.append(_large(found))
    return Section("\n\n".join([*texts, questions]).strip(), plots)


def _begin(path: Path) -> str:
    """How far the figures go."""
    apart = [Part(entries(path, part)).apart for part in ("many", "listed")]
    often = max((seconds for seconds in apart if seconds), default=0.0)
    return (
        "One run of each load. What happened at the end of one is seen in samples"
        f"{f', {often:.0f} s apart' if often else ''}: it may have been so much earlier."
    )


class Part:
    """Entries of one part by kind."""

    def __init__(self, found: Sequence[Entry]) -> None:
        self.samples = [entry for entry in found if entry["kind"] == "sample"]
        self.calls = [entry for entry in found if entry["kind"] == "call"]
        self._others = {entry["kind"] + entry.get("name", ""): entry for entry in found}
        self.submits = [entry for entry in found if entry["kind"] == "submit"]

    @property
    def apart(self) -> float:
        """Seconds between samples; 0 where there are not two."""
        times = [float(sample["t"]) for sample in self.samples]
        return median([later - earlier for earlier, later in itertools.pairwise(times)]) if len(times) > 1 else 0.0

    @property
    def whole(self) -> Part | None:
        """Itself, where there is enough to tell something."""
        return self if len(self.samples) > 2 and self.get("begin") else None

    def get(self, kind: str) -> Entry | None:
        return self._others.get(kind)

    def at(self, kind: str) -> float:
        """When; the end where it never came."""
        found = self.get(kind)
        return float(found["t"]) if found else float(self.samples[-1]["t"])

    def tenths(self, count: str) -> Iterator[tuple[int, float, float]]:
        """Number, begin and end of each that was reached."""
        total = self.samples[-1][count]
        found = edges(self.samples, count, total, self.at("loaded"))
        yield from ((number, *ends) for number, ends in enumerate(itertools.pairwise(found), 1))


def _many(part: Part) -> tuple[str, str]:
    last, begun = part.samples[-1], part.at("loaded")
    pages, documents = last["done"], last["documents"] - 1
    ended = part.at("ended")
    submitted = [entry["seconds"] for entry in part.submits[1:]]
    split = next((s["t"] for s in part.samples if s["split"] >= documents), ended)
    sent = part.at("submitted")
    head = (
        f"**{pages:,} pages**: {documents:,} documents of 100 pages in {len(submitted)} jobs over HTTP,"
        f" {_workers(part)}, echo, PostgreSQL with fsync, a folder as store: submitted in {sent - begun:.0f} s"
        f" ({_rate(documents, sent - begun)} documents/s; a job {_least_to_most(submitted)} s), all split"
        f" after {split - begun:.0f} s, closed after {ended - begun:.0f} s: {_rate(pages, ended - begun)} pages/s."
    )
    tenths = table(
        ["tenth", "pages/s", "CPU ms a page", "fsync of a file, ms", "page rows, million", "their table, indexes, MiB",
         "statements of a round, ms", "claim and record, ms", *_names(part)],
        [_tenth(part, *tenth) for tenth in part.tenths("done")],
    )  # fmt: skip
    texts = [head, tenths, _idle(part), _growing(part, "done"), _sizes(part, pages), _memory(part)]
    return "\n\n".join(filter(None, texts)), _plot(part, "done", "pages/s")


def _soon(seconds: float, apart: float) -> str:
    """After something; nobody looked more often than `apart`."""
    return f"less than {apart:.0f} s after" if seconds < apart else f"{seconds:.0f} s after"


def _listed(part: Part) -> tuple[str, str]:
    documents = part.samples[-1]["finished"] - 1
    begun, sealed, done, closed = (part.at(k) for k in ("loaded", "submitted", "all documents ended", "ended"))
    documents = max(sample["finished"] for sample in part.samples) - 1
    manifest, deleted, purged = part.get("gotjob.json"), part.get("deleted"), part.get("purged")
    head = (
        f"**One job of {documents:,} documents** of one page, a prefix of a bucket (SeaweedFS beside it),"
        f" {_workers(part)}: answered in {part.submits[-1]['seconds']:.2f} s, all entered after"
        f" {sealed - begun:.0f} s ({_rate(documents, sealed - begun)}/s), read after {done - begun:.0f} s"
        f" ({_rate(documents, done - begun)} documents/s), closed {_soon(closed - done, part.apart)} its last document."
    )
    if manifest:
        head += f" job.json has {manifest['bytes'] / MIB:.1f} MiB and is got in {manifest['ms'] / 1000:.1f} s."
    if deleted:
        head += f" DELETE answers after {deleted['ms'] / 1000:.1f} s"
        head += f", and its rows are gone {purged['at'] - deleted['t']:.0f} s later at most." if purged else "."
    tenths = table(
        [
            "tenth",
            "documents/s",
            "CPU ms each",
            "fsync of a small file, ms",
            "a round's statements, ms",
            *_names(part),
        ],
        [_listed_tenth(part, *tenth) for tenth in _rising(part)],
    )
    texts = [head, tenths, _idle(part), _growing(part, "finished"), _memory(part)]
    return "\n\n".join(filter(None, texts)), _plot(part, "finished", "documents/s")


def _large(part: Part) -> str:
    long, first = part.get("long"), part.samples[0]
    if long is None:
        return ""
    seconds = ", ".join(f"{name} {at:.1f}" for name, at in long["seconds"].items())
    got = ", ".join(
        f"{name} {entry['bytes'] / MIB:.1f} MiB in {entry['ms'] / 1000:.2f} s"
        for name in ("markdown", "json", "zip")
        if (entry := part.get(f"got{name}"))
    )
    memory = ", ".join(
        f"{name} {first['memory'][name]:.0f} to {max(s['memory'][name] for s in part.samples):.0f}"
        for name in first["memory"]
    )
    calls = ", ".join(
        f"{name} {found[0]:.0f} and {found[1]:.0f}" for name in _names(part) if (found := spread(part.calls, name))
    )
    return (
        f"**A PDF of {long['pages']:,} pages** ({long['bytes'] / MIB:.1f} MiB): submit"
        f" {part.submits[-1]['seconds']:.2f} s; seconds from the begin of that: {seconds}. Its results: {got}."
        f" Memory, MiB at first and at most: {memory}. Calls meanwhile, ms (median and p99): {calls}."
    )


# --- pieces


def _rate(count: float, seconds: float) -> str:
    return f"{count / seconds:.0f}" if seconds else "-"


def _workers(part: Part) -> str:
    count = (part.get("begin") or {}).get("workers", 0)
    return "one worker" if count == 1 else f"{count} workers"


def _names(part: Part) -> list[str]:
    return list(dict.fromkeys(call["name"] for call in part.calls))


def _least_to_most(values: Sequence[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f}" if values else "-"


def _tenth(part: Part, number: int, begin: float, end: float) -> list[object]:
    here, at = within(part.samples, begin, end), nearest(part.samples, end)
    done = part.samples[-1]["done"] / 10
    size = _size(at, "page")
    return [
        number, _rate(done, end - begin), *_machine(part, begin, end, done),
        f"{at['pages'] / 1e6:.2f}", f"{size[0] / MIB:.0f}, {size[1] / MIB:.0f}",
        _together(here, _DISPATCH), _together(here, _CLAIM), *_latencies(part, begin, end),
    ]  # fmt: skip


def _listed_tenth(part: Part, number: int, begin: float, end: float) -> list[object]:
    documents = max(sample["finished"] for sample in part.samples) / 10
    here = within(part.samples, begin, end)
    machine = _machine(part, begin, end, documents)
    rate = _rate(documents, end - begin)
    return [number, rate, *machine, _together(here, _DISPATCH), *_latencies(part, begin, end)]


def _machine(part: Part, begin: float, end: float, count: float) -> list[str]:
    """CPU milliseconds of all processes for each of so many, and what the disk takes for a small file."""
    first, last = nearest(part.samples, begin), nearest(part.samples, end)
    done = count * (last["t"] - first["t"]) / (end - begin) if end > begin else 0
    here = within(part.samples, begin, end)
    syncs = [sample["sync"] for sample in here]
    return [
        f"{(last['cpu'] - first['cpu']) * 1000 / done:.2f}" if done else "-",
        f"{median(syncs):.1f}" if syncs else "-",
    ]


def _rising(part: Part) -> Iterator[tuple[int, float, float]]:
    """Tenths of documents that ended, before the job was deleted again."""
    most = max(sample["finished"] for sample in part.samples)
    rising = [sample for sample in part.samples if sample["t"] <= part.at("gotjob.json")]
    found = edges(rising, "finished", most, part.at("loaded"))
    yield from ((number, *ends) for number, ends in enumerate(itertools.pairwise(found), 1))


def _latencies(part: Part, begin: float, end: float) -> list[str]:
    calls = within(part.calls, begin, end)
    found = [spread(calls, name) for name in _names(part)]
    return [f"{one[0]:.0f}, {one[1]:.0f}" if one else "-" for one in found]


def _together(samples: Sequence[Entry], names: Sequence[str]) -> str:
    """Milliseconds: the sum of the mean times of these statements."""
    found = taken(samples)
    means = [total / count for name in names if (count := found.get(name, (0, 0.0))[0]) and (total := found[name][1])]
    return f"{sum(means):.1f}" if means else "-"


def _idle(part: Part) -> str:
    """Calls while nothing is to be read, before and after: what the same rows cost without the load."""
    rows = []
    for phase, name in (("before", "nothing to read, tables empty"), ("after", "nothing to read, tables full")):
        calls = [call for call in part.calls if call["phase"] == phase]
        found = [spread(calls, name) for name in _names(part)]
        rows.append([name, *(f"{one[0]:.0f}, {one[1]:.0f}" if one else "-" for one in found)])
    return table(["calls, ms: median, 99th percentile", *_names(part)], rows)


def _growing(part: Part, count: str) -> str:
    """The statements that take most of the database's time, in the second tenth and in the last."""
    spans = list(part.tenths(count)) if count == "done" else list(_rising(part))
    if len(spans) < 3:
        return ""
    early, late = (taken(within(part.samples, *spans[at][1:])) for at in (1, -1))
    everything = taken(part.samples)
    seconds = part.samples[-1]["t"] - part.at("loaded")
    rows = []
    for name in sorted(everything, key=lambda name: -everything[name][1])[:TOLD]:
        means = [total / n if n else 0.0 for n, total in (early.get(name, (0, 0.0)), late.get(name, (0, 0.0)))]
        ratio = f"{means[1] / means[0]:.1f}" if means[0] and means[1] else "-"
        share = everything[name][1] / 1000 / SHARE / max(seconds, 1e-9)
        rows.append([f"`{name}`", f"{share:.3f}", *(f"{mean:.2f}" for mean in means), ratio])
    return table(["statement", "connections busy with it", "ms in the 2nd tenth", "in the last", "ratio"], rows)


def _size(sample: Entry, name: str) -> tuple[int, int]:
    """Bytes of a table and of its indexes."""
    indexes = sum(size for index, size in sample["sizes"].items() if index.startswith(f"{name} "))
    return sample["sizes"].get(name, 0), indexes


def _sizes(part: Part, pages: int) -> str:
    last, store = part.samples[-1], part.get("store")
    rows = [[name, *(f"{size / pages:.1f}" for size in _size(last, name))] for name in TABLES]
    found = [table(["bytes a page", "table", "indexes"], rows)]
    wal = (last["wal"] - part.samples[0]["wal"]) / pages
    vacuums = ", ".join(f"{name} {count}" for name, count in sorted(last["vacuums"].items()) if name in TABLES)
    whole = (last["database"] - part.samples[0]["database"]) / pages
    line = f"The database grew by {whole:,.0f} bytes a page in all. "
    line += f"Write-ahead log {wal:,.0f} bytes a page; automatic vacuums: {vacuums or 'none'}."
    if store:
        line += (
            f" Store: {store['files'] / pages:.3f} files, {store['bytes'] / pages:,.0f} bytes and"
            f" {store['on_disk'] / pages:,.0f} on disk a page."
        )
    return "\n\n".join([*found, line])


def _memory(part: Part) -> str:
    """Each process at the beginning, in the middle, at the end and at most; and Valkey's own count."""
    load = [sample for sample in part.samples if part.at("loaded") <= sample["t"] <= part.at("ended")] or part.samples
    chosen = [load[0], load[len(load) // 10], load[len(load) // 2], load[-1]]
    rows = [
        [name, *(f"{s['memory'][name]:.0f}" for s in chosen), f"{max(s['memory'][name] for s in load):.0f}"]
        for name in load[0]["memory"]
    ]
    redis = max(sample["redis"] for sample in load) / MIB
    rows.append(["Valkey's data, by its own count", *(f"{s['redis'] / MIB:.1f}" for s in chosen), f"{redis:.1f}"])
    connections = [str(s.get("connections", "-")) for s in chosen]
    rows.append(["(connections to PostgreSQL)", *connections, str(max(s.get("connections", 0) for s in load))])
    found = table(["private memory, MiB", "before", "after a tenth", "half", "end", "most"], rows)
    return f"{found}\n\nPrivate: without what processes share, which of PostgreSQL is its shared buffers (512 MiB)."


def _plot(part: Part, count: str, title: str) -> str:
    samples = part.samples
    rates = [
        (after["t"], max(0.0, (after[count] - before[count]) / (after["t"] - before["t"])))
        for before, after in itertools.pairwise(samples)
        if after["t"] > before["t"]
    ]
    panels = [
        Panel(title, rates),
        Panel("pages that wait", _series(samples, lambda s: s["pages"] - s["done"]), BACKLOG),
    ]
    panels += [
        Panel(f"{name}, MiB", _series(samples, lambda s, name=name: round(s["memory"][name])))  # type: ignore[misc]
        for name in samples[0]["memory"]
    ]
    panels.append(
        Panel("dead rows of pages, as PostgreSQL counts", _series(samples, lambda s: s["dead"].get("page", 0)))
    )
    return svg(panels, height=50)


def _series(samples: Sequence[Entry], value: object) -> list[tuple[float, float]]:
    return [(sample["t"], value(sample)) for sample in samples]  # type: ignore[operator]
