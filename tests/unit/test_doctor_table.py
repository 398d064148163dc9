"""The doctor's table, its checks and its page agree."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from jobs.doctor.checks import areas, checks
from jobs.doctor.findings import Finding, Level, NotChecked, error, ok, report
from jobs.doctor.run import Check, run
from jobs.doctor.scene import Scene
from jobs.doctor.table import TABLE, Area
from jobs.errors import InvalidRequest
from jobs.settings import BlobSettings

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "doctor.md").read_text()
ROW = re.compile(r"^\| `([a-z-]+)` \| (.+) \| (.+) \|$", re.MULTILINE)


def test_the_page_says_what_the_table_says():
    assert ROW.findall(PAGE) == [(id_, known.what, known.do) for id_, known in TABLE.items()]


def test_every_area_has_its_heading():
    assert re.findall(r"^### .*\(`([a-z]+)`\)$", PAGE, re.MULTILINE) == list(Area)


@pytest.mark.parametrize("store", ["file:objects", "s3://bucket/prefix"])
def test_one_check_answers_for_each_id(store):
    scene = Scene({BlobSettings: BlobSettings(store_url=store)})
    told = Counter(id_ for check in checks(scene) for id_ in check.ids)
    assert set(told.values()) == {1}
    assert told.keys() <= TABLE.keys()


def test_every_id_is_told_by_some_check():
    scenes = [Scene({BlobSettings: BlobSettings(store_url=url)}) for url in ("file:objects", "s3://bucket/prefix")]
    told = {id_ for scene in scenes for check in checks(scene) for id_ in check.ids}
    assert told == {id_ for id_, known in TABLE.items() if known.area is not Area.DOCTOR}


def test_only_takes_areas_and_ids():
    scene = Scene({})
    assert [check.name for check in checks(scene, ["redis"])] == ["redis"]
    assert [check.name for check in checks(scene, ["database-schema", "config-url"])] == ["addresses", "database"]
    assert {TABLE[id_].area for name in areas() for check in checks(scene, [name]) for id_ in check.ids} >= set(areas())
    with pytest.raises(InvalidRequest, match="rediss"):
        checks(scene, ["rediss"])


# --- a run


def told(scene, look, ids=("config-url", "config-files"), timeout=30.0):
    return run(scene, [Check("probe", ids, look)], timeout)


def test_what_is_not_told_is_skipped_with_the_reason():
    def look(_):
        yield ok("config-url", "well")
        raise NotChecked("nobody is at home")

    assert [(f.id, f.level, f.found) for f in told(Scene({}), look)] == [
        ("config-url", Level.OK, "well"),
        ("config-files", Level.SKIPPED, "nobody is at home"),
    ]


def test_a_check_that_breaks_off_is_a_finding_and_what_it_told_stands():
    def look(_):
        yield ok("config-url", "well")
        raise RuntimeError("something\nunheard of")

    found = {f.id: f for f in told(Scene({}), look)}
    assert found["config-url"].level is Level.OK
    assert found["config-files"].level is Level.SKIPPED
    assert (found["check-failed"].found, found["check-failed"].where) == ("RuntimeError: something unheard of", "probe")
    assert found["check-failed"].do


def test_secrets_are_hidden_whoever_tells_them():
    variables = {
        "PAGEMILL_DATABASE_URL": "postgresql://somebody:p%40ss-w0rd@db/x",
        "PAGEMILL_SECRET_KEY": "a-long-secret",
        "PAGEMILL_S3_ACCESS_KEY": "no-secret",
    }

    def look(_):
        yield error("config-url", "p@ss-w0rd, p%40ss-w0rd, a-long-secret, no-secret", actual="a-long-secret")

    found = told(Scene({}, variables=variables), look, ("config-url",))[0]
    assert (found.found, found.actual) == ("***, ***, ***, no-secret", "***")


@pytest.mark.parametrize(
    ("levels", "status"), [("ok skipped", 0), ("ok warning", 3), ("warning error", 1), ("error", 1), ("", 0)]
)
def test_the_exit_status_is_of_the_worst(levels, status):
    found = [Finding(id="config-url", area=Area.CONFIGURATION, level=level, found="x") for level in levels.split()]
    made = report("1", "here", found)
    assert made.status == status
    assert sum(made.counts.values()) == len(found)


def test_advice_names_no_package_of_an_index():
    """pagemill is on none: what installs it is a checkout (docs/install.md)."""
    assert [id_ for id_, known in TABLE.items() if "pagemill[" in known.do] == []
