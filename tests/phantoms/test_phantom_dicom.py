import hashlib
import subprocess
import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import UID

import radenhance
from radenhance.dicom.read import read
from radenhance.phantoms.animals import EXAMINATIONS
from radenhance.phantoms.radiograph import Animal, dataset_of, phantom

SPACING_MM = 1.5
ALL = [(species, i) for species, options in EXAMINATIONS.items() for i in range(len(options))]
# PS3.3 A.26 and its modules, of 2025.
TYPE_1 = """
    SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID Modality PresentationIntentType
    ImageType SamplesPerPixel PhotometricInterpretation Rows Columns BitsAllocated BitsStored
    HighBit PixelRepresentation PixelData PixelIntensityRelationship PixelIntensityRelationshipSign
    RescaleIntercept RescaleSlope RescaleType PresentationLUTShape LossyImageCompression
    BurnedInAnnotation ImagerPixelSpacing ImageLaterality PatientSpeciesDescription
    ResponsiblePersonRole PatientOrientation
"""
TYPE_2 = """
    PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime AccessionNumber
    ReferringPhysicianName StudyID SeriesNumber Manufacturer InstanceNumber AnatomicRegionSequence
    DetectorType AcquisitionContextSequence PositionerType PatientSexNeutered
    PatientBreedDescription PatientBreedCodeSequence BreedRegistrationSequence ResponsiblePerson
    ResponsibleOrganization
"""
FORBIDDEN = ("WindowCenter", "WindowWidth", "VOILUTSequence")


@pytest.fixture(scope="module")
def cat():
    return phantom(Animal("cat", 4, 5, 0), spacing_mm=SPACING_MM)


def round_trip(dataset):
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    file.seek(0)
    return pydicom.dcmread(file)


@pytest.mark.parametrize(("species", "examination"), ALL)
def test_every_attribute_that_the_iod_requires_is_there(species, examination):
    dataset = dataset_of(phantom(Animal(species, 1, 2, examination), spacing_mm=3.0))
    for keyword in TYPE_1.split():
        assert dataset[keyword].value not in (None, "", []), keyword
    for keyword in TYPE_2.split():
        assert keyword in dataset
    for keyword in FORBIDDEN:
        assert keyword not in dataset
    assert dataset.SOPClassUID == "1.2.840.10008.5.1.4.1.1.1.1.1"
    assert dataset.PresentationIntentType == "FOR PROCESSING"
    assert dataset.HighBit == dataset.BitsStored - 1
    assert dataset.AnatomicRegionSequence[0].CodeMeaning
    assert dataset.ViewCodeSequence[0].CodingSchemeDesignator == "SCT"


def test_file_keeps_pixels_and_facts(cat):
    dataset = round_trip(dataset_of(cat))
    np.testing.assert_array_equal(dataset.pixel_array, cat.stored)
    assert dataset.BitsStored == 14
    assert dataset.PixelIntensityRelationship == cat.relationship
    assert dataset.PixelIntensityRelationshipSign == cat.sign
    assert dataset.PhotometricInterpretation == cat.photometric
    assert [float(x) for x in dataset.ImagerPixelSpacing] == [SPACING_MM] * 2
    assert float(dataset.KVP) == cat.kvp
    assert dataset.ExposureInuAs == round(1000 * cat.mas)
    assert dataset.PatientSpeciesDescription == "Cat"
    assert dataset.PatientSpeciesCodeSequence[0].CodeValue == "448169003"
    assert dataset.PatientBreedDescription == cat.breed
    assert dataset.BodyPartExamined == "CHEST"


def test_turtle_has_no_species_code_but_a_description():
    dataset = dataset_of(phantom("turtle", spacing_mm=3.0))
    assert dataset.PatientSpeciesDescription == "Turtle"
    assert "PatientSpeciesCodeSequence" not in dataset


def test_equal_phantoms_give_equal_files(cat):
    files = [BytesIO(), BytesIO()]
    for file in files:
        dataset_of(cat).save_as(file, enforce_file_format=True)
    assert files[0].getvalue() == files[1].getvalue()


def test_identifiers_are_valid_and_no_two_images_share_one(cat):
    others = [
        phantom(Animal("cat", 4, 6, 0), spacing_mm=3.0),
        phantom(Animal("cat", 4, 5, 1), spacing_mm=3.0),
        phantom(Animal("cat", 5, 5, 0), spacing_mm=3.0),
        phantom(Animal("dog", 4, 5, 0), spacing_mm=3.0),
        phantom(Animal("cat", 4, 5, 0), spacing_mm=3.0),
    ]
    datasets = [dataset_of(p) for p in (cat, *others)]
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID"):
        found = {dataset[keyword].value for dataset in datasets}
        assert len(found) == len(datasets)
        assert all(UID(uid).is_valid for uid in found)
    studies = [dataset.StudyInstanceUID for dataset in datasets]
    assert studies[0] == studies[1] == studies[2] == studies[5]
    assert len(set(studies)) == 3


