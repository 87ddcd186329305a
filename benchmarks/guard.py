"""Claim: the guard finds strong details that an output invents, and erased ones less often.

    python benchmarks/guard.py
    python benchmarks/guard.py OUT --full

The network of quickstart.yaml enhances phantoms at the size of their files; thresholds come from
one set of them, all figures from another. Discs, lines and fissures (dark lines) are planted into
outputs at random places of the anatomy (invented), or planted into the source, enhanced, and filled
in smoothly in the output (erased). Contrast is in the output, where 1 is the whole scale from black
to white. CNR is what a detail adds to the difference of a middle and its surroundings at its size,
over the standard deviation of that difference within 6 mm in the untouched output, noise and
anatomy together; a detail is visible from 5 on (Rose). False boxes are those on outputs that nobody
touched. The first command trains on few images and shows only that it
runs, in about a minute; the second takes about ten minutes on two cores.
"""

import argparse
import itertools
import tempfile
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import harness
import numpy as np

from radenhance.arrays import Image, Mask
from radenhance.dataset.manifest import read_manifest, write_manifest
from radenhance.inference.guard.bands import Box
from radenhance.inference.guard.calibrate import Judged, calibrate, validation_images
from radenhance.inference.guard.guard import Calibration, Guard
from radenhance.inference.model import open_enhancer
from radenhance.prepare.synthesize import synthesize

SIZES_MM = (1, 2, 3)
CONTRASTS = (0.03, 0.06, 0.12, 0.24)
SHAPES = ("disc", "line", "fissure")
LINE_MM = 10.0
"""Length of a line; its width is the size."""
APART_MM = 20.0
"""Least distance between planted details."""
AROUND_MM = 6.0
"""Standard deviation of the window in which a detail is compared with what else is there."""
CNRS = (0, 5, 10, 20, 40, np.inf)
"""Bounds of classes; from 5 on a detail is visible."""
BRIGHTEST = 0.1
"""Output from which on a place is anatomy and not air."""

Place = tuple[int, int]


def detail(image: Judged, place: Place, size_mm: float, shape: str, angle: float) -> Image:
    """Return a detail of height 1, softened by a pixel; a fissure has height -1."""
    y, x = np.ogrid[: image.enhanced.shape[0], : image.enhanced.shape[1]]
    y, x = y - place[0], x - place[1]
    width, length = (mm / image.spacing_mm / 2 for mm in (size_mm, LINE_MM))
    if shape == "disc":
        return np.asarray((width - np.hypot(y, x) + 0.5).clip(0, 1), np.float32)
    along = np.abs(np.cos(angle) * x + np.sin(angle) * y)
    across = np.abs(np.cos(angle) * y - np.sin(angle) * x)
    line = np.minimum(width - across + 0.5, length - along + 0.5).clip(0, 1)
    return np.asarray(-line if shape == "fissure" else line, np.float32)


def places(image: Judged, num: int, random: np.random.Generator) -> list[Place]:
    """Return random places in the anatomy, apart from each other and from the field's border."""
    margin = round(6 / image.spacing_mm)
    inside = np.ones(image.enhanced.shape, bool) if image.inside is None else image.inside
    free = cv2.copyMakeBorder(inside.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    free = cv2.erode(free, np.ones((2 * margin + 1,) * 2, np.uint8))[1:-1, 1:-1]
    free &= ((image.enhanced > BRIGHTEST) & (image.enhanced < 0.95)).astype(np.uint8)
    found: list[Place] = []
    while len(found) < num and free.any():
        y, x = random.choice(np.argwhere(free)).tolist()
        found.append((y, x))
        cv2.circle(free, (x, y), round(APART_MM / image.spacing_mm), 0, -1)
    return found


def filled(image: Image, mask: Mask, sigma: float) -> Image:
    """Return an image with a part of it filled in from around, smoothly."""
    outside = (~mask).astype(np.float32)
    known, weight = (cv2.GaussianBlur(x, (0, 0), sigma) for x in (image * outside, outside))
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.7)
    return np.asarray(image + soft * (known / np.maximum(weight, 1e-3) - image), np.float32)


