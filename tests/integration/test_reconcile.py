"""Each difference made by hand: reconcile names it and nothing else, changes nothing, and with fix it is gone.

On both databases, each with its kind of store: SQLite beside a directory, PostgreSQL beside an S3.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from jobs import lifecycle
from jobs.blobs import BlobStore, open_store
from jobs.queue import Doorbell, make_app
from jobs.reconcile.differences import CODES
from jobs.settings import BlobSettings, BrokerSettings
from tests.differences import AT_ONCE, BESIDES, CASES, DEEP
from tests.ledger import assert_exact
from tests.protocol import change, is_sqlite, rows
from tests.reconciling import PATIENCE, Mill, at_rest, dispatches

_prefixes = count(1)


def _blobs(request: pytest.FixtureRequest, sqlite: bool) -> BlobStore:
    if sqlite:
        return open_store(BlobSettings(store_url=f"file:{request.getfixturevalue('tmp_path') / 'objects'}"))
    seaweedfs = request.getfixturevalue("seaweedfs")
    return open_store(seaweedfs.settings(seaweedfs.create_bucket("reconcile"), f"service-{next(_prefixes)}"))


@pytest.fixture
def mill(request: pytest.FixtureRequest, db, broker_url) -> Iterator[Mill]:
    blobs = _blobs(request, is_sqlite(db))
    bell = Doorbell(make_app(BrokerSettings(broker_url=broker_url)))
    yield at_rest(db, blobs, bell)
    bell.close()
    blobs.close()


def snapshot(mill: Mill) -> object:
    """Every row that matters and every object."""
    tables = [rows(mill.db, f"SELECT * FROM {t} ORDER BY 1, 2") for t in ("job", "document", "page", "worker", "lease")]
    return tables, [(stat.key, stat.etag) for stat in mill.blobs.list("")]


def test_every_difference_has_a_case():
    assert {code for code, _ in [*CASES.values(), *DEEP.values()]} == set(CODES)


@pytest.mark.parametrize("case", CASES)
def test_each_difference_is_named_alone_and_mended(mill, case):
    code, spoil = CASES[case]
    named_and_mended(mill, code, spoil, deep=False)


@pytest.mark.parametrize("case", DEEP)
def test_what_only_a_deep_look_tells(mill, case):
    code, spoil = DEEP[case]
    spoil(mill)
    assert mill.look() == []
    named_and_mended(mill, code, lambda _: None, deep=True)


@pytest.mark.parametrize("case", ["unrung pages", "unrung split"])
def test_what_waits_for_a_paused_owner_waits_rightly(mill, case):
    CASES[case][1](mill)
    lifecycle.pause(mill.db, lifecycle.NOBODY)
    assert mill.look() == []
    lifecycle.resume(mill.db, lifecycle.NOBODY)
    assert mill.codes() == ["unrung"]


def test_pages_that_wait_while_every_worker_drains_wait_rightly(mill):
    CASES["unrung pages"][1](mill)
    lifecycle.drain(mill.db, mill.worker)
    assert mill.look() == []


def named_and_mended(mill, code, spoil, deep):
    spoil(mill)
    patience = AT_ONCE if code.startswith("object_") else PATIENCE
    before = snapshot(mill)
    found = mill.look(patience, deep=deep)
    told = {difference.code for difference in found}
    assert code in told
    assert told <= {code, *BESIDES.get(code, ())}
    assert snapshot(mill) == before  # read-only

    mended = mill.look(patience, fix=True, deep=deep)
    # A document's counters that are right again make its job's totals right or wrong.
    assert {d.key for d in mended if d.code == code} == {d.key for d in found if d.code == code}
    assert {d.fixed for d in mended if d.code == code} == {bool(CODES[code].fix)}
    if not CODES[code].fix:
        assert code in BESIDES or snapshot(mill) == before  # what is only reported is left as it was
        undo(mill)
        return
    dispatches(mill)
    again = snapshot(mill)
    assert mill.look(fix=True, deep=deep) == []
    assert snapshot(mill) == again  # mending twice is mending once

    mill.finish()
    assert mill.look(deep=deep) == []
    assert_exact(mill.db)


def undo(mill):
    """The books of every test must be right at its end."""
    change(mill.db, "DELETE FROM page")
    change(mill.db, "DELETE FROM document")
    change(mill.db, "DELETE FROM job")
