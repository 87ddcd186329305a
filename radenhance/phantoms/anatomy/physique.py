"""What makes one animal differ from another of its kind."""

from dataclasses import dataclass

import numpy as np

from radenhance.phantoms.anatomy.chance import generator


@dataclass(frozen=True)
class Physique:
    """What makes one animal differ from another of its kind.

    Args:
        number: Names the animal; the same number gives the same inner anatomy.
        species: cat, dog or turtle.
        breed: Breed in words.
        scale: Size relative to a cat of 4 kg; for a turtle relative to a carapace of 140 mm.
        girth: Relative width of the trunk.
        fat_mm: Thickness of the fat under the skin, before scaling.
        sex: M or F.
        age_years: Age.
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
        """Random numbers for one organ, the same in every view of this animal."""
        return generator(self.number, self.species, organ)