def ratio(image: Judged, place: Place, size_mm: float, contrast: float) -> float:
    """Return the CNR of a disc of a diameter, before it is planted."""

    def difference(of: Image) -> Image:
        fine, broad = (
            cv2.GaussianBlur(of, (0, 0), size_mm / image.spacing_mm / by) for by in (4, 2)
        )
        return np.asarray(fine - broad, np.float32)

    around = cv2.GaussianBlur(difference(image.enhanced) ** 2, (0, 0), AROUND_MM / image.spacing_mm)
    shown = difference(contrast * detail(image, place, size_mm, "disc", 0))
    return float(shown[place] / np.sqrt(around[place] + 1e-12))


def is_hit(boxes: list[Box], place: Place, margin: float, kind: str) -> tuple[bool, bool]:
    """Return whether a box is on a place, and whether one of them says the right kind."""
    y, x = place
    on = [
        box
        for box in boxes
        if box.top - margin <= y < box.bottom + margin
        and box.left - margin <= x < box.right + margin
    ]
    return bool(on), any(box.kind == kind for box in on)


@dataclass(frozen=True)
class Planted:
    """A detail in an image.

    Args:
        place: Row and column.
        size_mm: Diameter or width.
        cnr: Contrast over the spread around, at its size.
    """

    place: Place
    size_mm: int
    cnr: float


