"""A phantom as DX Image Storage - For Processing.

A phantom goes through the same reader as a file of a device, so it is the same kind of file: with
the attributes that PS3.3 A.26 (Digital X-Ray Image IOD) requires for an animal, and of its optional
modules those that tell how the image was made. No name, date or place is real.
"""

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import DigitalXRayImageStorageForProcessing, ExplicitVRLittleEndian, generate_uid

from radenhance import __version__
from radenhance.phantoms.phantom import Phantom

DATE, TIME = "20260101", "120000"
MANUFACTURER = "radenhance"
SOURCE_TO_DETECTOR_MM = 1000

Code = tuple[str, str]
# SNOMED CT: PS3.16 CID 7454 Animal Taxonomic Rank Values (which has no turtle), CID 7482 DX Anatomy
# Imaged for Animal, CID 7484 DX View for Animal and CID 4010 DX View.
SPECIES: dict[str, Code] = {
    "cat": ("448169003", "Felis catus"),
    "dog": ("448771007", "Canis lupus familiaris"),
}
ANATOMY: dict[str, Code] = {
    "CHEST": ("816094009", "Chest"),
    "ABDOMEN": ("818981001", "Abdomen"),
    "PELVIS": ("816092008", "Pelvis"),
    "ELBOW": ("16953009", "Elbow joint"),
    "STIFLE": ("116010006", "Stifle"),
    "SKULL": ("89546000", "Skull"),
    "WHOLEBODY": ("38266002", "Entire body"),
}
LIMBS = ("ELBOW", "STIFLE")
RIGHT_LEFT: Code = ("399173006", "Right-left lateral")
LEFT_RIGHT: Code = ("399198007", "Left-right lateral")
# View: (0018,5101) View Position, (0054,0220) View Code, and the directions of rows and columns in
# the terms of a quadruped (PS3.3 C.7.6.1.1.1).
VIEWS: dict[str, tuple[str, Code, tuple[str, str]]] = {
    "ventrodorsal": ("VD", ("442441009", "Ventro-dorsal"), ("LE", "CD")),
    "dorsoventral": ("DV", ("441672003", "Dorso-ventral"), ("LE", "CD")),
    "craniocaudal": ("CRCD", ("399162004", "cranio-caudal"), ("L", "DI")),
    "mediolateral": ("ML", ("399260004", "Medio-Lateral"), ("CD", "DI")),
    "right lateral": ("RL", LEFT_RIGHT, ("CD", "V")),
    "left lateral": ("LL", RIGHT_LEFT, ("CD", "V")),
}
OPPOSITE = {"CD": "CR", "LE": "RT", "L": "M"}


def dataset_of(phantom: Phantom) -> Dataset:
    """Return the DICOM dataset of a phantom, including the file meta information.

    Equal phantoms give equal datasets: UIDs are hashes of the animal, and dates are fixed.

    Args:
        phantom: The phantom.

    Returns:
        A dataset for `save_as(path, enforce_file_format=True)`.
    """
    dataset = Dataset()
    _add_patient(dataset, phantom)
    _add_identifiers(dataset, phantom)
    _add_anatomy(dataset, phantom)
    _add_acquisition(dataset, phantom)
    _add_image(dataset, phantom)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta = meta
    return dataset


def _coded(code: Code) -> Sequence:
    item = Dataset()
    item.CodeValue, item.CodeMeaning = code
    item.CodingSchemeDesignator = "SCT"
    return Sequence([item])


def _add_patient(dataset: Dataset, phantom: Phantom) -> None:
    """Add the Patient module with its attributes for animals (PS3.3 C.7.1.1)."""
    physique = phantom.physique
    dataset.PatientName = f"SYNTHETIC^{phantom.species.upper()}"
    dataset.PatientID = phantom.patient_id
    dataset.IssuerOfPatientID = MANUFACTURER
    dataset.PatientBirthDate = ""
    dataset.PatientSex = physique.sex
    dataset.PatientAge = f"{physique.age_years:03d}Y"
    dataset.PatientSpeciesDescription = phantom.species.capitalize()
    if phantom.species in SPECIES:
        dataset.PatientSpeciesCodeSequence = _coded(SPECIES[phantom.species])
    dataset.PatientSexNeutered = "UNALTERED"
    dataset.PatientBreedDescription = phantom.breed
    dataset.PatientBreedCodeSequence = Sequence()
    dataset.BreedRegistrationSequence = Sequence()
    dataset.ResponsiblePerson = "SYNTHETIC^OWNER"
    dataset.ResponsiblePersonRole = "OWNER"
    dataset.ResponsibleOrganization = "SYNTHETIC CLINIC"
    dataset.AnatomicalOrientationType = "QUADRUPED"


