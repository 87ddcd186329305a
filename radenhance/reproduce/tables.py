"""Tables I to V, ours beside the paper's, and what the seeds show of each technique.

Absolute figures depend on the images, the machine and the version; ratios to the original, ours and
the paper's, are what can be compared. A loss stands beside the range of its seeds.
"""

from collections.abc import Callable
from dataclasses import dataclass

from radenhance import metric_names
from radenhance.reproduce.baselines import RAW, TABLE, loss_of
from radenhance.reproduce.comparison import Comparison, Verdict
from radenhance.reproduce.logs import Figures
from radenhance.reproduce.paper import (
    COST_TABLES,
    COSTS,
    FOR_USE,
    LOSS_TABLES,
    LOSSES,
    ORIGINAL,
    Cost,
    title_of,
)
from radenhance.reproduce.results import Memory, Results, Spread

NOTHING = "-"
MARGIN = 0.02
"""Fraction of the original's validation loss by which a loss that is kept may differ."""
PHASES = ("forward", "backward", "total")


@dataclass(frozen=True)
class Table:
    """A table of text.

    Args:
        name: File name without suffix, such as table_III_cost_512px.
        title: Heading that says what the table shows.
        columns: Headings of the columns.
        rows: Rows of as many cells as there are columns.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def train_loss(figures: Figures) -> float:
    """Return the training loss."""
    return figures.train_loss


def val_loss(figures: Figures) -> float:
    """Return the validation loss."""
    return figures.val_loss


def tables(results: Results) -> list[Table]:
    """Return all tables that have a technique beside the original, I to V and then two of ours."""
    study = results.study
    sizes = list(dict.fromkeys((*study.sizes, *study.memory_sizes)))
    made = []
    for number in ("I", "II", "III", "IV", "V"):
        if number in LOSS_TABLES:
            made.append(_loss_table(results, number))
        else:
            made += [_cost_table(results, number, size) for size in sizes]
    made += [_verdict_table(results), _use_table(results)]
    return [table for table in made if len(table.rows) > 1]


def _loss_table(results: Results, number: str) -> Table:
    study = results.study
    kinds = ("training", "validation")
    columns = ["recipe"]
    for kind in kinds:
        columns += [f"{kind}, ours", "seeds", "paper", "ours / original", "paper's / original"]
    rows = []
    for recipe in (name for name in LOSS_TABLES[number] if name in study.recipes):
        cells = [title_of(recipe)]
        for i, of in enumerate((train_loss, val_loss)):
            cells += _loss_cells(results, recipe, of, i)
        rows.append(tuple(cells))
    if len(rows) > 1:
        rows += _baseline_rows(results)
    title = (
        f"Table {number}. Losses at {study.sizes[0]} px after {study.epochs} epochs "
        f"(the paper: 512 px, 50 epochs)"
    )
    return Table(f"table_{number}_losses", title, tuple(columns), tuple(rows))


def _baseline_rows(results: Results) -> list[tuple[str, ...]]:
    """Return the validation losses of raw images and of a lookup table, which train nothing."""
    original = _mean(results.spread(ORIGINAL, val_loss))
    rows = []
    for name, measures in results.baselines.items():
        loss = loss_of(measures)
        ratio = _number(_ratio(loss, original), 3)
        rows.append((name, *[NOTHING] * 5, _number(loss, 4), NOTHING, NOTHING, ratio, NOTHING))
    return rows


def _loss_cells(
    results: Results, recipe: str, of: Callable[[Figures], float], column: int
) -> list[str]:
    paper = LOSSES.get(recipe)
    theirs = paper[column] if paper else None
    against = theirs / LOSSES[ORIGINAL][column] if theirs is not None else None
    ours, original = results.spread(recipe, of), results.spread(ORIGINAL, of)
    ratio = _ratio(_mean(ours), _mean(original))
    failed = results.failures.get((recipe, results.study.sizes[0]))
    shown = "failed" if failed else _number(_mean(ours), 4)
    return [shown, _seeds(ours), _number(theirs, 4), _number(ratio, 3), _number(against, 3)]


def _verdict_table(results: Results) -> Table:
    rows = []
    for recipe in results.compared:
        compared = results.comparison(recipe, val_loss)
        if compared is not None:
            each = ", ".join(f"{difference:+.1%}" for difference in compared.differences)
            interval = compared.interval
            shown = f"{interval[0]:+.1%} to {interval[1]:+.1%}" if interval else NOTHING
            verdict = NOTHING if recipe == ORIGINAL else compared.verdict(MARGIN).value
            beats = [_beats(results.against(name, recipe)) for name in (RAW, TABLE)]
            rows.append((title_of(recipe), each, f"{compared.mean:+.1%}", shown, verdict, *beats))
    study = results.study
    title = (
        f"Validation losses at {study.sizes[0]} px after {study.epochs} epochs, against the "
        f"original's of the same seed"
    )
    beats = [f"beats the {name.lower()}?" for name in (RAW, TABLE)]
    columns = ("recipe", "by seed", "mean", "95% interval", f"within {MARGIN:.0%}?", *beats)
    return Table("losses_by_seed", title, columns, tuple(rows))


def _beats(compared: Comparison | None) -> str:
    """Return whether a network beats a baseline, and by how much the interval says."""
    if compared is None or compared.interval is None:
        return NOTHING
    words = {Verdict.BETTER: "yes", Verdict.WORSE: "WORSE"}
    low, high = compared.interval
    return f"{words.get(compared.beats, 'not shown')}: {low:+.1%} to {high:+.1%}"


def _use_table(results: Results) -> Table:
    """Return the recipes for use beside the paper's network, in measures that both have."""
    study = results.study
    of_use = [recipe for recipe in FOR_USE if results.spread(recipe, val_loss)]
    measures = {metric_names.MS_SSIM: 4, metric_names.PSNR: 1, metric_names.MAE: 4}
    rows = [
        (name, *(_number(found[measure], digits) for measure, digits in measures.items()))
        for name, found in results.baselines.items()
    ]
    for recipe in (ORIGINAL, *of_use) if of_use else ():
        spreads = (results.spread(recipe, _measure(measure)) for measure in measures)
        cells = map(_spread, spreads, measures.values())
        rows.append((title_of(recipe), *cells))
    title = (
        f"Recipes for use beside the paper's network, and what needs no network: validation at "
        f"{study.sizes[0]} px after {study.epochs} epochs"
    )
    columns = ("", "MS-SSIM", "PSNR, dB", "mean absolute error")
    return Table("recipes_for_use", title, columns, tuple(rows) if of_use else ())


