"""The memory that each phase of one training step takes, from readings at the phases' borders.

    forward    highest in the forward phase   - level before the step
    backward   highest in the backward phase  - level at the end of forward, not below 0
    optimizer  highest in the optimizer phase - level at the end of backward, not below 0
    peak       highest of the whole step, absolute

A step is what lies between two updates of the weights: with accumulated gradients it has several
forward and backward phases, and the highest of each counts.
"""

from collections.abc import Collection

from radenhance import metric_names
from radenhance.callbacks.gauges import Levels, Readings

Figures = dict[tuple[str, str], int]
"""(phase or peak, source) -> bytes."""


class StepPhases:
    """Collects the readings of one step.

    Args:
        before: The readings at its beginning.
        peaks_only: Sources whose levels mean nothing in this step.
    """

    def __init__(self, before: Readings, *, peaks_only: Collection[str] = ()) -> None:
        self.figures: Figures = {}
        self._before = {
            source: reading.level for source, reading in before.items() if source not in peaks_only
        }
        self._base = self._now = dict(self._before)
        self._phase = metric_names.FORWARD

    def add(self, phase: str, readings: Readings) -> None:
        """Count a part of `phase` that ended with these readings."""
        if phase != self._phase:
            self._phase = phase
            self._base = self._before if phase == metric_names.FORWARD else self._now
        for source, reading in readings.items():
            raise_to(self.figures, (metric_names.PEAK, source), reading.highest)
            if source in self._base:
                taken = max(reading.highest - self._base[source], 0)
                raise_to(self.figures, (phase, source), taken)
        self._now = {
            source: reading.level for source, reading in readings.items() if source in self._before
        }

    def add_peak(self, highest: Levels) -> None:
        """Count what was in use at some time of the step."""
        for source, level in highest.items():
            raise_to(self.figures, (metric_names.PEAK, source), level)


def raise_to(figures: Figures, key: tuple[str, str], value: int) -> None:
    """Keep the higher of two figures."""
    figures[key] = max(figures.get(key, 0), value)