def test_two_views_of_one_animal_have_one_patient():
    first, second = (
        dataset_of(phantom(Animal("dog", 9, seed, view), spacing_mm=3.0))
        for seed, view in ((1, 0), (2, 1))
    )
    assert first.PatientID == second.PatientID
    assert first.ViewPosition != second.ViewPosition


def test_owner_is_obviously_invented(cat):
    dataset = dataset_of(cat)
    assert dataset.ResponsiblePerson == "SYNTHETIC^OWNER"
    assert dataset.PatientName == "SYNTHETIC^CAT"


def test_presentation_lut_shape_fits_the_photometric_interpretation(cat):
    for photometric, shape in (("MONOCHROME1", "INVERSE"), ("MONOCHROME2", "IDENTITY")):
        dataset = dataset_of(replace(cat, photometric=photometric))
        assert dataset.PresentationLUTShape == shape


def test_mirroring_exchanges_the_direction_of_the_rows(cat):
    plain, mirrored = (dataset_of(replace(cat, mirrored=m)) for m in (False, True))
    assert list(plain.PatientOrientation) == ["CD", "V"]
    assert list(mirrored.PatientOrientation) == ["CR", "V"]


@pytest.mark.parametrize("relationship", ["LIN", "LOG"])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_reader_turns_every_polarity_to_bone_bright(cat, tmp_path, relationship, sign, photometric):
    exposure = replace(cat.exposure, relationship=relationship, sign=sign)
    low_is_dense = cat.stored if cat.sign == 1 else 16383 - cat.stored
    stored = low_is_dense if sign == 1 else 16383 - low_is_dense
    changed = replace(cat, exposure=exposure, stored=stored, photometric=photometric)
    dataset_of(changed).save_as(tmp_path / "cat.dcm", enforce_file_format=True)
    radiograph = read(tmp_path / "cat.dcm")
    np.testing.assert_array_equal(radiograph.pixels, 16383 - low_is_dense)
    assert radiograph.header.species == "Cat"


@pytest.mark.parametrize(("species", "examination"), ALL[::4])
def test_every_value_is_valid_for_its_type(species, examination, recwarn):
    dataset = dataset_of(phantom(Animal(species, 1, 2, examination), spacing_mm=6.0))
    file = BytesIO()
    before = pydicom.config.settings.writing_validation_mode
    pydicom.config.settings.writing_validation_mode = pydicom.config.RAISE
    try:
        dataset_of(phantom(Animal(species, 1, 2, examination), spacing_mm=6.0)).save_as(
            file, enforce_file_format=True
        )
    finally:
        pydicom.config.settings.writing_validation_mode = before
    assert not recwarn.list
    for element in dataset.iterall():
        assert not element.tag.is_private
        if element.VR in ("SH", "CS"):
            values = element.value if element.VM > 1 else [element.value]
            assert all(len(str(value)) <= 16 for value in values), element
        if element.VR == "UI":
            assert len(element.value) <= 64


def test_the_dose_of_the_header_is_that_of_the_exposure(cat):
    for mas in (0.5, 1.2, 12.0):
        dataset = dataset_of(replace(cat, exposure=replace(cat.exposure, mas=mas)))
        assert dataset.ExposureInuAs == round(1000 * mas)
        assert dataset.Exposure == max(round(mas), 1)
    with_grid = dataset_of(replace(cat, exposure=replace(cat.exposure, grid=True)))
    assert with_grid.Grid == "FOCUSED"


def test_pixel_data_have_the_length_that_rows_columns_and_bits_tell(cat):
    dataset = round_trip(dataset_of(cat))
    assert len(dataset.PixelData) == dataset.Rows * dataset.Columns * 2
    assert (dataset.BitsAllocated, dataset.PixelRepresentation) == (16, 0)


def test_a_file_is_the_same_in_another_process(cat):
    code = (
        "import hashlib, io\n"
        "from radenhance.phantoms.radiograph import Animal, dataset_of, phantom\n"
        "file = io.BytesIO()\n"
        f"made = phantom(Animal('cat', 4, 5, 0), spacing_mm={SPACING_MM})\n"
        "dataset_of(made).save_as(file, enforce_file_format=True)\n"
        "print(hashlib.sha256(file.getvalue()).hexdigest())\n"
    )
    root = Path(radenhance.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    file = BytesIO()
    dataset_of(cat).save_as(file, enforce_file_format=True)
    assert done.stdout.strip() == hashlib.sha256(file.getvalue()).hexdigest()
