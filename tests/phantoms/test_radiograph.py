import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import radenhance
from radenhance.phantoms.anatomy.canvas import Pose, blank_canvas
from radenhance.phantoms.anatomy.hindlimb import put_hindlimb
from radenhance.phantoms.animals import EXAMINATIONS
from radenhance.phantoms.physics import LOG_DECADES, Exposure, expose
from radenhance.phantoms.radiograph import Animal, phantom, plan_animals

ROOT = Path(radenhance.__file__).parents[1]
SPACING_MM = 1.2
ALL = [(species, i) for species, options in EXAMINATIONS.items() for i in range(len(options))]


def attenuation(values, exposure):
    values = np.asarray(values, np.float64)
    if exposure.sign == -1:
        values = exposure.max_value - values
    if exposure.relationship == "LIN":
        return -np.log10(np.maximum(values, 1) / exposure.max_value)
    return LOG_DECADES * (1 - values / exposure.max_value)


def in_fresh_process(code):
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )


def digest(made):
    return hashlib.sha256(made.stored.tobytes() + made.clean.tobytes()).hexdigest()


@pytest.mark.parametrize(("species", "examination"), ALL)
def test_every_examination_shows_an_animal_in_a_field(species, examination):
    animal = Animal(species, 11, 12, examination)
    made = phantom(animal, spacing_mm=SPACING_MM)
    rows, columns = (round(side / SPACING_MM) for side in animal.field_mm)
    assert made.stored.shape == made.clean.shape == (rows, columns)
    assert made.stored.dtype == np.uint16
    assert made.clean.dtype == np.float32
    assert made.stored.max() <= 16383
    assert np.isfinite(made.clean).all()
    assert made.clean.min() >= 0
    assert made.clean.max() <= 16383
    middle = attenuation(made.stored, made.exposure)[
        rows // 8 : -rows // 8, columns // 8 : -columns // 8
    ]
    direct = -np.log10(min(made.exposure.direct_level, 1))
    shadowed = (middle > direct + 0.1).mean()
    assert shadowed > 0.1
    assert middle.max() - np.percentile(middle, 1) > 0.5


def test_facts_are_those_of_the_animal():
    made = phantom(Animal("dog", 3, 4, 1), spacing_mm=3.0)
    assert (made.species, made.body_part, made.view) == ("dog", "CHEST", "ventrodorsal")
    assert made.patient_id == "SYNTHETIC-DOG-3"
    assert made.breed == made.animal.physique.breed
    assert (made.bits, made.spacing_mm) == (14, 3.0)
    assert 45 <= made.kvp <= 100
    assert 0.5 <= made.mas <= 12


def test_same_seed_gives_same_pixels_in_a_fresh_process():
    code = (
        "import hashlib, cv2; cv2.setNumThreads(1)\n"
        "from radenhance.phantoms.radiograph import phantom\n"
        "phantom('cat', seed=1, spacing_mm=2.0)\n"
        f"made = phantom('dog', seed=7, spacing_mm={SPACING_MM})\n"
        "print(hashlib.sha256(made.stored.tobytes() + made.clean.tobytes()).hexdigest())"
    )
    done = in_fresh_process(code)
    assert done.stdout.strip() == digest(phantom("dog", seed=7, spacing_mm=SPACING_MM))


def test_order_and_threads_do_not_change_a_pixel():
    plan = plan_animals(2, 1, 1, seed=9)
    forwards = [digest(phantom(animal, spacing_mm=SPACING_MM)) for animal in plan]
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        backwards = [digest(phantom(animal, spacing_mm=SPACING_MM)) for animal in plan[::-1]]
    finally:
        cv2.setNumThreads(before)
    assert forwards == backwards[::-1]
    assert len(set(forwards)) == len(plan)


def test_two_radiographs_of_one_animal_differ():
    first, second = (phantom(Animal("cat", 5, seed, 0), spacing_mm=SPACING_MM) for seed in (1, 2))
    assert digest(first) != digest(second)
    assert first.patient_id == second.patient_id


def test_pixel_size_changes_sharpness_but_not_the_scene():
    coarse, fine = (
        phantom(Animal("cat", 21, 3, 2), spacing_mm=s) for s in (2 * SPACING_MM, SPACING_MM)
    )
    assert replace(coarse.exposure, spacing_mm=SPACING_MM, mas=fine.mas) == fine.exposure
    small = cv2.resize(fine.clean, coarse.clean.shape[::-1], interpolation=cv2.INTER_AREA)
    correlation = np.corrcoef(small.ravel(), coarse.clean.ravel())[0, 1]
    assert correlation > 0.98


def test_clean_is_less_noisy_than_stored():
    made = phantom(Animal("dog", 8, 9, 0), spacing_mm=0.6)
    noise = [
        np.median(np.abs(np.diff(np.diff(attenuation(x, made.exposure), axis=1), axis=0)))
        for x in (made.stored, made.clean)
    ]
    assert noise[1] < 0.7 * noise[0]


@pytest.mark.parametrize("relationship", ["LIN", "LOG"])
@pytest.mark.parametrize("sign", [1, -1])
def test_bone_attenuates_more_than_flesh_and_flesh_more_than_air(relationship, sign):
    blank = blank_canvas(200, 140, spacing_mm=0.8, grain=np.zeros((8, 8), np.float32))
    canvas = blank.posed(Pose((8.0, 10.0)))
    put_hindlimb(canvas, Animal("cat", 2, 0, 7).physique, frontal=False)
    exposure = Exposure(50, 2.0, 0.8, relationship=relationship, sign=sign)
    stored, _ = expose(canvas.water, canvas.bone, exposure, rng=np.random.default_rng(0))
    found = attenuation(stored, exposure)
    air = found[(canvas.water == 0) & (canvas.bone == 0)]
    flesh = found[(canvas.water > 1) & (canvas.bone < 0.01)]
    bone = found[canvas.bone > 0.4]
    assert min(air.size, flesh.size, bone.size) > 100
    assert np.percentile(air, 90) < np.percentile(flesh, 10)
    assert np.median(bone) > np.median(flesh) + 0.1


def test_all_polarities_occur():
    plan = plan_animals(15, 15, 0)
    made = [phantom(animal, spacing_mm=6.0) for animal in plan]
    assert {(p.relationship, p.sign) for p in made} >= {("LIN", 1), ("LOG", 1), ("LOG", -1)}
    assert {p.photometric for p in made} == {"MONOCHROME1", "MONOCHROME2"}
    assert {p.side for p in made} == {"R", "L"}


def test_thick_animals_get_more_kilovolt_and_a_grid():
    numbers = range(40)
    dogs = [Animal("dog", n, 1, 1) for n in numbers]
    dane = next(a for a in dogs if a.physique.breed == "Great Dane")
    toy = next(a for a in dogs if a.physique.breed == "Yorkshire Terrier")
    large, small = (phantom(a, spacing_mm=3.0) for a in (dane, toy))
    assert large.kvp > small.kvp + 5
    assert large.exposure.grid
    assert not small.exposure.grid


def test_phantoms_need_neither_torch_nor_lightning():
    code = (
        "import sys\n"
        "from radenhance.phantoms.radiograph import dataset_of, phantom\n"
        "dataset_of(phantom('turtle', spacing_mm=4.0))\n"
        "print(*sorted({'torch', 'lightning'} & sys.modules.keys()), end='')"
    )
    assert in_fresh_process(code).stdout == ""
