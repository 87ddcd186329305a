"""A synthetic radiograph: pixels as a detector stores them, and the facts of its header.

It holds what is known before there is a file, such as the image without most of the noise, which no
file of a device has.
"""

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
    """A synthetic radiograph of an invented animal.

    Args:
        stored: Stored pixel values with scatter and noise, uint16, shape (rows, columns), in
            [0, 2**bits - 1].
        clean: The same exposure with scatter times 0.4 and noise times 0.3, float32, same shape and
            unit.
        animal: The animal and its examination.
        physique: The animal's measures.
        exposure: Settings of generator and detector.
        photometric: Value of (0028,0004) Photometric Interpretation.
        side: Letter of the lead marker, R or L.
        marker: Rows and columns that the lead marker takes.
        mirrored: Whether left and right of the image are exchanged.
    """

    stored: npt.NDArray[np.uint16]
    clean: npt.NDArray[np.float32]
    animal: Animal
    physique: Physique
    exposure: Exposure
    photometric: Photometric
    side: Literal["R", "L"]
    marker: tuple[slice, slice]
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
        """The tube voltage in kV."""
        return self.exposure.kvp

    @property
    def mas(self) -> float:
        """The tube load in mAs."""
        return self.exposure.mas

    @property
    def spacing_mm(self) -> float:
        """The pixel size in mm."""
        return self.exposure.spacing_mm

    @property
    def species(self) -> Species:
        """The species: cat, dog or turtle."""
        return self.animal.species

    @property
    def breed(self) -> str:
        """The breed in words."""
        return self.physique.breed

    @property
    def body_part(self) -> str:
        """(0018,0015) Body Part Examined."""
        return self.animal.view.body_part

    @property
    def view(self) -> str:
        """The direction of the beam: lateral, ventrodorsal, dorsoventral or craniocaudal."""
        return self.animal.view.view

    @property
    def patient_id(self) -> str:
        """The invented (0010,0020) Patient ID, which two radiographs of one animal share."""
        return self.animal.patient_id
