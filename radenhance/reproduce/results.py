"""Everything a report says, gathered from logs and plans.

A study may be done in part, and is reported as it stands: a recipe that has not run has no figures,
one that failed has the last line of its log, and memory that no GPU measured is planned.
"""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from radenhance.reproduce.baselines import Measures, baselines, loss_of
from radenhance.reproduce.comparison import Comparison
from radenhance.reproduce.logs import Figures, read_figures
from radenhance.reproduce.paper import FOR_USE, ORIGINAL
from radenhance.reproduce.plans import Planned, planned
from radenhance.reproduce.study import FAILED, Run, Study

Origin = Literal["measured", "planned"]


@dataclass(frozen=True)
class Spread:
    """One figure over the seeds of a recipe.

    Args:
        by_seed: Seed -> the figure.
    """

    by_seed: Mapping[int, float]

    @property
    def values(self) -> tuple[float, ...]:
        """The figure of each seed."""
        return tuple(self.by_seed.values())

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return statistics.mean(self.values)


@dataclass(frozen=True)
class Memory:
    """Memory of a recipe's training step at one size.

    Args:
        forward_mib: Rise in the forward phase, in MiB.
        backward_mib: Rise in the backward phase, in MiB.
        origin: Whether a GPU measured it or the planner computed it.
    """

    forward_mib: float
    backward_mib: float
    origin: Origin

    @property
    def total_mib(self) -> float:
        """Sum of both phases, as the paper gives it."""
        return self.forward_mib + self.backward_mib


class Results:
    """What the finished runs of a study logged.

    Args:
        study: Study whose runs may be done in part.
    """

    def __init__(self, study: Study) -> None:
        """Read what the runs have left in their folders."""
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
        """Return a figure of a recipe's runs, or None if none is finished.

        Args:
            recipe: Name without .yaml.
            of: Function that picks the figure.
            size: Image size in pixels; by default the study's first.
        """
        key = recipe, size or self.study.sizes[0]
        pairs = zip(self.runs.get(key, ()), self.figures.get(key, ()), strict=True)
        by_seed = {run.seed: of(figures) for run, figures in pairs}
        return Spread(by_seed) if by_seed else None

    def comparison(self, recipe: str, of: Callable[[Figures], float]) -> Comparison | None:
        """Return a recipe's figure against the original's over the seeds that both finished."""
        ours, original = self.spread(recipe, of), self.spread(ORIGINAL, of)
        if ours is None or original is None:
            return None
        return Comparison.of(ours.by_seed, original.by_seed)

    @property
    def compared(self) -> list[str]:
        """Recipes that train with the paper's loss, unlike those for use."""
        return [recipe for recipe in self.study.recipes if recipe not in FOR_USE]

    @cached_property
    def baselines(self) -> Mapping[str, Measures]:
        """What raw images and a lookup table reach on validation; empty before any run is done."""
        return baselines(self.study, self.study.sizes[0]) if self.figures else {}

    def against(self, baseline: str, recipe: str) -> Comparison | None:
        """Return a recipe's validation loss against that of a baseline, which has no seeds."""
        ours = self.spread(recipe, lambda figures: figures.val_loss)
        if ours is None or baseline not in self.baselines:
            return None
        loss = loss_of(self.baselines[baseline])
        return Comparison.of(ours.by_seed, dict.fromkeys(ours.by_seed, loss))

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
