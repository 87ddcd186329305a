"""Claim: of what half the dose still shows, the network shows as much as of the full dose.

    python benchmarks/dose.py
    python benchmarks/dose.py OUT --full --repeats 40

Slabs of 3, 8 and 15 cm of soft tissue hold discs of bone, 0.3 mm thick and 0.5 to 3 mm wide, on
pixels of 0.25 mm, and are exposed with 100, 50 and 25 % of the quanta. Each exposure is repeated
with new noise, with and without discs. Printed is how detectable a disc is, d': the mean of a
template (disc less its surroundings) over the repeats, less that without discs, over the standard
deviation of the template without discs. Brightness and contrast do not change it. Beside d' of the
raw image are those of the reference enhancer and of the network as ratios to it, with intervals of
95 % by bootstrap over the repeats: 1 where nothing is lost. Means over all slabs and discs follow.
In OUT stay the network, which is not trained again, and dose.png: all three images, each in a
window as wide as its noise asks for. The first command trains on few images and shows only that it
runs, in about two minutes on two cores; the second takes about ten minutes.
"""

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import harness
import numpy as np
import torch

from radenhance.arrays import Floats, Image
from radenhance.contact_sheet import Row, write_contact_sheet
from radenhance.dataset.normalize import normalize
from radenhance.dicom.declaration import Declaration
from radenhance.dicom.read import read
from radenhance.enhancer import ContrastEnhancer
from radenhance.phantoms.anatomy.canvas import MATERIALS
from radenhance.phantoms.physics import Exposure, expose
from radenhance.phantoms.scatter import GRID_PRIMARY
from radenhance.phantoms.spectra import nearest_kvp, spectrum
from radenhance.reference_enhancer.enhance import enhance
from radenhance.reference_enhancer.presets import Preset

SPACING_MM = 0.25
CELL_PX = 48
"""Side of the square around a disc; the image is four of them wide and high."""
THICKNESSES_CM = (3.0, 8.0, 15.0)
DIAMETERS_MM = (0.5, 1.0, 2.0, 3.0)
DOSES = (1.0, 0.5, 0.25)
QUANTA = 1500.0
"""On 0.1 mm x 0.1 mm behind the slab, at full dose, as behind the animals of the phantoms."""
DISC_CM = 0.03
GRID_FROM_CM = 10.0
PLACES = {
    diameter: [(row, column) for column in range(4) if (row, column) not in ((0, 0), (3, 3))]
    for row, diameter in enumerate(DIAMETERS_MM)
}
"""Diameter -> cells; a hole is in the first of all, and thick bone in the last, which set the range
of values as air and bone do in a radiograph."""
WHOLE = Preset(find_collimator=False)
DECLARED = Declaration(bone="dark", bits=14, relationship="LIN")
RAW, REFERENCE, NETWORK = "raw", "reference enhancer", "network"


def coverage(cell: tuple[int, int], radius_px: float) -> Floats:
    """Return how much of each pixel a disc in the middle of a cell covers."""
    y, x = np.indices((4 * CELL_PX, 4 * CELL_PX)) - CELL_PX // 2
    distance = np.hypot(y - CELL_PX * cell[0], x - CELL_PX * cell[1])
    return np.clip(radius_px - distance + 0.5, 0, 1).astype(np.float32)


def template(cell: tuple[int, int], radius_px: float) -> Floats:
    """Return weights that give the mean of a disc less that of the ring around it."""
    disc = coverage(cell, radius_px)
    ring = coverage(cell, 2 * radius_px + 4) - coverage(cell, radius_px + 2)
    return disc / disc.sum() - ring / ring.sum()


TEMPLATES = {
    diameter: np.stack([template(cell, diameter / 2 / SPACING_MM) for cell in cells])
    for diameter, cells in PLACES.items()
}


def paths(thickness_cm: float, *, discs: bool) -> tuple[Floats, Floats]:
    """Return the path lengths in cm of water and bone."""
    hole, thick = coverage((0, 0), 20), coverage((3, 3), 20)
    water = np.float32(MATERIALS["soft"].water * thickness_cm) * (1 - hole)
    bone = 2 * thick
    if discs:
        for diameter, cells in PLACES.items():
            for cell in cells:
                bone += np.float32(DISC_CM) * coverage(cell, diameter / 2 / SPACING_MM)
    return water - MATERIALS["soft"].water * bone * (water > 0), bone


def exposure(thickness_cm: float, dose: float) -> Exposure:
    """Return the settings for a slab: Sante's rule, and the mAs that give the quanta behind it."""
    kvp, grid = nearest_kvp(2 * thickness_cm + 40), thickness_cm > GRID_FROM_CM
    passed = np.exp(-spectrum(kvp).attenuation(MATERIALS["soft"].water * thickness_cm, 0))
    wanted = QUANTA * dose / (GRID_PRIMARY if grid else 1)
    return Exposure(kvp, wanted / (spectrum(kvp).quanta * passed), SPACING_MM, grid=grid)


