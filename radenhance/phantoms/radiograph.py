"""Radiographs of invented animals: anatomy, exposure and detector, from one seed.

    Animal -> anatomy (path lengths of water and bone) -> technique (kVp, mAs) -> physics -> Phantom

Every random number comes from a generator that is named after its purpose: what is drawn for the
noise does not move a rib, and another pixel size shows the same animal.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from radenhance.phantoms.anatomy.canvas import Canvas, Pose, blank_canvas
from radenhance.phantoms.anatomy.chance import generator
from radenhance.phantoms.anatomy.forelimb import put_forelimb
from radenhance.phantoms.anatomy.hindlimb import put_hindlimb
from radenhance.phantoms.anatomy.implants import put_implant
from radenhance.phantoms.anatomy.physique import Physique
from radenhance.phantoms.anatomy.setting import collimator, put_marker, put_table
from radenhance.phantoms.anatomy.skull import put_skull
from radenhance.phantoms.anatomy.texture import power_law_tile
from radenhance.phantoms.anatomy.torso import View
from radenhance.phantoms.anatomy.trunk import put_trunk
from radenhance.phantoms.anatomy.turtle import put_turtle
from radenhance.phantoms.animals import (
    Animal,
    Examination,
    Species,
    draw_animal,
    plan_animals,
)
from radenhance.phantoms.phantom import Phantom, Photometric
from radenhance.phantoms.phantom_dicom import dataset_of
from radenhance.phantoms.physics import Exposure, expose, transmission
from radenhance.phantoms.scatter import water_equivalent
from radenhance.phantoms.spectra import nearest_kvp, spectrum

__all__ = ["Animal", "Phantom", "dataset_of", "phantom", "plan_animals"]

IMPLANT_SHARE = 0.25
TABLE_SHARE = 0.6
MIRRORED_SHARE = 0.15
LIN_SHARE = 0.6
POSITIVE_SHARE = {"LIN": 0.9, "LOG": 0.5}
"""Fraction of the images whose Pixel Intensity Relationship Sign is +1."""
WHITE_BONE_SHARE = 0.75
"""Fraction of the images whose photometric interpretation shows bone white."""
GRID_FROM_CM = 10.0
"""Thickness in cm of water above which a grid is used."""
MIDDLE_CM = 0.8
"""Thickness in cm of water above which a pixel counts as animal when the exposure is chosen."""
QUANTA_BEHIND_ANIMAL = (900.0, 2600.0)
"""Quanta wanted on 0.1 mm x 0.1 mm behind the animal's median thickness."""


def phantom(subject: Animal | Species, *, seed: int = 0, spacing_mm: float = 0.3) -> Phantom:
    """Return one synthetic radiograph.

    Equal arguments give equal pixels in any process, with any number of OpenCV threads and in any
    order; another processor or library version may round differently. At another pixel size the
    same animal is in the same place, with other noise.

    Args:
        subject: An entry of `plan_animals`; or a species, of which `seed` then draws one animal and
            one examination.
        seed: Seed of the draw from a species; an `Animal` has a seed of its own.
        spacing_mm: Pixel size in mm.
    """
    animal = draw_animal(subject, seed=seed) if isinstance(subject, str) else subject
    physique = animal.physique
    rng = generator(animal.seed, "scene")
    pose = _pose(animal.view, physique.scale, rng)
    rows, columns = (max(round(side / spacing_mm), 1) for side in animal.field_mm)
    aperture, reach = collimator((rows, columns), spacing_mm, rng)
    grain = power_law_tile(generator(animal.seed, "grain"), spacing_mm=spacing_mm)
    canvas = blank_canvas(rows, columns, spacing_mm=spacing_mm, grain=grain).posed(pose)
    _drawing(animal)(canvas, physique)
    if rng.random() < IMPLANT_SHARE:
        put_implant(canvas, rng)
    if rng.random() < TABLE_SHARE:
        put_table(canvas, rng)
    side: Literal["R", "L"] = "R" if rng.random() < 0.5 else "L"
    exposure = _technique(canvas, aperture, rng)
    marker = put_marker(canvas, side, reach, rng)
    photometric = _photometric(exposure, rng)
    noise = generator(animal.seed, "noise")
    stored, clean = expose(canvas.water, canvas.bone, exposure, aperture=aperture, rng=noise)
    return Phantom(
        stored=stored,
        clean=clean,
        animal=animal,
        physique=physique,
        exposure=exposure,
        photometric=photometric,
        side=side,
        marker=marker,
        mirrored=pose.mirrored,
    )


def _pose(view: Examination, scale: float, rng: np.random.Generator) -> Pose:
    """Return a pose near the textbook one, as animals rarely hold still."""
    x, y = (np.asarray(view.center) + rng.normal(0, 5, 2)).tolist()
    angle = float(np.clip(rng.normal(0, 4), -15, 15))
    return Pose((x, y), angle, scale, mirrored=bool(rng.random() < MIRRORED_SHARE))


def _drawing(animal: Animal) -> Callable[[Canvas, Physique], None]:
    """Return the function that draws the animal's examination."""
    view = animal.view
    frontal = view.view == "craniocaudal"
    parts: dict[str, Callable[[Canvas, Physique], None]] = {
        "WHOLEBODY": put_turtle,
        "SKULL": put_skull,
        "ELBOW": partial(put_forelimb, frontal=frontal),
        "STIFLE": partial(put_hindlimb, frontal=frontal),
    }
    flat: View = "lateral" if view.view == "lateral" else "ventrodorsal"
    return parts.get(view.body_part, partial(put_trunk, view=flat))


def _technique(
    canvas: Canvas, aperture: npt.NDArray[np.float32], rng: np.random.Generator
) -> Exposure:
    """Choose kVp by Sante's rule (2 per cm, plus 40), mAs by the quanta wanted, and a detector."""
    water, bone, field = (
        np.asarray(cv2.resize(x, None, fx=0.1, fy=0.1, interpolation=cv2.INTER_AREA), np.float32)
        for x in (canvas.water, canvas.bone, aperture)
    )
    inside = (water > MIDDLE_CM) & (field > 0.5)
    if not inside.any():
        inside[:] = True
    thickness = float(
        np.percentile(water_equivalent(transmission(water, bone, 70)[inside], 70), 85)
    )
    kvp = nearest_kvp(2 * thickness + 40)
    passed = float(np.median(transmission(water, bone, kvp)[inside]))
    mas = rng.uniform(*QUANTA_BEHIND_ANIMAL) / (spectrum(kvp).quanta * max(passed, 1e-3))
    relationship: Literal["LIN", "LOG"] = "LIN" if rng.random() < LIN_SHARE else "LOG"
    return Exposure(
        kvp,
        mas=float(np.clip(round(mas, 1), 0.5, 12.0)),
        spacing_mm=canvas.spacing_mm,
        grid=thickness > GRID_FROM_CM,
        direct_level=float(rng.uniform(0.6, 1.08)),
        heel=float(rng.uniform(0, 0.1)),
        blur_mm=float(rng.uniform(0.08, 0.12)),
        electronic_quanta=float(rng.uniform(2, 4)),
        gain_residual=float(rng.uniform(0.002, 0.005)),
        relationship=relationship,
        sign=1 if rng.random() < POSITIVE_SHARE[relationship] else -1,
    )


def _photometric(exposure: Exposure, rng: np.random.Generator) -> Photometric:
    """Choose an interpretation that shows bone white in most images."""
    white_bone = rng.random() < WHITE_BONE_SHARE
    return "MONOCHROME1" if (exposure.sign == 1) == white_bone else "MONOCHROME2"
