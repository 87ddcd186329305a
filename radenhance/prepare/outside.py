"""What the targets of a dataset are outside the exposed field, as `prepare` and `check` find it.

A network that has to make black what the collimator left open draws frames there, so training wants
to know whether targets are black. Both commands look at every pair, and say where what they find
is not what `dataset.yaml` says, and in how many images they find no field.
"""

from collections import Counter
from collections.abc import Iterable

from radenhance.arrays import Image, Points
from radenhance.dataset.description import DESCRIPTION
from radenhance.dataset.field import FieldWeights
from radenhance.dataset.outside_field import OutsideField, common_rule, is_black_outside

BLACK, KEEP, NONE = "black", "keep", "none"
"""What one pair is: its target black outside the field, or not, or no field was found."""

_VERDICTS = {BLACK: True, KEEP: False}


def outside_of(field: Points, target: Image) -> str:
    """Return what a target is outside the field of its raw image: black, keep, or none.

    Args:
        field: Corners of the exposed field of the raw image, as `exposed_field` returns them.
        target: The target as shown, in [0, 1], of the raw image's size.
    """
    verdict = is_black_outside(FieldWeights(field, target.shape, target.shape), target)
    return NONE if verdict is None else BLACK if verdict else KEEP


def rule_of(found: Iterable[str]) -> OutsideField | None:
    """Return what holds for a dataset; None where it cannot be told.

    Args:
        found: What `outside_of` says of each pair; what it does not say counts for nothing.
    """
    return common_rule(_VERDICTS.get(one) for one in found)


def remarks(found: Iterable[str], declared: OutsideField | None) -> list[str]:
    """Return lines that tell what was found, and what to do if something else is declared.

    Args:
        found: What `outside_of` says of each pair.
        declared: What `dataset.yaml` says; None if it says nothing.
    """
    counts = Counter(found)
    rule = rule_of(counts.elements())
    if rule is None:
        return []
    fields = counts[BLACK] + counts[KEEP]
    told = f"targets are black outside the exposed field in {counts[BLACK]} of {fields} images"
    lines = [told]
    if counts[NONE]:
        effect = ", which stay as they are" if (declared or rule) == BLACK else ""
        lines[0] += f"; no field was found in {counts[NONE]}{effect}"
    if declared not in (None, rule):
        lines.append(
            f"warning {DESCRIPTION} says outside_field: {declared}, but {told}; set it to {rule} "
            f"there, unless {declared} is meant"
        )
    return lines
