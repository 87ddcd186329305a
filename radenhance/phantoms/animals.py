"""Which animals are radiographed, and how: breeds, examinations and the plan of a whole dataset.

An entry of a plan is a few numbers, and all that its radiograph depends on. Any process can
therefore make any entry, in any order, with equal pixels.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from radenhance.phantoms.anatomy.chance import generator
from radenhance.phantoms.anatomy.physique import Physique

Species = Literal["cat", "dog", "turtle"]

BREEDS: dict[Species, dict[str, tuple[float, float]]] = {
    "cat": {
        "Domestic Shorthair": (1.0, 1.0),
        "Siamese": (0.95, 0.9),
        "Persian": (1.0, 1.1),
        "Maine Coon": (1.2, 1.0),
    },
    "dog": {
        "Yorkshire Terrier": (0.85, 1.0),
        "Dachshund": (1.15, 1.1),
        "Beagle": (1.4, 1.1),
        "Border Collie": (1.6, 0.95),
        "Boxer": (1.85, 1.0),
        "Labrador Retriever": (1.9, 1.1),
        "German Shepherd": (2.05, 0.95),
        "Great Dane": (2.4, 0.9),
    },
    "turtle": {
        "Mediterranean Tortoise": (1.0, 1.15),
        "Pond Slider": (1.1, 0.85),
        "Box Turtle": (0.9, 1.1),
    },
}
"""Breed -> size relative to a cat of 4 kg (a turtle: to a carapace of 140 mm), girth."""


@dataclass(frozen=True)
class Examination:
    """A body part seen from one side.

    Args:
        body_part: Value of (0018,0015) Body Part Examined.
        view: Direction of the beam: lateral, ventrodorsal, craniocaudal or dorsoventral.
        center: Body point, x and y in mm, that falls on the middle of the detector.
        upright: Whether the long side of the field is vertical.
        span_mm: Long side in mm of a field that shows the whole body part of a cat of 4 kg.
        share: Frequency of the examination, relative to the others of the species.
    """

    body_part: str
    view: str
    center: tuple[float, float]
    upright: bool
    span_mm: float
    share: float = 1.0


CAT_AND_DOG = (
    Examination("CHEST", "lateral", (52.0, 16.0), False, 225.0, share=20),
    Examination("CHEST", "ventrodorsal", (0.0, 46.0), True, 225.0, share=13),
    Examination("ABDOMEN", "lateral", (178.0, 20.0), False, 225.0, share=14),
    Examination("ABDOMEN", "ventrodorsal", (0.0, 180.0), True, 225.0, share=8),
    Examination("PELVIS", "ventrodorsal", (0.0, 280.0), True, 190.0, share=11),
    Examination("ELBOW", "lateral", (8.0, 20.0), True, 170.0, share=8),
    Examination("ELBOW", "craniocaudal", (0.0, 20.0), True, 170.0, share=5),
    Examination("STIFLE", "lateral", (8.0, 20.0), True, 170.0, share=8),
    Examination("STIFLE", "craniocaudal", (0.0, 20.0), True, 170.0, share=5),
    Examination("SKULL", "lateral", (-12.0, 6.0), False, 150.0, share=8),
)
EXAMINATIONS: dict[Species, tuple[Examination, ...]] = {
    "cat": CAT_AND_DOG,
    "dog": CAT_AND_DOG,
    "turtle": (Examination("WHOLEBODY", "dorsoventral", (0.0, 0.0), True, 200.0),),
}
FIELDS_MM: dict[Species, tuple[tuple[float, float], ...]] = {
    "cat": ((150.0, 200.0), (180.0, 240.0), (240.0, 300.0)),
    "dog": ((180.0, 240.0), (250.0, 300.0), (300.0, 360.0), (360.0, 420.0), (418.8, 418.8)),
    "turtle": ((150.0, 200.0), (180.0, 240.0)),
}
"""Short and long sides in mm of the fields that are read out, the smallest first."""
SECOND_VIEW = 0.25
"""Fraction of the animals with a second view, where the examination has one."""
NUMBERS_PER_PLAN = 100_000
DRAWN_ALONE = 10**10
"""The first number of the animals that belong to no plan."""


@dataclass(frozen=True)
class Animal:
    """One animal in front of the detector: all that a radiograph of it depends on.

    Args:
        species: cat, dog or turtle.
        number: Number of the patient; equal species and number are the same animal.
        seed: Seed of everything that differs between two radiographs of one animal: position,
            exposure, noise.
        examination: Index of the examination in the species' `EXAMINATIONS`.
    """

    species: Species
    number: int
    seed: int
    examination: int

    @property
    def view(self) -> Examination:
        """The examination itself."""
        return EXAMINATIONS[self.species][self.examination]

    @property
    def physique(self) -> Physique:
        """Breed, size, fat, sex and age, the same in each radiograph of this animal."""
        rng = generator(self.number, self.species, "physique")
        breeds = BREEDS[self.species]
        breed = str(rng.choice(list(breeds)))
        scale, girth = breeds[breed]
        return Physique(
            number=self.number,
            species=self.species,
            breed=breed,
            scale=float(scale * rng.uniform(0.92, 1.08)),
            girth=float(girth * rng.uniform(0.9, 1.12)),
            fat_mm=float(rng.uniform(1.2, 4.5)),
            sex=str(rng.choice(["M", "F"])),
            age_years=int(rng.integers(1, 15)),
        )

    @property
    def patient_id(self) -> str:
        """The invented (0010,0020) Patient ID."""
        return f"SYNTHETIC-{self.species.upper()}-{self.number}"

    @property
    def field_mm(self) -> tuple[float, float]:
        """Height and width of the field in mm: the smallest that shows all, or the largest."""
        needed = self.view.span_mm * self.physique.scale
        fields = FIELDS_MM[self.species]
        short, long = next((field for field in fields if field[1] >= needed), fields[-1])
        return (long, short) if self.view.upright else (short, long)


def draw_animal(species: Species, *, seed: int) -> Animal:
    """Draw one animal and one examination of it, which belong to no plan.

    Args:
        species: Species of the animal.
        seed: Seed of the draw, at least 0.
    """
    examination = _draw_examination(species, generator(seed, species, "alone"))
    return Animal(species, DRAWN_ALONE + seed, seed, examination)


def _draw_examination(species: Species, rng: np.random.Generator) -> int:
    share = [examination.share for examination in EXAMINATIONS[species]]
    return int(rng.choice(len(share), p=np.array(share) / sum(share)))


def plan_animals(cats: int = 24, dogs: int = 34, turtles: int = 2, seed: int = 0) -> list[Animal]:
    """Plan a dataset, one entry per radiograph.

    About a fifth of the cats and dogs are seen from two sides. Both entries have the same `number`,
    so that a split by patient has something to keep together.

    Args:
        cats: Number of radiographs of cats.
        dogs: Number of radiographs of dogs.
        turtles: Number of radiographs of turtles.
        seed: Seed of the plan; equal seeds give equal plans.
    """
    counts: dict[Species, int] = {"cat": cats, "dog": dogs, "turtle": turtles}
    plan: list[Animal] = []
    for species, count in counts.items():
        rng = generator(seed, species, "plan")
        last = len(plan) + count
        while len(plan) < last:
            number = NUMBERS_PER_PLAN * seed + len(plan)
            first = _draw_examination(species, rng)
            second = _other_view(species, first) if rng.random() < SECOND_VIEW else None
            for examination in (first, second)[: last - len(plan)]:
                if examination is not None:
                    plan.append(Animal(species, number, int(rng.integers(2**31)), examination))
    return plan


def _other_view(species: Species, index: int) -> int | None:
    """Return the examination of the same body part from another side; None when there is none."""
    options = EXAMINATIONS[species]
    same = [i for i, e in enumerate(options) if e.body_part == options[index].body_part]
    return next((i for i in same if i != index), None)
