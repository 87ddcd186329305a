"""The pairs of a dataset as a picture, those with problems first."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from radenhance.contact_sheet import Row, write_contact_sheet
from radenhance.dataset.description import Declarations, load_declarations
from radenhance.dataset.normalize import intensity_range, normalize
from radenhance.dicom.read import read
from radenhance.errors import RadiographError
from radenhance.prepare.check.alignment import Image, detail_of
from radenhance.prepare.check.examination import Examination

NUM_ROWS = 12
ENLARGED = 120
"""Side in pixels of the part whose differences are shown."""

_NOTHING = np.zeros((8, 8), np.float32)


def write_check_sheet(path: Path, root: Path, examinations: Sequence[Examination]) -> None:
    """Write a PNG of up to 12 pairs: raw in its window | target | difference of their detail.

    Args:
        path: Of the PNG.
        root: The dataset folder.
        examinations: Of its pairs.
    """
    used = [e for e in examinations if e.pair.accept]
    used.sort(key=lambda e: 0 if e.faults else 1 if e.warnings else 2)
    rules = load_declarations(root)
    write_contact_sheet(path, [_row(root, rules, e) for e in used[:NUM_ROWS]])


def difference(raw: Image, target: Image) -> Image:
    """Return the difference of local detail where there is most, in [0, 1], grey where none is.

    Where both show the same edges it is flat; a target that is shifted looks embossed, one that is
    inverted shows every edge double.
    """
    details = [
        detail_of(np.asarray(cv2.GaussianBlur(image, (0, 0), 1), np.float32))
        for image in (raw, target)
    ]
    part = tuple(min(ENLARGED, side) for side in raw.shape)
    # where both have detail: noise beside a blackened border is none
    both = np.abs(details[0] * details[1])
    busy = cv2.boxFilter(both, -1, part[::-1], borderType=cv2.BORDER_CONSTANT)
    middle = np.unravel_index(np.argmax(busy), busy.shape)
    area = tuple(
        slice(first := min(max(int(m) - n // 2, 0), side - n), first + n)
        for m, n, side in zip(middle, part, raw.shape, strict=True)
    )
    one, other = (detail[area] / (float(detail[area].std()) or 1.0) for detail in details)
    return np.asarray(0.5 + (one - other) / 8, np.float32)


def _row(root: Path, rules: Declarations, e: Examination) -> Row:
    problems = [*e.faults, *e.warnings]
    title = f"{e.pair.case_id} ({e.pair.split}): {problems[0] if problems else 'ok'}"
    raw = target = compared = _NOTHING
    try:
        radiograph = read(root / e.pair.raw_path, declaration=rules.raw)
        unit = normalize(radiograph)
        low, high = intensity_range(radiograph, unit)
        raw = (unit - np.float32(low)) / np.float32(high - low)
        path = root / e.pair.target_path
        target = normalize(read(path, declaration=rules.target, for_presentation=True))
    except RadiographError:
        assert e.faults  # the title tells
    if raw.shape == target.shape and raw is not _NOTHING:
        compared = difference(raw, target)
    return Row(
        title=title,
        images=[raw, target, compared],
        captions=["raw in its window", "target", "difference of detail, enlarged"],
    )
