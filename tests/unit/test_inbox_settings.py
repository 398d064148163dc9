"""Drop folders as they are set, and the paths that results get."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import lifecycle
from jobs.blobs import Location, ObjectStat, parse_location
from jobs.errors import InvalidRequest
from jobs.inbox import open_inboxes, open_options, owner_of
from jobs.publishing import ODD, folder_of
from jobs.settings import BlobSettings, InboxSettings

STORE = BlobSettings(store_url="s3://store/pagemill")


def inboxes(inbox: str, store: BlobSettings = STORE, **values: str):
    return open_inboxes(InboxSettings(inbox=inbox, **values), store)


def test_none_is_none():
    assert inboxes("") == ()


def test_places_lie_beside_the_inbox_unless_told():
    one, two = inboxes("s3://b1/t/incoming/, file:/data/incoming/")
    assert [str(p) for p in (one.location, one.output, one.done, one.failed)] == [
        "s3://b1/t/incoming/", "s3://b1/t/outgoing/", "s3://b1/t/done/", "s3://b1/t/failed/",
    ]  # fmt: skip
    assert [str(p) for p in (two.location, two.output, two.done)] == [
        "file:/data/incoming/", "file:/data/outgoing/", "file:/data/done/",
    ]  # fmt: skip
    [one] = inboxes("s3://b1/incoming/", inbox_output="file:/results/")
    assert str(one.output) == "file:/results/"


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"inbox": "s3://b1/incoming"}, "PAGEMILL_INBOX"),
        ({"inbox": "incoming/"}, "PAGEMILL_INBOX"),
        ({"inbox": "s3://b1/in/,s3://b1/in/"}, "PAGEMILL_INBOX"),
        ({"inbox": "s3://b1/in/,s3://b1/in/deeper/"}, "PAGEMILL_INBOX"),
        ({"inbox": "file:/in/,file:/in/deeper/"}, "PAGEMILL_INBOX"),
        ({"inbox": "s3://store/pagemill/jobs/"}, "PAGEMILL_INBOX"),
        ({"inbox": "s3://store/pagemill/uploads/x/"}, "PAGEMILL_INBOX"),
        ({"inbox": "s3://b1/outgoing/in/", "inbox_output": "s3://b1/outgoing/"}, "PAGEMILL_INBOX"),
        ({"inbox": "s3://b1/in/", "inbox_output": "s3://b1/"}, "PAGEMILL_INBOX"),
        ({"inbox": "s3://b1/one/,s3://b1/two/"}, "PAGEMILL_INBOX_OUTPUT"),
        ({"inbox": "s3://b1/one/,s3://b2/two/", "inbox_output": "s3://b3/"}, "PAGEMILL_INBOX_OUTPUT"),
        (
            {
                "inbox": "s3://b1/one/,s3://b1/two/",
                "inbox_output": "s3://out/1/,s3://out/2/",
                "inbox_originals": "move",
            },
            "PAGEMILL_INBOX_ORIGINALS",
        ),
        ({"inbox": "file:/in/", "inbox_originals": "tag"}, "PAGEMILL_INBOX_ORIGINALS"),
    ],
)
def test_what_would_end_in_tears_is_refused(values, where):
    with pytest.raises(InvalidRequest) as refused:
        open_inboxes(InboxSettings(**values), STORE)
    assert refused.value.where == where


def test_an_inbox_may_lie_beside_the_stores_own_objects():
    [inbox] = inboxes("s3://store/incoming/", BlobSettings(store_url="s3://store"))
    assert inbox.ours == ()


def test_a_local_store_within_an_inbox_is_left_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    [inbox] = inboxes(f"file:{tmp_path}/", BlobSettings(store_url="file:objects"))
    assert "objects/jobs/" in inbox.ours


def stat(key: str, size: int = 1) -> ObjectStat:
    return ObjectStat(key, size, "etag", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))


def test_only_documents_are_accepted():
    [inbox] = inboxes("s3://b1/", inbox_originals="move")
    accepted = ["a.pdf", "outgoing", "outgoing2/a.pdf", "done.pdf", "x/done/a.pdf"]
    refused = ["outgoing/a.pdf/document.md", "done/a.pdf", "failed/a.pdf.error.json", "nul\0.pdf"]
    assert [key for key in accepted + refused if inbox.accepts(stat(key))] == accepted
    assert not inbox.accepts(stat("folder/", 0))
    assert inbox.accepts(stat("folder/", 3))


def test_every_part_of_an_identity_counts():
    one, two = inboxes("s3://b1/in/,s3://b2/in/")
    seen = stat("in/a.pdf")
    others = [
        one.found(ObjectStat("in/b.pdf", 1, "etag", seen.modified)),
        one.found(ObjectStat("in/a.pdf", 1, "other", seen.modified)),
        one.found(ObjectStat("in/a.pdf", 1, "etag", datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC))),
        two.found(seen),
    ]
    assert len({found.id for found in [one.found(seen), *others]}) == 5
    assert one.found(ObjectStat("in/a.pdf", 1, "etag", seen.modified, version="v1")).id == one.found(seen).id


@pytest.mark.parametrize(
    "text", ["s3://b1/incoming/", "file:/data/in.coming/", "s3://b1/" + "x" * 900 + "/", "s3://b1/é ü/", "file:/"]
)
def test_an_inbox_can_be_paused_by_its_name(text):
    name = owner_of(parse_location(text, where=""))
    assert lifecycle._OWNER.fullmatch(name), name


def test_names_of_inboxes_differ():
    texts = ["s3://b1/a/b/", "s3://b1/a.b/", "s3://b1/a-b/", "file:/b1/a/b/", "s3://b1/é/", "s3://b1/ü/"]
    assert len({owner_of(parse_location(text, where="")) for text in texts}) == len(texts)
    assert owner_of(parse_location(texts[0], where="")) == "inbox:s3.b1.a.b"


def test_options_are_those_of_jobs():
    assert open_options(InboxSettings(inbox_options='{"priority": "interactive", "dpi": 300}')).dpi == 300
    for wrong in ("{", '{"dpi": 1}', '{"unknown": 1}', "[]", '{"engine": "none"}'):
        with pytest.raises(InvalidRequest) as refused:
            open_options(InboxSettings(inbox_options=wrong))
        assert refused.value.where == "PAGEMILL_INBOX_OPTIONS"


@pytest.mark.parametrize(
    "options", ['{"output": {"prefix": "s3://b1/y/"}}', '{"webhook": {"url": "https://example.org/"}}']
)
def test_options_that_only_jobs_of_keys_have_are_refused_at_the_start(options):
    """Each sweep would copy everything and then be refused."""
    with pytest.raises(InvalidRequest, match=r"output: |webhook: ") as refused:
        open_options(InboxSettings(inbox_options=options))
    assert refused.value.where == "PAGEMILL_INBOX_OPTIONS"


# --- folders of results

PLACES = (Location("s3", "b1", "outgoing/"), Location("s3", "b1", "done/"))


@pytest.mark.parametrize(
    "key", ["a.pdf", "sub/a.pdf", "a b+%.pdf", "é", "e\u0301", "x" * 244, "odd-names.pdf", "a/odd-names/x", ".hidden"]
)
def test_names_that_any_store_takes_stay(key):
    assert folder_of(key, *PLACES) == key


@pytest.mark.parametrize(
    "key",
    [
        "../a", "a/../b", "a/./b", "a//b", "/a", "a/", "a\\b", "a\nb", "a\x7f", "x" * 245, "é" * 130, f"{ODD}/a", ODD,
        "a.error.json", ".pagemill-tmp/x", "/".join(["s" * 100] * 10),
    ],
)  # fmt: skip
def test_names_that_some_store_does_not_take_are_hashed(key):
    path = folder_of(key, *PLACES)
    assert path.startswith(f"{ODD}/")
    assert len(path) == len(ODD) + 1 + 64


_KEYS = st.text(st.sampled_from("ab/.\\%\n é") | st.characters(codec="utf-8", exclude_characters="\0"), max_size=60)


@given(st.lists(_KEYS | st.just(f"{ODD}/") | _KEYS.map(lambda key: folder_of(key, *PLACES)), unique=True, max_size=20))
def test_no_two_names_get_one_folder_and_all_are_fit(keys):
    paths = [folder_of(key, *PLACES) for key in keys]
    assert len(set(paths)) == len(keys)
    for path in paths:
        assert os.path.normpath(path) == path
        assert not path.startswith("/")
        assert not path.startswith("../")
        assert len(f"outgoing/{path}/figures/page-00012-figure-123.jpg".encode()) <= 1024
