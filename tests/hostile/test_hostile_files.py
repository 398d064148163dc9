"""Hostile files by HTTP through the real queue: each ends with a code, alone, and harms nothing.

The fast part. `make hostile` sends all there is, `make fuzz` as many spoiled documents as are asked for.
"""

import pytest

from tests.hostile.bombs import BOMBS, SLOW, truncated
from tests.hostile.corpus import hostile, passwords, public
from tests.hostile.fuzz import PAGES, mutants
from tests.hostile.ordeal import Specimen, ordeal
from tests.testdata import document, needs_testdata

SPOILED = 60
WRONG = "not the password"


@pytest.fixture(scope="module")
def found(tmp_path_factory, valkey):
    with ordeal(tmp_path_factory.mktemp("ordeal"), valkey) as running:
        yield running


@pytest.fixture(autouse=True)
def unharmed(found):
    """Whatever a test sends: the worker lives on, and nothing took more than it may."""
    yield
    assert list(found.faults()) == []


def sent(found, specimens, **options):
    """Codes by name; that each is one that a file may have is asserted on the way."""
    verdicts = found.run(specimens, **options)
    assert [fault for verdict in verdicts for fault in verdict.faults()] == []
    return {verdict.name: verdict.code for verdict in verdicts}


@needs_testdata
def test_every_hostile_file_ends_with_a_code(found):
    codes = sent(found, hostile())
    assert len(codes) > 350
    assert {name: codes[name] for name in passwords()} == dict.fromkeys(passwords(), "succeeded")


@needs_testdata
def test_no_password_and_a_wrong_one_are_told_apart(found):
    locked = [Specimen(name, document(name)) for name in passwords()]
    assert sent(found, locked) == dict.fromkeys(passwords(), "password_required")
    wrong = [Specimen(one.name, one.path, WRONG) for one in locked]
    assert sent(found, wrong) == dict.fromkeys(passwords(), "password_incorrect")


def test_bombs_and_loops_harm_only_themselves(found, tmp_path):
    bombs = [bomb for bomb in BOMBS if bomb.name not in SLOW]
    codes = sent(found, [bomb.specimen(tmp_path) for bomb in bombs])
    assert [f"{bomb.name}: {codes[bomb.name]}" for bomb in bombs if codes[bomb.name] not in bomb.ends] == []


def test_a_file_may_end_anywhere(found, tmp_path):
    codes = sent(found, truncated(tmp_path, cuts=12))
    assert len(codes) > 8 * 12
    assert {code for name, code in codes.items() if name.startswith("cut-at-00000")} == {"empty_file"}
    for suffix in ("png", "jpg", "gif", "webp", "tif", "heic"):
        ends = {int(name[7:12]): code for name, code in codes.items() if name.endswith("." + suffix)}
        passed = [end for end, code in ends.items() if code == "succeeded"]
        assert all(end > max(ends) / 2 for end in passed), f"half a {suffix} passed for a whole one: {passed}"


@needs_testdata
def test_spoiled_documents_end_with_a_code(found, tmp_path):
    files = [specimen.path for specimen in public(most_bytes=100_000)]
    specimens = []
    for spoiled in mutants(seed=0, indices=range(SPOILED), files=files):
        path = tmp_path / spoiled.name
        path.write_bytes(spoiled.data)
        specimens.append(Specimen(spoiled.name, path))
    assert len(sent(found, specimens, pages=PAGES)) == SPOILED
