"""Claim: the guard finds most details that an output invents or erases; intervals cover 90 %.

    python benchmarks/guard.py
    python benchmarks/guard.py OUT --full

The network of quickstart.yaml enhances phantoms at the size of their files; thresholds come from
one set of them, boxes and details from another. Discs, blobs (Gaussians of that width at half
height), lines and fissures (dark lines) are planted into outputs at random places of the anatomy
(invented), or into source and output, and then filled in smoothly in the output (erased), where all
of the contrast fits between black and white. Contrast is in the image, 1 is from black to white.
SNR is that of the detail in the noise of the output, all its pixels together, and it could be seen
from 5 on were there no anatomy (Rose). CNR is what a detail adds to the difference of a middle and
its surroundings at its size, over the standard deviation of that difference within 6 mm in the
untouched output, noise and anatomy together. False boxes are those on outputs that nobody touched.
Coverage is that of each of three sets by factors of the two others, images counting alike; its
standard error is that of the mean over all images. What images differ by says how many of a
species calibrate a factor to one point of coverage (one standard deviation).

The first command trains on few images and shows only that it runs, in some minutes on two cores.
The second takes hours and keeps phantoms, outputs and what is measured of each image in OUT, so
that it goes on where it was ended.
"""

import argparse
import json
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import harness
import numpy as np

from radenhance.arrays import Image, Mask
from radenhance.dataset.manifest import read_manifest, write_manifest
from radenhance.inference.guard.bands import Box
from radenhance.inference.guard.calibrate import (
    Judged,
    numbers_of_boxes,
    thresholds,
    validation_images,
)
from radenhance.inference.guard.guard import THRESHOLDS, Calibration, Guard
from radenhance.inference.guard.intervals import factor
from radenhance.inference.model import NetworkEnhancer, open_enhancer
from radenhance.prepare.synthesize import synthesize
from radenhance.reference_enhancer.pyramid import decompose

SIZES_MM = (1.0, 1.5, 2.0, 3.0)
CONTRASTS = (0.03, 0.06, 0.12, 0.24)
SHAPES = ("disc", "blob", "line", "fissure")
STRONG = 0.12
"""Contrast at which details are told apart by what they are and where."""
LINE_MM = 10.0
"""Length of a line; its width is the size."""
APART_MM = 20.0
"""Least distance between planted details."""
AROUND_MM = 6.0
"""Standard deviation of the window in which a detail is compared with what else is there."""
SNRS, CNRS = (0, 5, 20, 80, np.inf), (0, 2, 5, 10, 20, np.inf)
"""Bounds of classes of the SNR and of the CNR."""
ROSE = 5
"""SNR, or CNR, from which on a detail can be seen."""
SEEDS = 1, 2, 3
"""Of sets of phantoms: the first is that of the thresholds, and the last, with which nothing was
chosen, that of boxes and details."""
BRIGHTEST = 0.1
"""Output from which on a place is anatomy and not air."""
BORDER_MM = 10.0
"""What is nearer to the field's border is there."""
EVERY = 3
"""Details are planted into each so-manyth phantom."""
STEEP = 0.03
"""Change of the output per mm, at a scale of 1 mm, from which on a place is an edge."""
SPECIES = ("cat", "dog", "turtle")

Place = tuple[int, int]


@dataclass(frozen=True)
class Detail:
    """A detail in an image, and whether it was found.

    Args:
        contrast: Its height.
        size_mm: Diameter or width.
        shape: One of SHAPES.
        species: Species of the image.
        where: What is there.
        snr: Its SNR in noise.
        cnr: Its CNR in noise and anatomy.
        place: Row and column.
        found: Whether a box is on it, by kind of change.
        right: Whether one of them says the right kind, likewise.
    """

    contrast: float
    size_mm: float
    shape: str
    species: str
    where: str
    snr: float
    cnr: float
    place: Place
    found: dict[str, bool]
    right: dict[str, bool]


