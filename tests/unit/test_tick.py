"""How often the tick does what it does."""

from workers.tick import _Every


def test_what_takes_long_rests_for_longer_than_its_period():
    fold = _Every(1.0)
    assert fold.due(100.0)
    fold.rest = 4.0
    assert [second for second in range(101, 110) if fold.due(float(second))] == [104, 108]


def test_what_is_quick_keeps_its_period():
    fold = _Every(1.0)
    assert fold.due(100.0)
    fold.rest = 0.05
    assert [second for second in range(101, 104) if fold.due(float(second))] == [101, 102, 103]


def test_to_ask_whether_something_is_due_does_not_do_it():
    fold = _Every(1.0)
    assert fold.waits(100.0)
    assert fold.due(100.0)
    assert [fold.waits(second) for second in (100.5, 101.0)] == [False, True]
