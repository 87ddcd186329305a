"""How long a fit will take, by the epochs that it has had."""

from types import SimpleNamespace

import pytest

from radenhance.callbacks.epoch_lines import TimeLeft


def left_after(seconds, monkeypatch, *, epoch, max_epochs=-1, max_steps=-1):
    clock = iter([time for end in seconds for time in (0.0, end)])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    left = TimeLeft()
    for _ in seconds:
        left.epoch_begins()
        left.epoch_ends()
    steps = {"max_steps": max_steps, "global_step": 10 * (epoch + 1)}
    trainer = SimpleNamespace(current_epoch=epoch, max_epochs=max_epochs, **steps)
    return left.seconds(trainer)


@pytest.mark.parametrize(
    ("seconds", "settings", "expected"),
    [
        ([10], {"epoch": 0, "max_epochs": 5}, 40),
        ([90, 10, 12], {"epoch": 2, "max_epochs": 5}, 22),  # the first decoded the files
        ([10, 10], {"epoch": 40, "max_epochs": 50}, 90),  # resumed: the rest alone
        ([10], {"epoch": 1, "max_steps": 25}, 5),
        ([10], {"epoch": 1, "max_epochs": 3, "max_steps": 1000}, 10),
        ([10], {"epoch": 4, "max_epochs": 5}, 0),
        ([10], {"epoch": 4}, None),
    ],
)
def test_the_epochs_that_are_left_take_as_long_as_those_before(
    seconds, settings, expected, monkeypatch
):
    assert left_after(seconds, monkeypatch, **settings) == expected


def test_the_rest_of_an_epoch_that_a_fit_resumed_within_takes_as_long_as_that(monkeypatch):
    clock = iter([100.0, 107.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    left = TimeLeft()
    left.fit_begins()
    assert left.epoch_ends() == 7
    trainer = SimpleNamespace(current_epoch=0, max_epochs=5, max_steps=-1)
    assert left.seconds(trainer) is None  # how long a whole one takes is not known