def drawn(size_mm: float, shape: str, angle: float, pixel_mm: float) -> Image:
    """Return a detail of height 1, softened by a pixel, on a square; a fissure has height -1."""
    width, length = (mm / pixel_mm / 2 for mm in (size_mm, LINE_MM))
    far = int({"disc": width, "blob": 3 * width}.get(shape, length)) + 2
    y, x = np.mgrid[-far : far + 1, -far : far + 1].astype(np.float32)
    if shape == "disc":
        return np.asarray((width - np.hypot(y, x) + 0.5).clip(0, 1), np.float32)
    if shape == "blob":
        blob = 2 ** -((x**2 + y**2) / width**2)
        return np.asarray(np.where(blob < 0.02, 0, blob), np.float32)
    along = np.abs(np.cos(angle) * x + np.sin(angle) * y)
    across = np.abs(np.cos(angle) * y - np.sin(angle) * x)
    line = np.minimum(width - across + 0.5, length - along + 0.5).clip(0, 1)
    return np.asarray(-line if shape == "fissure" else line, np.float32)


def around(place: Place, far: int) -> tuple[slice, slice]:
    """Return the part of an image around a place."""
    y, x = place
    return slice(y - far, y + far + 1), slice(x - far, x + far + 1)


def far_from_border(image: Judged) -> Image:
    """Return how far each pixel is from the border of the field, in mm."""
    inside = np.ones(image.enhanced.shape, bool) if image.inside is None else image.inside
    framed = cv2.copyMakeBorder(inside.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    far = cv2.distanceTransform(framed, cv2.DIST_L2, 5)[1:-1, 1:-1]
    return np.asarray(far * image.spacing_mm, np.float32)


def places(image: Judged, num: int, random: np.random.Generator) -> list[Place]:
    """Return random places in the anatomy, apart from each other and from the field's border."""
    free = far_from_border(image) > LINE_MM / 2 + 1
    free &= (image.enhanced > BRIGHTEST) & (image.enhanced < 0.95)
    left = free.astype(np.uint8)
    found: list[Place] = []
    while len(found) < num and left.any():
        y, x = divmod(int(random.choice(np.flatnonzero(left))), left.shape[1])
        found.append((y, x))
        cv2.circle(left, (x, y), round(APART_MM / image.spacing_mm), 0, -1)
    return found


def kinds_of_places(image: Judged) -> Callable[[Place], str]:
    """Return what says of a place what is there, from the image alone."""
    border = far_from_border(image) < BORDER_MM
    shown = cv2.GaussianBlur(image.enhanced, (0, 0), 1 / image.spacing_mm)
    steep = np.hypot(*np.gradient(shown)) / image.spacing_mm > STEEP

    def where(place: Place) -> str:
        if border[place]:
            return "near the border"
        if steep[place]:
            return "on an edge"
        return ("dark", "medium", "bright")[int(np.digitize(shown[place], (0.35, 0.65)))]

    return where


def filled(image: Image, mask: Mask, sigma: float) -> Image:
    """Return an image with a part of it filled in from around, smoothly."""
    outside = (~mask).astype(np.float32)
    known, weight = (cv2.GaussianBlur(x, (0, 0), sigma) for x in (image * outside, outside))
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.7)
    return np.asarray(image + soft * (known / np.maximum(weight, 1e-3) - image), np.float32)


def noise_at(finest: Image, place: Place) -> float:
    """Return the standard deviation of white noise, from the finest pyramid level around."""
    y, x = (slice(max(at - 16, 0), at + 17) for at in place)
    return float(np.median(np.abs(finest[y, x])) / 0.6745 / WHITE)


WHITE = float(decompose(np.random.default_rng(0).standard_normal((512, 512)), 1)[0].std())
"""Standard deviation of the finest level of white noise of 1."""