def shown(file: Path, network: ContrastEnhancer) -> dict[str, Image]:
    """Return the image as each enhancer shows it; a slab has no collimator to be looked for."""
    unit = normalize(read(file, declaration=DECLARED))
    low, high = np.percentile(unit, (0.1, 99.9)).astype(np.float32)
    raw = ((unit - low) / (high - low)).clip(0, 1)
    with torch.inference_mode():
        enhanced = network.predict_step({"raw": torch.from_numpy(raw)[None, None]}, 0)
    return {
        RAW: raw,
        REFERENCE: enhance(unit, spacing_mm=SPACING_MM, preset=WHOLE),
        NETWORK: enhanced[0, 0].numpy(),
    }


@dataclass(frozen=True)
class Responses:
    """Values of the templates, shape (repeats, places), with discs and without."""

    present: Floats
    absent: Floats

    def detectability(self, some: np.ndarray) -> float:
        """Return d' of some of the repeats."""
        present, absent = self.present[some], self.absent[some]
        noise = (absent - absent.mean(axis=0)).std(axis=0, ddof=1)
        return float((present.mean() - absent.mean()) / np.sqrt((noise**2).mean()))


def respond(
    network: ContrastEnhancer, thickness_cm: float, dose: float, repeats: int, folder: Path
) -> tuple[dict[tuple[str, float], Responses], dict[str, Image]]:
    """Return the responses by enhancer and diameter, and the last images with discs."""
    values: dict[tuple[str, float, bool], list[Floats]] = {}
    images: dict[str, Image] = {}
    settings = exposure(thickness_cm, dose)
    for repeat in range(repeats):
        for discs in (False, True):
            seed = [repeat, discs, int(10 * thickness_cm), int(100 * dose)]
            maps = paths(thickness_cm, discs=discs)
            stored, _ = expose(*maps, settings, rng=np.random.default_rng(seed))
            np.save(folder / "slab.npy", stored)
            images = shown(folder / "slab.npy", network)
            for name, image in images.items():
                for diameter, templates in TEMPLATES.items():
                    found = np.tensordot(templates, image, 2)
                    values.setdefault((name, diameter, discs), []).append(found)
    pairs = {(name, diameter) for name, diameter, _ in values}
    return {
        key: Responses(np.stack(values[(*key, True)]), np.stack(values[(*key, False)]))
        for key in pairs
    }, images


def ratio(found: Responses, raw: Responses) -> tuple[float, float, float]:
    """Return d' over that of the raw image, and the ends of its interval."""
    num = len(raw.present)
    random = np.random.default_rng(0)
    draws = [random.integers(num, size=num) for _ in range(400)]
    ratios = [found.detectability(some) / raw.detectability(some) for some in draws]
    low, high = np.percentile(ratios, (2.5, 97.5)).tolist()
    every = np.arange(num)
    return found.detectability(every) / raw.detectability(every), low, high


def windowed(image: Image) -> Image:
    """Return an image in a window as wide as 12 standard deviations of the noise of its slab."""
    slab = image[CELL_PX // 8 : -CELL_PX // 8 - 3 * CELL_PX, -CELL_PX + 6 : -6]
    return (0.5 + (image - np.median(image)) / (12 * slab.std())).clip(0, 1)


def measure(network: ContrastEnhancer, repeats: int, out: Path) -> None:
    rows, means = [], {(name, dose): [] for name in (REFERENCE, NETWORK) for dose in DOSES}
    columns = ("dose", "disc, mm", "d' raw", "reference / raw", "network / raw")
    with harness.table("slab, cm", *columns) as row:
        for thickness in THICKNESSES_CM:
            for dose in DOSES:
                found, images = respond(network, thickness, dose, repeats, out)
                for diameter in DIAMETERS_MM:
                    raw = found[RAW, diameter]
                    ratios = []
                    for name in (REFERENCE, NETWORK):
                        middle, low, high = ratio(found[name, diameter], raw)
                        means[name, dose].append(middle)
                        ratios.append(f"{middle:.2f} ({low:.2f} to {high:.2f})")
                    seen = raw.detectability(np.arange(repeats))
                    row(f"{thickness:g}", f"{dose:.0%}", diameter, f"{seen:.1f}", *ratios)
                if thickness == THICKNESSES_CM[1]:
                    large = [windowed(image).repeat(2, 0).repeat(2, 1) for image in images.values()]
                    rows.append(Row(f"{thickness:g} cm, {dose:.0%} of the dose", large, [*images]))
    write_contact_sheet(out / "dose.png", rows)
    both, doses = (REFERENCE, NETWORK), [f"{dose:.0%}" for dose in DOSES]
    with harness.table("mean ratio to raw", *doses, names=both) as row:
        for name in both:
            row(name, *(f"{np.mean(means[name, dose]):.2f}" for dose in DOSES))


def parser() -> argparse.ArgumentParser:
    flags = harness.parser(__doc__)
    flags.add_argument("out", type=Path, nargs="?", help="folder to keep; a temporary one if none")
    flags.add_argument("--full", action="store_true", help="train as quickstart.yaml says")
    flags.add_argument("--repeats", type=int, default=20, help="exposures of each kind")
    return flags


def main(options: argparse.Namespace) -> None:
    harness.print_heading(f"quickstart.yaml: resnet18; {options.repeats} repeats")
    with tempfile.TemporaryDirectory() as temporary:
        out = options.out or Path(temporary)
        network, _ = harness.quickstart(out, full=options.full)
        measure(network, options.repeats, out)


if __name__ == "__main__":
    main(parser().parse_args())
