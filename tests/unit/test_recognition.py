"""From a recogniser's probabilities to text. The session answers what it is given; tests/ocr has real ones."""

from types import SimpleNamespace

import numpy as np
import pytest

from workers.engines.rapidocr.recognition import LEAST_WIDTH, LINE_HEIGHT, LINE_RATIO, Recognizer

CLASSES = ("", "a", "b", "ל", "ש", "1", "2", " ")
NONE = 0


class Session:
    def __init__(self, steps):
        self.steps, self.widths = steps, []

    def get_inputs(self):
        return [SimpleNamespace(name="x")]

    def run(self, outputs, inputs):
        assert outputs is None
        assert inputs["x"].shape[:3] == (1, 3, LINE_HEIGHT)
        self.widths.append(inputs["x"].shape[3])
        probabilities = np.full((1, len(self.steps), len(CLASSES)), 0.01, np.float32)
        for step, (index, probability) in enumerate(self.steps):
            probabilities[0, step, index] = probability
        return [probabilities]


def read(*steps, width=200, height=40):
    session = Session([step if isinstance(step, tuple) else (step, 0.9) for step in steps])
    quad = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    (line,) = Recognizer(session, CLASSES).read(np.zeros((1000, 1000, 3), np.uint8), quad[None])
    return line, session.widths[0]


def index(character):
    return CLASSES.index(character)


def test_a_character_that_stays_is_one_and_one_that_comes_again_is_two():
    a, b = index("a"), index("b")
    assert read(NONE, a, a, NONE, a, b, b, NONE)[0].text == "aab"


def test_the_score_is_the_mean_of_the_characters_where_they_begin():
    line, _ = read((index("a"), 0.8), (index("a"), 0.2), (NONE, 0.99), (index("b"), 0.6))
    assert line.score == pytest.approx(0.7)


def test_no_character_is_no_text_and_no_score():
    assert read(NONE, NONE)[0][1:3] == ("", 0.0)


def test_lines_that_are_read_from_the_right_come_in_reading_order():
    """Seen from left to right: 12 in Latin digits, then the word that is read first, its last letter foremost."""
    one, two, space, lamed, shin = map(index, "12 לש")
    assert read(one, two, space, lamed, shin)[0].text == "של 12"


def test_short_lines_get_a_little_paper_and_long_ones_are_squeezed():
    assert read(NONE, width=40, height=40)[1] == LEAST_WIDTH
    assert read(NONE, width=200, height=48)[1] == 232
    assert read(NONE, width=310, height=48)[1] == 320
    assert read(NONE, width=960, height=48)[1] == 960
    assert read(NONE, width=990, height=2)[1] == LINE_RATIO * LINE_HEIGHT


def test_a_line_on_its_side_is_laid_down():
    assert read(NONE, width=48, height=960)[1] == 960
