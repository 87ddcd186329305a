"""One line of `pairs.csv`."""

from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "val", "test"]


@dataclass(frozen=True)
class Pair:
    """A raw radiograph and what it should look like; one line of `pairs.csv`.

    Args:
        case_id: The stem that both files share.
        patient_id: A hash or an invented name, never an identity; empty for a patient of its own.
        raw_path: Path of the raw file, relative to the dataset folder, with forward slashes.
        target_path: Path of the target, relative to the dataset folder, with forward slashes.
        split: The split that uses the pair: train, val or test.
        species: One of `radenhance.dataset.species.SPECIES`, else the text of (0010,2201) Patient
            Species Description in lower case; empty when unknown.
        breed: (0010,2292) Patient Breed Description.
        body_part: (0018,0015) Body Part Examined.
        view: (0018,5101) View Position.
        study_uid: A hash of (0020,000D) Study Instance UID.
        rows: Number of rows of both images.
        cols: Number of columns of both images.
        bits_stored: Declared bits per pixel of the raw image.
        photometric: (0028,0004) Photometric Interpretation of the raw file.
        pixel_intensity: (0028,1040) Pixel Intensity Relationship, LIN or LOG, as the file declares.
        sign: (0028,1041) Pixel Intensity Relationship Sign, +1 or -1.
        intent: (0008,0068) Presentation Intent Type.
        lossy: 1 where the raw image went through a compression that loses, else 0; empty when
            unknown.
        pixel_spacing_mm: Distance of pixel centres in millimetres.
        kvp: (0018,0060) KVP in kilovolts.
        mas: (0018,1152) Exposure in mAs.
        manufacturer: (0008,0070) Manufacturer.
        model: (0008,1090) Manufacturer's Model Name.
        raw_sha256: SHA-256 of the raw file in the dataset.
        target_sha256: SHA-256 of the target file in the dataset.
        source_sha256: SHA-256 of the file that the raw one was made from; it differs from
            `raw_sha256` only where identities were removed from the copy.
        pixels_sha256: SHA-256 of the raw pixels as they are read, whatever the file around them.
        target_algo: The algorithm that made the target; empty when a person or a device did.
        target_algo_hash: Hash of the algorithm's parameters.
        paired_by: What told that a target of a person or a device belongs to the raw image: name,
            source image, irradiation event, acquisition time, near acquisition time, acquisition
            number, instance number, or image; empty when unknown.
        outside_field: What the target is outside the exposed field of the raw image: black; keep
            for anything else; none where no field was found; empty when unknown.
        recipe: Hash of everything that decided both files; `radenhance prepare` does not repeat
            work of the same recipe.
        accept: 1, or 0 to keep the pair listed but out of every split.
        reviewed_by: The person who looked at the pair.
        review_date: The date of the review.
        notes: Free text.
    """

    case_id: str
    patient_id: str
    raw_path: str
    target_path: str
    split: Split
    species: str = ""
    breed: str = ""
    body_part: str = ""
    view: str = ""
    study_uid: str = ""
    rows: int | None = None
    cols: int | None = None
    bits_stored: int | None = None
    photometric: str = ""
    pixel_intensity: str = ""
    sign: int | None = None
    intent: str = ""
    lossy: int | None = None
    pixel_spacing_mm: float | None = None
    kvp: float | None = None
    mas: float | None = None
    manufacturer: str = ""
    model: str = ""
    raw_sha256: str = ""
    target_sha256: str = ""
    source_sha256: str = ""
    pixels_sha256: str = ""
    target_algo: str = ""
    target_algo_hash: str = ""
    paired_by: str = ""
    outside_field: str = ""
    recipe: str = ""
    accept: int = 1
    reviewed_by: str = ""
    review_date: str = ""
    notes: str = ""

    @property
    def patient(self) -> str:
        """The patient, which is the case itself where none is named."""
        return self.patient_id or f"of case {self.case_id}"
