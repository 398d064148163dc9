"""Lines of a reading in the truth's order: what the column "CER, sorted" of docs/quality.md rests on."""

from jobs.scoring.score import text_score
from tests.bench.quality.regrouping import regrouped

ONE, TWO, THREE = "rivers and bridges", "mountains, glaciers", "a hut with four beds"
TRUTH = f"{ONE}\n{TWO}\n{THREE}\n"


def test_lines_find_their_places():
    read = f"{THREE}\n{ONE}\n{TWO}"
    assert text_score(TRUTH, read).cer > 0.5
    assert regrouped(TRUTH, read) == f"{ONE}\n{TWO}\n{THREE}"


def test_errors_stay():
    read = f"{THREE.replace('beds', 'beads')}\n{ONE}\n{TWO}"
    assert text_score(TRUTH, regrouped(TRUTH, read)).edits == 1


def test_a_line_the_truth_does_not_know_stays_behind_the_one_before():
    assert regrouped(TRUTH, f"{TWO}\nnobody wrote this\n{ONE}") == f"{ONE}\n{TWO}\nnobody wrote this"


def test_what_stands_twice_in_the_truth_is_no_place():
    assert regrouped(f"{ONE}\n{TWO}\n{ONE}", f"{TWO}\n{ONE}") == f"{TWO}\n{ONE}"
