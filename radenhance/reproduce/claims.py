"""What the numbers say about where the paper failed, and the sentence to take home.

A claim names the difference that it excludes: the one that the paper reports, or MARGIN. Where the
seeds scatter more than that, the line says that nothing is shown, and what would show it.
"""

from collections.abc import Iterator

from radenhance.reproduce.baselines import RAW, TABLE, loss_of
from radenhance.reproduce.comparison import Comparison, Verdict
from radenhance.reproduce.paper import LOSSES, ORIGINAL, title_of
from radenhance.reproduce.results import Results
from radenhance.reproduce.tables import MARGIN, val_loss

MORE = "more seeds or more epochs are needed"
DIVERGES = "does not diverge as the paper's, which lost"
RUNS = "runs, as the paper's did not, and loses or gains less than"


def claims(results: Results) -> list[str]:
    """Return a line for each claim whose runs are done."""
    lines = [
        *(_beaten(results, baseline) for baseline in (RAW, TABLE)),
        _claim(results, "amp", _papers_loss("amp"), "loses less than the paper's"),
        _claim(results, "amp_chkp_mom", _papers_loss("amp_chkp_mom"), DIVERGES),
        _claim(results, "amp_quant", MARGIN, RUNS),
        _equals_single_device(results),
    ]
    return [line for line in lines if line]


def take_home(results: Results) -> str:
    """Return the sentence: the least memory at an unchanged loss, and its price."""
    compared = dict(_compared(results))
    if not compared:
        return "The original is not done yet, so there is nothing to compare with."
    verdicts = {recipe: made.verdict(MARGIN) for recipe, made in compared.items()}
    counted = _counted(list(verdicts.values()))
    kept = [name for name, verdict in verdicts.items() if verdict in (Verdict.KEPT, Verdict.BETTER)]
    if not kept:
        return f"No technique is shown to keep the original's validation loss. {counted}"
    size = results.study.memory_sizes[0]
    best = min(kept, key=lambda recipe: results.memory(recipe, size).total_mib)
    memory, original = results.memory(best, size), results.memory(ORIGINAL, size)
    return (
        f"{title_of(best)} takes {memory.total_mib / original.total_mib:.0%} of the original's "
        f"memory at {size} px ({memory.origin}), the least of those shown to keep its validation "
        f"loss: {compared[best]} against the original. {counted}"
    )


def _compared(results: Results) -> Iterator[tuple[str, Comparison]]:
    """Yield each technique whose runs are done, and its comparison with the original."""
    for recipe in results.compared:
        made = results.comparison(recipe, val_loss)
        if recipe != ORIGINAL and made is not None:
            yield recipe, made


def _counted(verdicts: list[Verdict]) -> str:
    kept = verdicts.count(Verdict.KEPT) + verdicts.count(Verdict.BETTER)
    worse, unknown = verdicts.count(Verdict.WORSE), verdicts.count(Verdict.NOT_SHOWN)
    text = f"Of {len(verdicts)} techniques {kept} kept it within {MARGIN:.0%}, {worse} did worse"
    return f"{text}, and of {unknown} it is not shown: {MORE}." if unknown else f"{text}."


def _papers_loss(recipe: str) -> float:
    """Return how much worse the paper's technique was, as a fraction of its original."""
    return LOSSES[recipe][1] / LOSSES[ORIGINAL][1] - 1


def _claim(results: Results, recipe: str, margin: float, holds: str) -> str | None:
    """Return what the seeds say of "`recipe` `holds` `margin`"."""
    compared = results.comparison(recipe, val_loss)
    if compared is None:
        return None
    name, claim = title_of(recipe), f"{holds} {margin:.1%}"
    match compared.verdict(margin):
        case Verdict.KEPT:
            return f"{name} {claim}: {compared} against the original."
        case Verdict.BETTER:
            return f"{name} is better than the original, and {claim}: {compared}."
        case Verdict.WORSE:
            return f"{name} is WORSE than the original: {compared}."
        case Verdict.NOT_SHOWN:
            return f"Not shown that {name} {claim}: {compared}; {MORE}."


def _beaten(results: Results, baseline: str) -> str | None:
    """Return how many networks beat the raw image, or the lookup table, and which do not."""
    made = {recipe: results.against(baseline, recipe) for recipe in results.compared}
    compared = {recipe: found for recipe, found in made.items() if found is not None}
    if not compared:
        return None
    name = f"the {baseline.lower()} (validation loss {loss_of(results.baselines[baseline]):.2f})"
    verdicts = {recipe: found.beats for recipe, found in compared.items()}
    better = [recipe for recipe, verdict in verdicts.items() if verdict is Verdict.BETTER]
    if len(better) == len(compared):
        least = max(compared, key=lambda recipe: (compared[recipe].interval or (0, 0))[1])
        return (
            f"All {len(compared)} networks beat {name}; least surely {title_of(least)}: "
            f"{compared[least]}."
        )
    text = f"{len(better)} of {len(compared)} networks are shown to beat {name}"
    unsure = [recipe for recipe, verdict in verdicts.items() if verdict is Verdict.NOT_SHOWN]
    lower = [recipe for recipe in unsure if max(compared[recipe].differences) < 0]
    if lower:
        text += f"; {len(lower)} are below it in each seed, and {MORE} to show that it is no chance"
    worse = [recipe for recipe, verdict in verdicts.items() if verdict is Verdict.WORSE]
    others = [recipe for recipe in unsure if recipe not in lower]
    for words, recipes in (("WORSE", worse), ("not shown", others)):
        those = [f"{title_of(recipe)} {compared[recipe]}" for recipe in recipes]
        text += f"; {words}: {', '.join(those)}" if those else ""
    return f"{text}."


def _equals_single_device(results: Results) -> str | None:
    ours, original = results.spread("dist", val_loss), results.spread(ORIGINAL, val_loss)
    compared = results.comparison("dist", val_loss)
    if compared is None or ours is None or original is None:
        return None
    difference = max(map(abs, compared.differences))
    verdict = (
        "equals a single device to the last digit"
        if difference == 0
        else f"differs from a single device by up to {difference:.2%}"
    )
    seeds = f"{len(compared.differences)} seed{'s' if len(compared.differences) > 1 else ''}"
    return (
        f"Dist, with the learning-rate schedule, {verdict} in {seeds}: validation loss "
        f"{ours.mean:.4f} and {original.mean:.4f}; the paper had no schedule."
    )