def spreads(image: Judged) -> dict[float, Image]:
    """Return the local standard deviation of what `middle` sees in the output, by size."""
    sigma = AROUND_MM / image.spacing_mm
    return {
        size: np.sqrt(
            cv2.GaussianBlur(middle(image.enhanced, size / image.spacing_mm) ** 2, (0, 0), sigma)
        )
        for size in SIZES_MM
    }


def middle(of: Image, size: float) -> Image:
    """Return the difference of a middle and its surroundings at a size in pixels."""
    return np.asarray(
        cv2.GaussianBlur(of, (0, 0), size / 4) - cv2.GaussianBlur(of, (0, 0), size / 2), np.float32
    )


def planted(
    image: Judged, contrast: float, random: np.random.Generator, number: int
) -> tuple[dict[str, Judged], list[Detail]]:
    """Return an image with invented details, and with erased ones, and what was planted."""
    total, details = np.zeros_like(image.enhanced), []
    where, spread, finest = kinds_of_places(image), spreads(image), decompose(image.enhanced, 1)[0]
    for i, place in enumerate(places(image, len(SHAPES) * len(SIZES_MM), random), start=number):
        size, shape = SIZES_MM[i // len(SHAPES) % len(SIZES_MM)], SHAPES[i % len(SHAPES)]
        detail = contrast * drawn(size, shape, random.uniform(0, np.pi), image.spacing_mm)
        part = around(place, len(detail) // 2)
        on = detail != 0
        seen = np.stack([(shown[part] + detail)[on] for shown in (image.source, image.enhanced)])
        if seen.min() < 0 or seen.max() > 1:
            continue
        total[part] += detail
        snr = float(np.sqrt((detail**2).sum())) / max(noise_at(finest, place), 1e-6)
        disc = contrast * np.pad(drawn(size, "disc", 0, image.spacing_mm), 12)
        shown = middle(disc, size / image.spacing_mm)[len(disc) // 2, len(disc) // 2]
        cnr = float(shown / spread[size][place])
        details.append(
            Detail(contrast, size, shape, image.species, where(place), snr, cnr, place, {}, {})
        )
    shown = image.enhanced + total
    mask = cv2.dilate((total != 0).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    sigma = max(SIZES_MM) / image.spacing_mm
    erased = replace(image, source=image.source + total, enhanced=filled(shown, mask, sigma))
    return {"invented": replace(image, enhanced=shown), "erased": erased}, details


def boxes_on(boxes: list[Box], place: Place, margin: float) -> list[Box]:
    """Return the boxes that are on a place."""
    y, x = place
    return [
        box
        for box in boxes
        if box.top - margin <= y < box.bottom + margin
        and box.left - margin <= x < box.right + margin
    ]


def searched(image: Judged, scores: Sequence[float], number: int) -> Iterator[Detail]:
    """Yield what was planted into an image, at each contrast, and whether it was found."""
    for j, contrast in enumerate(CONTRASTS):
        random = np.random.default_rng((number, j))
        changed, details = planted(image, contrast, random, 5 * (number + j))
        for kind, other in changed.items():
            boxes = other.differences().boxes(scores)
            for one in details:
                on = boxes_on(boxes, one.place, one.size_mm / image.spacing_mm)
                one.found[kind] = bool(on)
                one.right[kind] = any(box.kind == kind for box in on)
        yield from details


class Phantoms:
    """As many phantoms of each species, enhanced; they are made once and kept.

    Args:
        network: What enhances them.
        folder: Where they are kept.
        num: Number of each species.
        spacing_mm: Their pixel.
        seed: Seed of the animals.
    """

    def __init__(
        self, network: NetworkEnhancer, folder: Path, *, num: int, spacing_mm: float, seed: int
    ) -> None:
        self.folder = folder / f"{seed}-{num}-{spacing_mm}"
        self.num = num * len(SPECIES)
        if not self._file(self.num - 1).exists():
            self._make(network, dict.fromkeys(SPECIES, num), spacing_mm, seed)

    def _make(
        self, network: NetworkEnhancer, counts: dict[str, int], spacing_mm: float, seed: int
    ) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as temporary:
            root = Path(temporary) / "phantoms"
            synthesize(root, counts=counts, spacing_mm=spacing_mm, seed=seed, num_processes=1)
            write_manifest(root, [replace(pair, split="val") for pair in read_manifest(root)])
            for i, image in enumerate(validation_images(network, root)):
                np.savez(self._file(i), **vars(image))

    def _file(self, number: int) -> Path:
        return self.folder / f"{number:03}.npz"

    def __getitem__(self, number: int) -> Judged:
        """Return one of them."""
        found = np.load(self._file(number), allow_pickle=False)
        fields = {name: found[name] for name in found.files}
        fields |= {"species": str(found["species"]), "spacing_mm": float(found["spacing_mm"])}
        return Judged(**fields)

    def each(self, name: str, measure: Callable[[Judged, int], Any]) -> Iterator[Any]:
        """Yield what is measured of each, once and for all.

        Args:
            name: Name of the measure, for a file.
            measure: It takes the image and its number, and returns what JSON can hold.
        """
        for number in range(self.num):
            file = self.folder / f"{name}-{number:03}.json"
            if not file.exists():
                text = json.dumps(measure(self[number], number))
                file.write_text(text)
            yield json.loads(file.read_text())


def calibrated(first: Phantoms) -> list[float]:
    """Return the guard's thresholds, from the first set."""

    def count(image: Judged, number: int) -> list[float]:
        return [float(value) for value in numbers_of_boxes(image.differences())]

    return thresholds([np.asarray(found) for found in first.each("numbers", count)])


def measure_boxes(second: Phantoms, scores: Sequence[float]) -> None:
    """Print how many boxes untouched outputs have."""

    def count(image: Judged, number: int) -> tuple[str, int]:
        return image.species, len(image.differences().boxes(scores))

    boxes = defaultdict(list)
    for species, num in second.each(f"boxes-{named(scores)}", count):
        boxes[species].append(num)
        boxes["all"].append(num)
    columns = ("images", "false boxes / image", "standard error", "with none")
    with harness.table("species", *columns) as row:
        for species, of in boxes.items():
            none = np.mean(np.asarray(of) == 0)
            row(species, len(of), f"{np.mean(of):.2f}", f"{standard_error(of):.2f}", f"{none:.0%}")


def measure_details(second: Phantoms, scores: Sequence[float]) -> None:
    """Print which share of what is planted is found."""

    def search(image: Judged, number: int) -> list[dict[str, Any]]:
        return list(map(asdict, searched(image, scores, number))) if number % EVERY == 0 else []

    found = second.each(f"details-{named(scores)}", search)
    print_details([Detail(**one) for of in found for one in of])


def named(scores: Sequence[float]) -> str:
    return "-".join(f"{score:.2f}" for score in scores)


def print_details(details: Sequence[Detail]) -> None:
    """Print which share of the planted details was found."""
    grouped("contrast", details, lambda one: one.contrast)
    sized = [one for one in details if one.contrast in (STRONG / 2, STRONG, 2 * STRONG)]
    grouped("contrast, size", sized, lambda one: (one.contrast, one.size_mm))
    grouped("SNR from", details, lambda one: SNRS[int(np.digitize(one.snr, SNRS)) - 1])
    grouped("CNR from", details, lambda one: CNRS[int(np.digitize(one.cnr, CNRS)) - 1])
    seen = [one for one in details if min(one.snr, one.cnr) >= ROSE]
    grouped(f"SNR and CNR from {ROSE}: size", seen, lambda one: one.size_mm)
    grouped(f"SNR and CNR from {ROSE}: place", seen, lambda one: one.where)
    strong = [one for one in details if one.contrast == STRONG]
    grouped(f"at {STRONG}: shape", strong, lambda one: one.shape)
    grouped(f"at {STRONG}: species", strong, lambda one: one.species)
    grouped(f"at {STRONG}: place", strong, lambda one: one.where)


def grouped(title: str, details: Sequence[Detail], key: Callable[[Detail], Any]) -> None:
    groups = defaultdict(list)
    for one in details:
        groups[key(one)].append(one)
    names = {group: str(group).strip("()") for group in sorted(groups)}
    columns = ("details", "SNR", "CNR", "invented", "erased", "right kind")
    with harness.table(title, *columns, names=names.values()) as row:
        for group, name in names.items():
            of = groups[group]
            middle = [
                f"{np.median([getattr(one, what) for one in of]):.0f}" for what in ("snr", "cnr")
            ]
            found = [[one.found[kind] for one in of] for kind in ("invented", "erased")]
            right = sum(sum(one.right.values()) for one in of) / max(sum(map(sum, found)), 1)
            row(name, len(of), *middle, *(f"{np.mean(some):.1%}" for some in found), f"{right:.0%}")


def measure_coverage(sets: Sequence[Phantoms]) -> None:
    """Print which share of the targets' pixels of each set intervals cover, by the other sets."""
    levels = np.linspace(0, 1, 2001)

    def quantiles(image: Judged, number: int) -> tuple[str, list[float]]:
        return image.species, np.quantile(image.errors(), levels).tolist()

    by_species: dict[str, list[list[np.ndarray]]] = defaultdict(lambda: [[] for _ in sets])
    for i, phantoms in enumerate(sets):
        for species, of in phantoms.each("errors", quantiles):
            by_species[species][i].append(np.asarray(of))
    columns = ("images", "sets covered", "mean", "standard error", "of images", "to calibrate")
    with harness.table("species", *columns, names=by_species) as row:
        for species, of_sets in by_species.items():
            shares = []
            for own in of_sets:
                others = [image for other in of_sets if other is not own for image in other]
                shares.append(covered(factor(others), own))
            images = sum(shares, start=[])
            of_images = float(np.std(images))
            needed = int(np.ceil((of_images / 0.01) ** 2))
            each = ", ".join(f"{np.mean(own):.1%}" for own in shares)
            figures = np.mean(images), standard_error(images), of_images
            row(species, len(images), each, *(f"{value:.1%}" for value in figures), needed)


def covered(times: float, images: Sequence[np.ndarray]) -> list[float]:
    """Return the share of each image that intervals of a factor cover."""
    return [float((of <= times).mean()) for of in images]


def standard_error(values: Sequence[float]) -> float:
    return float(np.std(values) / np.sqrt(max(len(values) - 1, 1)))


def measure_cost() -> None:
    image = np.random.default_rng(0).random((4188, 4188), np.float32)
    image = cv2.GaussianBlur(image, (0, 0), 4)
    guard = Guard(Calibration("", list(THRESHOLDS), 1, "auto"))

    def judge() -> None:
        guard.judge(image, image**0.8, 0.1)

    judge()
    rise = harness.resident_rise(judge)
    seconds, megapixels = harness.best(judge), image.size / 1e6
    print(
        f"4188 x 4188, one thread: {seconds:.1f} s, {megapixels / seconds:.1f} megapixels per "
        f"second, {rise / 2**20:.0f} MiB more"
    )


def parser() -> argparse.ArgumentParser:
    flags = harness.parser(__doc__)
    flags.add_argument("out", type=Path, nargs="?", help="folder to keep; a temporary one if none")
    flags.add_argument("--full", action="store_true", help="train as quickstart.yaml says")
    flags.add_argument("--num", type=int, default=40, help="phantoms of a species and set (--full)")
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
        sets = [
            Phantoms(network, out / network.sha256[:8], num=num, spacing_mm=spacing, seed=seed)
            for seed in SEEDS
        ]
        scores = calibrated(sets[0])
        print("thresholds", ", ".join(f"{score:.2f}" for score in scores), "\n")
        measure_boxes(sets[-1], scores)
        measure_coverage(sets)
        measure_details(sets[-1], scores)
    measure_cost()


if __name__ == "__main__":
    main(parser().parse_args())