def _measure(name: str) -> Callable[[Figures], float]:
    return lambda figures: figures.measures[name]


def _spread(spread: Spread | None, digits: int) -> str:
    if spread is None:
        return NOTHING
    seeds = f" ({_seeds(spread, digits)})" if len(spread.values) > 1 else ""
    return f"{spread.mean:.{digits}f}{seeds}"


def _cost_table(results: Results, number: str, size: int) -> Table:
    study = results.study
    rows = []
    for recipe in (name for name in COST_TABLES[number] if name in study.recipes):
        rows += _cost_rows(results, recipe, size)
    where = ", mean of both GPUs where there are two" if number == "V" else ""
    theirs = "" if size == 512 else "; the paper has 512 px only"
    title = f"Table {number}. Memory in MiB and seconds per epoch at {size} px{where}{theirs}"
    columns = (
        "recipe", "", "ours", "seeds", "from", "paper", "ours / original", "paper's / original"
    )  # fmt: skip
    return Table(f"table_{number}_cost_{size}px", title, columns, tuple(rows))


def _cost_rows(results: Results, recipe: str, size: int) -> list[tuple[str, ...]]:
    ours, base = results.memory(recipe, size), results.memory(ORIGINAL, size)
    paper, original = (COSTS.get(name) if size == 512 else None for name in (recipe, ORIGINAL))
    rows = []
    for phase in PHASES:
        pairs = (_of_phase(ours, phase), _of_phase(base, phase))
        theirs = (_of_phase(paper, phase), _of_phase(original, phase))
        rows.append(_cost_row(recipe, phase, pairs, NOTHING, ours.origin, theirs, digits=0))
    seconds, base_seconds = (
        results.spread(name, lambda figures: figures.epoch_s, size) for name in (recipe, ORIGINAL)
    )
    if seconds or paper:
        pairs = (_mean(seconds), _mean(base_seconds))
        theirs = (_seconds(paper), _seconds(original))
        origin = "measured" if seconds else NOTHING
        seeds = _seeds(seconds, 1)
        rows.append(_cost_row(recipe, "s / epoch", pairs, seeds, origin, theirs, digits=1))
    return rows


Pair = tuple[float | None, float | None]
"""A recipe's figure and the original's."""


def _cost_row(
    recipe: str, what: str, ours: Pair, seeds: str, origin: str, theirs: Pair, *, digits: int
) -> tuple[str, ...]:
    return (
        title_of(recipe),
        what,
        _number(ours[0], digits),
        seeds,
        origin,
        _number(theirs[0], digits),
        _number(_ratio(*ours), 3),
        _number(_ratio(*theirs), 3),
    )


def _of_phase(memory: Memory | Cost | None, phase: str) -> float | None:
    if memory is None:
        return None
    forward, backward = memory.forward_mib, memory.backward_mib
    return {"forward": forward, "backward": backward, "total": forward + backward}[phase]


def _seconds(cost: Cost | None) -> float | None:
    return None if cost is None else cost.epoch_s


def _mean(spread: Spread | None) -> float | None:
    return None if spread is None else spread.mean


def _ratio(value: float | None, whole: float | None) -> float | None:
    return value / whole if value is not None and whole else None


def _seeds(spread: Spread | None, digits: int = 4) -> str:
    if spread is None or len(spread.values) < 2:
        return NOTHING
    return f"{min(spread.values):.{digits}f} to {max(spread.values):.{digits}f}"


def _number(value: float | None, digits: int) -> str:
    return NOTHING if value is None else f"{value:.{digits}f}"
