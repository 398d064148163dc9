"""Messages in Redis that nobody needs any more and nobody takes.

A message for what has ended does nothing (rule 4), and where workers take messages it is soon gone: it is named only
where the queue stands still besides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jobs.engines import ENGINE_NAMES
from jobs.queue import ASSEMBLE, BROKER_ERRORS, FETCH, PURGE, RECOGNIZE, SPLIT, Waiting, page_refs, recognize_queue
from jobs.reconcile.differences import Difference
from jobs.reconcile.parts import Parts
from jobs.store import watching

LOOKED_AT = 2000
"""Messages of a queue, the oldest ones."""
TOLD = 100


def stale(parts: Parts) -> Iterator[tuple[Difference, str]]:
    """Messages whose pages, document or job have all ended; the token names the head of their queue."""
    for queue in queues():
        try:
            waiting = parts.bell.waiting(queue, LOOKED_AT)
        except BROKER_ERRORS as error:
            sentence = f"the broker does not answer: {str(error) or type(error).__name__}"
            if not any(told.startswith("the broker") for told in parts.blind):
                parts.blind.append(sentence)
            return
        for message in _ended(parts, waiting)[:TOLD]:
            actual = f"{message.task} {_names(message)}"
            yield (
                Difference("message_stale", f"{queue} {message.id}", "something that has not ended", actual),
                (waiting[0].id),
            )


def queues() -> list[str]:
    return [*map(recognize_queue, ENGINE_NAMES), "split", "assemble", "deliver"]


def remove(parts: Parts, difference: Difference) -> bool:
    """Take the message out of its queue. A message is a hint: should it have been needed, rescue rings again."""
    queue, _, id_ = difference.where.partition(" ")
    for message in parts.bell.waiting(queue, LOOKED_AT):
        if message.id == id_:
            return parts.bell.remove(queue, message)
    return True  # taken by a worker meanwhile


def _ended(parts: Parts, messages: Sequence[Waiting]) -> list[Waiting]:
    pages = [page for message in messages for page in _pages(message)]
    documents = [document for message in messages for document in _documents(message)]
    jobs = [str(message.arguments.get("job")) for message in messages if message.task == PURGE]
    with parts.db.read() as session:
        open_ones: set[object] = {*watching.open_pages(session, pages)} if pages else set()
        open_ones |= watching.open_documents(session, documents)
        open_ones |= watching.unpurged_jobs(session, jobs)
    known = (RECOGNIZE, FETCH, SPLIT, ASSEMBLE, PURGE)
    return [m for m in messages if m.task in known and not open_ones.intersection(_names_of(m))]


def _names_of(message: Waiting) -> list[object]:
    if message.task == PURGE:
        return [message.arguments.get("job")]
    return [*_pages(message), *_documents(message)]


def _pages(message: Waiting) -> list[tuple[str, int]]:
    if message.task != RECOGNIZE:
        return []
    try:
        return [(ref.document, ref.number) for ref in page_refs(message.arguments["pages"])]
    except (KeyError, TypeError, ValueError, AttributeError):
        return []


def _documents(message: Waiting) -> list[str]:
    documents = message.arguments.get("documents") if message.task in (FETCH, SPLIT, ASSEMBLE) else None
    return [str(document) for document in documents] if isinstance(documents, dict) else []


def _names(message: Waiting) -> str:
    """`doc_…, doc_… and 3 more`."""
    names = list(dict.fromkeys(str(name[0] if isinstance(name, tuple) else name) for name in _names_of(message)))
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return ", ".join(names[:2]) + more
