"""A synthetic radiograph: pixels as a detector stores them, and the facts of its header."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from radenhance.phantoms.anatomy.physique import Physique
from radenhance.phantoms.animals import Animal, Species
from radenhance.phantoms.physics import Exposure

Photometric = Literal["MONOCHROME1", "MONOCHROME2"]


@dataclass(frozen=True)
class Phantom:
    """A synthetic radiograph of an animal that never was.

    Args:
        stored: uint16, shape (rows, columns), values in [0, 2**bits - 1], with scatter and noise.
        clean: Float32, same shape and unit: the same exposure with scatter times 0.4 and noise
            times 0.3.
        animal: What was radiographed, and how.
        physique: The animal's measures.
        exposure: Settings of generator and detector.
        photometric: (0028,0004) Photometric Interpretation.
        side: The letter of the lead marker, R or L.
        mirrored: Whether left and right of the image are exchanged.
    """

    stored: npt.NDArray[np.uint16]
    clean: npt.NDArray[np.float32]
    animal: Animal
    physique: Physique
    exposure: Exposure
    photometric: Photometric
    side: Literal["R", "L"]
    mirrored: bool

    @property
    def bits(self) -> int:
        """(0028,0101) Bits Stored."""
        return self.exposure.bits

    @property
    def relationship(self) -> Literal["LIN", "LOG"]:
        """(0028,1040) Pixel Intensity Relationship."""
        return self.exposure.relationship

    @property
    def sign(self) -> Literal[1, -1]:
        """(0028,1041) Pixel Intensity Relationship Sign."""
        return self.exposure.sign

    @property
    def kvp(self) -> int:
        """Tube voltage in kV."""
        return self.exposure.kvp

    @property
    def mas(self) -> float:
        """Tube load in mAs."""
        return self.exposure.mas

    @property
    def spacing_mm(self) -> float:
        """Pixel size in mm."""
        return self.exposure.spacing_mm

    @property
    def species(self) -> Species:
        """One of cat, dog and turtle."""
        return self.animal.species

    @property
    def breed(self) -> str:
        """Breed in words."""
        return self.physique.breed

    @property
    def body_part(self) -> str:
        """(0018,0015) Body Part Examined."""
        return self.animal.view.body_part

    @property
    def view(self) -> str:
        """One of lateral, ventrodorsal, dorsoventral and craniocaudal."""
        return self.animal.view.view

    @property
    def patient_id(self) -> str:
        """Invented (0010,0020) Patient ID; equal for two radiographs of one animal."""
        return self.animal.patient_id