def planted(image: Judged, contrast: float, number: int) -> tuple[dict[str, Judged], list[Planted]]:
    """Return an image with invented details, and with erased ones, and what was planted.

    Each shape is planted once; which size it has depends on the number of the image.
    """
    random = np.random.default_rng(number)
    total, found = np.zeros_like(image.enhanced), []
    for j, (place, shape) in enumerate(
        zip(places(image, len(SHAPES), random), SHAPES, strict=False)
    ):
        size = SIZES_MM[(number + j) % len(SIZES_MM)]
        total += contrast * detail(image, place, size, shape, random.uniform(0, np.pi))
        found.append(Planted(place, size, ratio(image, place, size, contrast)))
    shown = (image.enhanced + total).clip(0, 1)
    mask = cv2.dilate((total != 0).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return {
        "invented": replace(image, enhanced=shown),
        "erased": replace(
            image,
            source=(image.source + total).clip(0, 1),
            enhanced=filled(shown, mask, max(SIZES_MM) / image.spacing_mm),
        ),
    }, found


def measure_details(images: list[Judged], calibration: Calibration) -> None:
    guard = Guard(calibration)
    hits, kinds, ratios = defaultdict(list), defaultdict(list), defaultdict(list)
    classes: dict[tuple[int, int, str], list[bool]] = defaultdict(list)
    for (i, image), contrast in itertools.product(enumerate(images), CONTRASTS):
        changed, details = planted(image, contrast, i)
        for kind, other in changed.items():
            boxes = guard.judge(
                other.source, other.enhanced, image.spacing_mm, weights(image)
            ).boxes
            for one in details:
                hit, right = is_hit(boxes, one.place, one.size_mm / image.spacing_mm, kind)
                hits[contrast, one.size_mm, kind].append(hit)
                classes[int(np.digitize(one.cnr, CNRS)) - 1, one.size_mm, kind].append(hit)
                kinds[contrast, one.size_mm].append(right)
                ratios[contrast, one.size_mm].append(one.cnr)
    columns = ("CNR", "size, mm", "invented", "erased", "right kind", "details")
    with harness.table("contrast", *columns) as row:
        for contrast, size in itertools.product(CONTRASTS, SIZES_MM):
            found = [hits[contrast, size, kind] for kind in ("invented", "erased")]
            right = sum(kinds[contrast, size]) / max(sum(map(sum, found)), 1)
            rates = [f"{np.mean(some):.0%}" for some in found]
            cnr = f"{np.median(ratios[contrast, size]):.0f}"
            row(contrast, cnr, size, *rates, f"{right:.0%}", len(found[0]))
    columns = ("CNR", "size, mm", "invented", "erased", "details")
    with harness.table(*columns, names=["40 to inf"]) as row:
        for i, size in itertools.product(range(len(CNRS) - 1), SIZES_MM):
            found = [classes[i, size, kind] for kind in ("invented", "erased")]
            rates = [f"{np.mean(some):.0%}" if some else "-" for some in found]
            row(f"{CNRS[i]} to {CNRS[i + 1]}", size, *rates, len(found[0]))


def weights(image: Judged) -> np.ndarray | None:
    return None if image.inside is None else image.inside.astype(np.uint8) * 255


def measure_untouched(images: list[Judged], calibration: Calibration) -> None:
    boxes, covered = defaultdict(list), defaultdict(list)
    for image in images:
        boxes[image.species].append(len(image.differences().boxes(calibration.threshold)))
        width = calibration.factors[image.species]
        covered[image.species].append(float((image.errors() <= width).mean()))
    columns = ("images", "false boxes / image", "covered", "standard error", "lowest", "highest")
    with harness.table("species", *columns, names=boxes) as row:
        for species, counts in boxes.items():
            shares = covered[species]
            figures = [f"{of(shares):.1%}" for of in (np.mean, standard_error, np.min, np.max)]
            row(species, len(counts), f"{np.mean(counts):.2f}", *figures)
    every = [count for counts in boxes.values() for count in counts]
    print(f"all species: {np.mean(every):.2f} false boxes / image\n", flush=True)


def standard_error(values: list[float]) -> float:
    return float(np.std(values) / np.sqrt(max(len(values) - 1, 1)))


def phantoms(root: Path, *, num: int, spacing_mm: float, seed: int) -> Path:
    """Return a dataset of as many phantoms of each species, all in split val."""
    if not root.exists():
        counts = dict.fromkeys(("cat", "dog", "turtle"), num)
        synthesize(root, counts=counts, spacing_mm=spacing_mm, seed=seed, num_processes=1)
        pairs = [replace(pair, split="val") for pair in read_manifest(root)]
        write_manifest(root, pairs)
    return root


def measure_cost() -> None:
    image = np.random.default_rng(0).random((4188, 4188), np.float32)
    image = cv2.GaussianBlur(image, (0, 0), 4)
    guard = Guard(Calibration("", 10, 1, "auto"))

    def judge() -> None:
        guard.judge(image, image**0.8, 0.1)

    judge()
    rise = harness.resident_rise(judge)
    print(f"4188 x 4188, one thread: {harness.best(judge):.1f} s, {rise / 2**20:.0f} MiB more")


def parser() -> argparse.ArgumentParser:
    flags = harness.parser(__doc__)
    flags.add_argument("out", type=Path, nargs="?", help="folder to keep; a temporary one if none")
    flags.add_argument("--full", action="store_true", help="train as quickstart.yaml says")
    flags.add_argument("--num", type=int, default=12, help="phantoms of a species and set (--full)")
    return flags


def main(options: argparse.Namespace) -> None:
    cv2.setNumThreads(1)
    num, spacing = (options.num, 0.3) if options.full else (1, 0.6)
    harness.print_heading(f"quickstart.yaml: resnet18, 192 px; {num} phantoms of a species and set")
    with tempfile.TemporaryDirectory() as temporary:
        out = options.out or Path(temporary)
        harness.quickstart(out, full=options.full)
        (checkpoint,) = (out / "network").rglob("last.ckpt")
        network = open_enhancer(checkpoint, device="cpu")
        calibration = calibrate(
            network, phantoms(out / "first", num=num, spacing_mm=spacing, seed=1)
        )
        print(f"threshold {calibration.threshold:g}, factors {calibration.factors}\n")
        second = phantoms(out / "second", num=num, spacing_mm=spacing, seed=2)
        images = list(validation_images(network, second))
        measure_untouched(images, calibration)
        measure_details(images, calibration)
    measure_cost()


if __name__ == "__main__":
    main(parser().parse_args())
