"""What makes one animal differ from another of its kind.

Two radiographs of one animal agree in it; it is what a split by patient is about.
"""

from dataclasses import dataclass

import numpy as np

from radenhance.phantoms.anatomy.chance import generator


@dataclass(frozen=True)
class Physique:
    """What makes one animal differ from another of its kind.

    Args:
        number: Number of the animal; the same number gives the same inner anatomy.
        species: Species: cat, dog or turtle.
        breed: Breed in words.
        scale: Size relative to a cat of 4 kg; for a turtle relative to a carapace of 140 mm.
        girth: Relative width of the trunk.
        fat_mm: Thickness in mm of the fat under the skin, before scaling.
        sex: Sex, M or F.
        age_years: Age in years.
    """

    number: int
    species: str
    breed: str
    scale: float
    girth: float
    fat_mm: float
    sex: str
    age_years: int

    def rng(self, organ: str) -> np.random.Generator:
        """Return random numbers for one organ, the same in every view of this animal."""
        return generator(self.number, self.species, organ)
