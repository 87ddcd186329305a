"""Everything a report says, gathered from logs and plans."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from radenhance.reproduce.logs import Figures, read_figures
from radenhance.reproduce.paper import ORIGINAL
from radenhance.reproduce.plans import Planned, planned
from radenhance.reproduce.study import FAILED, Run, Study

Origin = Literal["measured", "planned"]


@dataclass(frozen=True)
class Spread:
    """A figure of several seeds."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return statistics.mean(self.values)

    @property
    def width(self) -> float:
        """Largest minus smallest."""
        return max(self.values) - min(self.values)


@dataclass(frozen=True)
class Memory:
    """Of one recipe at one size, in MiB."""

    forward_mib: float
    backward_mib: float
    origin: Origin

    @property
    def total_mib(self) -> float:
        """As the paper sums it."""
        return self.forward_mib + self.backward_mib


class Results:
    """What the finished runs of a study logged.

    Args:
        study: Its runs may be done in part.
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        self.figures: dict[tuple[str, int], list[Figures]] = {}
        self.runs: dict[tuple[str, int], list[Run]] = {}
        self.failures: dict[tuple[str, int], str] = {}
        for run in study.runs:
            key = run.recipe, run.size
            if run.is_finished:
                self.figures.setdefault(key, []).append(read_figures(run.folder))
                self.runs.setdefault(key, []).append(run)
            elif (run.folder / FAILED).exists():
                self.failures[key] = (run.folder / FAILED).read_text(encoding="utf-8")

    def spread(
        self, recipe: str, of: Callable[[Figures], float], size: int | None = None
    ) -> Spread | None:
        """Return a figure of a recipe's runs, of the study's first size if none is given."""
        found = self.figures.get((recipe, size or self.study.sizes[0]))
        return Spread(tuple(of(figures) for figures in found)) if found else None

    def memory(self, recipe: str, size: int) -> Memory:
        """Return what a GPU measured in the runs, or else the plan."""
        measured = [
            (figures.forward_mib, figures.backward_mib)
            for figures in self.figures.get((recipe, size), [])
            if figures.forward_mib is not None and figures.backward_mib is not None
        ]
        if measured:
            forward, backward = (statistics.mean(column) for column in zip(*measured, strict=True))
            return Memory(forward, backward, "measured")
        plan = self.plan(recipe, size)
        return Memory(plan.forward_mib, plan.backward_mib, "planned")

    def plan(self, recipe: str, size: int) -> Planned:
        """Return the plan of a recipe with the network that its runs have at that size."""
        encoder = self.study.encoder if size in self.study.sizes else None
        return planned(self.study.out, recipe, size, encoder)

    def allowed(self, of: Callable[[Figures], float]) -> float | None:
        """Return the loss that counts as no worse than the original.

        2 % above its mean, or the spread of its seeds above it, whichever is more.
        """
        original = self.spread(ORIGINAL, of)
        if original is None:
            return None
        return original.mean + max(0.02 * original.mean, original.width)