def _add_identifiers(dataset: Dataset, phantom: Phantom) -> None:
    """Add the study, series, equipment and SOP common modules."""
    animal = phantom.animal
    study = [MANUFACTURER, animal.species, str(animal.number)]
    image = [*study, str(animal.seed), str(animal.examination), f"{phantom.spacing_mm:.6f}"]
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = DigitalXRayImageStorageForProcessing
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=[*image, "instance"])
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=[*study, "study"])
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=[*image, "series"])
    for kind in ("Study", "Series", "Acquisition", "Content"):
        setattr(dataset, f"{kind}Date", DATE)
        setattr(dataset, f"{kind}Time", TIME)
    dataset.AccessionNumber = ""
    dataset.ReferringPhysicianName = ""
    dataset.StudyID = str(animal.number)
    dataset.SeriesNumber = animal.examination + 1
    dataset.InstanceNumber = 1
    dataset.Modality = "DX"
    dataset.PresentationIntentType = "FOR PROCESSING"
    dataset.Manufacturer = MANUFACTURER
    dataset.ManufacturerModelName = "Synthetic phantom"
    dataset.SoftwareVersions = __version__
    dataset.ImageComments = "Synthetic image of no living animal"


def _add_anatomy(dataset: Dataset, phantom: Phantom) -> None:
    """Add the DX anatomy imaged and DX positioning modules (PS3.3 C.8.11.2, C.8.11.5)."""
    limb = phantom.body_part in LIMBS
    dataset.BodyPartExamined = phantom.body_part
    dataset.AnatomicRegionSequence = _coded(ANATOMY[phantom.body_part])
    dataset.ImageLaterality = phantom.side if limb else "U"
    view = phantom.view
    if view == "lateral":
        view = "mediolateral" if limb else f"{'right' if phantom.side == 'R' else 'left'} lateral"
    position, code, (row, column) = VIEWS[view]
    dataset.ViewPosition = position
    dataset.ViewCodeSequence = _coded(code)
    dataset.PatientOrientation = [OPPOSITE[row] if phantom.mirrored else row, column]
    dataset.PositionerType = "COLUMN"
    dataset.DistanceSourceToDetector = SOURCE_TO_DETECTOR_MM


def _add_acquisition(dataset: Dataset, phantom: Phantom) -> None:
    """Add the DX detector, X-ray generation, grid and acquisition context modules."""
    dataset.DetectorType = "SCINTILLATOR"
    dataset.DetectorConfiguration = "AREA"
    dataset.ImagerPixelSpacing = [phantom.spacing_mm, phantom.spacing_mm]
    dataset.KVP = phantom.kvp
    dataset.Exposure = max(round(phantom.mas), 1)  # whole mAs; the next attribute is exact
    dataset.ExposureInuAs = round(1000 * phantom.mas)
    dataset.Grid = "FOCUSED" if phantom.exposure.grid else "NONE"
    dataset.AcquisitionContextSequence = Sequence()


def _add_image(dataset: Dataset, phantom: Phantom) -> None:
    """Add the general image, image pixel and DX image modules (PS3.3 C.8.11.3)."""
    dataset.ImageType = ["ORIGINAL", "PRIMARY", ""]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = phantom.photometric
    dataset.Rows, dataset.Columns = phantom.stored.shape
    dataset.BitsAllocated = 16
    dataset.BitsStored = phantom.bits
    dataset.HighBit = phantom.bits - 1
    dataset.PixelRepresentation = 0
    dataset.PixelIntensityRelationship = phantom.relationship
    dataset.PixelIntensityRelationshipSign = phantom.sign
    dataset.RescaleIntercept = 0
    dataset.RescaleSlope = 1
    dataset.RescaleType = "US"
    white_is_high = phantom.photometric == "MONOCHROME2"
    dataset.PresentationLUTShape = "IDENTITY" if white_is_high else "INVERSE"
    dataset.LossyImageCompression = "00"
    dataset.BurnedInAnnotation = "NO"
    dataset.PixelData = np.ascontiguousarray(phantom.stored, "<u2").tobytes()
