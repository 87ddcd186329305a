"""What the numbers say about where the paper failed, and the sentence to take home."""

from radenhance.reproduce.paper import ORIGINAL, title_of
from radenhance.reproduce.results import Results
from radenhance.reproduce.tables import val_loss


def claims(results: Results) -> list[str]:
    """Return a line for each claim whose runs are done."""
    lines = [
        _no_worse(results, "amp", "the paper's lost 4 % of validation loss to it"),
        _no_worse(results, "amp_chkp_mom", "the paper's diverged, to 17.25"),
        _no_worse(results, "amp_quant", "the paper's did not run"),
        _equals_single_device(results),
    ]
    return [line for line in lines if line]


def take_home(results: Results) -> str:
    """Return the sentence: the least memory without a worse loss, and its price."""
    allowed = results.allowed(val_loss)
    size = results.study.memory_sizes[0]
    if allowed is None:
        return "The original is not done yet, so there is nothing to compare with."
    original = results.memory(ORIGINAL, size).total_mib
    kept = {}
    for recipe in results.study.recipes:
        loss = results.spread(recipe, val_loss)
        if recipe != ORIGINAL and loss and loss.mean <= allowed:
            kept[recipe] = results.memory(recipe, size)
    if not kept:
        return "No technique kept the original's validation loss in these runs."
    best = min(kept, key=lambda recipe: kept[recipe].total_mib)
    loss, base = results.spread(best, val_loss), results.spread(ORIGINAL, val_loss)
    assert loss is not None
    assert base is not None
    return (
        f"{title_of(best)} takes {kept[best].total_mib / original:.0%} of the original's memory at "
        f"{size} px ({kept[best].origin}), the least of those that kept its validation loss: "
        f"{loss.mean:.3f} against {base.mean:.3f}. {len(kept)} of "
        f"{len(results.study.recipes) - 1} techniques kept it."
    )


def _no_worse(results: Results, recipe: str, theirs: str) -> str | None:
    ours, allowed = results.spread(recipe, val_loss), results.allowed(val_loss)
    original = results.spread(ORIGINAL, val_loss)
    if ours is None or allowed is None or original is None:
        return None
    verdict = "no worse than" if ours.mean <= allowed else "WORSE than"
    return (
        f"{title_of(recipe)} is {verdict} the original: validation loss {ours.mean:.3f} against "
        f"{original.mean:.3f}, {allowed:.3f} allowed; {theirs}."
    )


def _equals_single_device(results: Results) -> str | None:
    ours, original = results.spread("dist", val_loss), results.spread(ORIGINAL, val_loss)
    if ours is None or original is None or len(ours.values) != len(original.values):
        return None
    pairs = zip(ours.values, original.values, strict=True)
    difference = max(abs(a - b) / b for a, b in pairs)
    verdict = (
        "equals a single device to the last digit"
        if difference == 0
        else f"differs from a single device by {difference:.2%} at most"
    )
    return (
        f"Dist, with the learning-rate schedule, {verdict}: validation loss {ours.mean:.4f} and "
        f"{original.mean:.4f}; the paper had no schedule."
    )
