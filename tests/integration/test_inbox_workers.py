"""Drop folders with whole workers: what is dropped is read, and the result lies beside it, also when workers die."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from urllib.parse import quote_plus

from jobs.blobs import Buckets, Location, Places
from tests.documents import pdf
from tests.installation import Installation
from tests.protocol import one, rows

BUCKET = "dropped"
CALM = {"PAGEMILL_HEARTBEAT_STALE": "6000", "PAGEMILL_RENDER_PROCESSES": "1"}

_numbers = itertools.count(1)


def text_of(buckets: Buckets, bucket: str, key: str) -> str:
    stat = buckets.stat(bucket, key)
    assert stat is not None, key
    with buckets.open(bucket, key, etag=stat.etag) as opened:
        return b"".join(opened.pieces).decode()


def test_a_folder_on_this_machine(sqlite_url, valkey, tmp_path):
    valkey.flush()
    drop = tmp_path / "drop"
    (drop / "incoming" / "sub").mkdir(parents=True)
    settings = {
        "PAGEMILL_INBOX": f"file:{drop}/incoming/", "PAGEMILL_INBOX_ORIGINALS": "move",
        "PAGEMILL_INBOX_SWEEP_EVERY": "5", "PAGEMILL_INBOX_SETTLE": "0.2",
    }  # fmt: skip
    with Installation(tmp_path, sqlite_url, valkey.url_of(2), settings=CALM | settings) as mill, mill.worker():
        (drop / "incoming" / "sub" / "grün.pdf").write_bytes(pdf(2))
        (drop / "incoming" / "bad.pdf").write_bytes(b"%PDF-1.7 and nothing else")
        results = drop / "outgoing" / "sub" / "grün.pdf"
        mill.until((drop / "done" / "sub" / "grün.pdf").exists, "the original to be done")
        mill.until((drop / "failed" / "bad.pdf").exists, "the original to be failed")
        assert "page 2" in (results / "document.md").read_text()
        assert json.loads((results / "document.json").read_text())
        assert json.loads((drop / "failed" / "bad.pdf.error.json").read_text())["code"] == "corrupt_file"
        assert [path for path in (drop / "incoming").rglob("*") if path.is_file()] == []
        owners = {row[0] for row in rows(mill.db, "SELECT DISTINCT owner FROM job")}
        assert owners == {row[0] for row in rows(mill.db, "SELECT name FROM lease WHERE name LIKE 'inbox:%'")}


def test_a_bucket_and_its_events(postgres_url, valkey, seaweedfs, tmp_path):
    """The sweep comes once an hour: what is read before was told of."""
    valkey.flush()
    seaweedfs.create_bucket(BUCKET)
    prefix = f"t{next(_numbers)}/"
    store = seaweedfs.settings(BUCKET, f"{prefix}store")
    buckets = Places(store).of(Location("s3", BUCKET, ""))
    given = {
        "PAGEMILL_STORE_URL": store.store_url, "PAGEMILL_S3_ENDPOINT": store.s3_endpoint,
        "PAGEMILL_S3_ACCESS_KEY": seaweedfs.access_key, "PAGEMILL_S3_SECRET_KEY": seaweedfs.secret_key,
    }  # fmt: skip
    settings = {
        "PAGEMILL_INBOX": f"s3://{BUCKET}/{prefix}incoming/", "PAGEMILL_INBOX_SWEEP_EVERY": "21600",
        "PAGEMILL_INBOX_ORIGINALS": "tag", "PAGEMILL_INBOX_EVENTS_LIST": "s3events",
    }  # fmt: skip
    buckets.put(BUCKET, f"{prefix}incoming/first.pdf", pdf(1))
    with (
        Installation(tmp_path, postgres_url, valkey.url_of(3), store=given, settings=CALM | settings) as mill,
        mill.worker(),
        mill.worker(),
    ):
        first = f"{prefix}outgoing/first.pdf/document.md"
        mill.until(lambda: buckets.stat(BUCKET, first), "the first sweep's result")
        key = f"{prefix}incoming/a b+c.pdf"
        buckets.put(BUCKET, key, pdf(3))
        event = {"Records": [{"s3": {"bucket": {"name": BUCKET}, "object": {"key": quote_plus(key)}}}]}
        with valkey.client(3) as client:
            client.rpush("s3events", *[json.dumps(event)] * 3)
        mill.until(lambda: seaweedfs.client.get_object_tagging(Bucket=BUCKET, Key=key)["TagSet"], "the original's tag")
        assert "page 3" in text_of(buckets, BUCKET, f"{prefix}outgoing/a b+c.pdf/document.md")
        assert one(mill.db, "SELECT count(*) FROM document") == 2
    buckets.close()


def test_a_worker_killed_while_it_takes_loses_nothing_and_doubles_nothing(postgres_url, valkey, tmp_path):
    valkey.flush()
    drop, count = tmp_path / "drop" / "incoming", 400
    drop.mkdir(parents=True)
    for number in range(count):
        (drop / f"{number}.pdf").write_bytes(pdf(1))
    settings = {
        "PAGEMILL_INBOX": f"file:{drop}/", "PAGEMILL_INBOX_BATCH": "40", "PAGEMILL_INBOX_SETTLE": "0",
        "PAGEMILL_INBOX_SWEEP_EVERY": "10", "PAGEMILL_INBOX_THREADS": "2", "PAGEMILL_HEARTBEAT_STALE": "30",
    }  # fmt: skip
    with Installation(tmp_path, postgres_url, valkey.url_of(4), settings=CALM | settings) as mill:
        first = mill.worker().launch()
        mill.until(lambda: one(mill.db, "SELECT count(*) FROM inbox_object WHERE state = 'taken'"), "a batch begun")
        first.kill()
        left = one(mill.db, "SELECT count(*) FROM inbox_object WHERE state = 'taken'")
        with mill.worker():
            mill.until(
                lambda: one(mill.db, "SELECT count(*) FROM inbox_object WHERE state = 'submitted'") == count,
                "everything to be taken", 120,
            )  # fmt: skip
            mill.until(
                lambda: one(mill.db, "SELECT count(*) FROM publication WHERE state = 'published'") == count,
                "everything to be published", 180,
            )  # fmt: skip
        first.remove()
        assert left <= 40
        names = Counter(row[0] for row in rows(mill.db, "SELECT name FROM document"))
        assert names == Counter(f"{number}.pdf" for number in range(count))
        assert len(list((tmp_path / "drop" / "outgoing").iterdir())) == count


def test_a_worker_does_not_start_with_a_wrong_inbox(sqlite_url, valkey, tmp_path):
    with Installation(tmp_path, sqlite_url, valkey.url_of(5), settings=CALM | {"PAGEMILL_INBOX": "incoming"}) as mill:
        worker = mill.worker().launch()
        assert worker.wait() != 0
        assert "PAGEMILL_INBOX" in worker.output()
        worker.remove()
