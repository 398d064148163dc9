"""What Flower shows of a message: which pages and documents it is about, for people.

    pages 1-16 of doc_0198… (job_0198…)
    page 3 of doc_0198…, pages 1-2, 7 of doc_0199… (job_0198…); page 1 of doc_019a… (job_0199…)

What tells messages apart comes first: Flower's table shows some forty characters. Ids and numbers, never names: a
file's name may be personal data, and whoever opens Flower sees everybody's messages. Nothing is cut off: a message
names 16 pages or documents at most (jobs/dispatch.py), 1.5 KB of text when each of them is another job's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from jobs.store.claiming import DocumentRef
from jobs.store.sql import grouped

Jobs = Mapping[str, str]
"""The job of each document, as far as it is known."""


def pages_shown(refs: Iterable[tuple[str, int, int]], jobs: Jobs) -> str:
    """(document, page, attempt) each; the attempt is not shown."""
    numbers = grouped((document, number) for document, number, _ in refs)
    return _by_job(numbers, jobs, lambda document: f"{_pages(numbers[document])} of {document}")


def documents_shown(refs: Iterable[DocumentRef], jobs: Jobs) -> str:
    return _by_job([ref.document for ref in refs], jobs, str)


def node_name(engine: str, slot: str, host: str) -> str:
    """A worker's name in Flower: `rapidocr-cpu-0@host`, from its row's engine, device slot and host. `engine` is empty
    for a worker that reads no pages."""
    return f"{engine}-{slot}@{host}" if engine else f"{slot}@{host}"


def ranges(numbers: Sequence[int]) -> str:
    """`[1, 2, 3, 7]` -> `1-3, 7`."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in found)


def _pages(numbers: Sequence[int]) -> str:
    return f"{'page' if len(numbers) == 1 else 'pages'} {ranges(numbers)}"


def _by_job(documents: Iterable[str], jobs: Jobs, shown: Callable[[str], str]) -> str:
    groups = grouped((jobs.get(document, ""), shown(document)) for document in documents)
    return "; ".join(", ".join(texts) + (f" ({job})" if job else "") for job, texts in groups.items())
