import re
import struct
import zlib
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from clinic_files import named_dataset, save
from fake_enhancer import FakeEnhancer
from judges import REAL, errors_of, example, need
from pydicom import DataElement, Dataset
from pydicom.sequence import Sequence

from radenhance.dicom.provenance import written_by_radenhance
from radenhance.dicom.read import read, read_header, read_open
from radenhance.dicom.write import write_png
from radenhance.errors import RadiographError
from radenhance.inference.batch import Batch, Settings
from radenhance.inference.naming import uid_within
from radenhance.inference.outputs import Output
from radenhance.prepare.deidentify import write_without_identity
from radenhance.prepare.source import FoundFile, identify

SECRET = "Quillfeather"  # pragma: allowlist secret
DATE = "19990917"
TEXT_VRS = ("AE", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT")
TEXT_KEYWORDS = """
    PatientName PatientID OtherPatientIDs OtherPatientNames ResponsiblePerson
    ResponsibleOrganization PatientAddress PatientComments InstitutionName InstitutionAddress
    InstitutionalDepartmentName StationName OperatorsName PerformingPhysicianName
    ReferringPhysicianName RequestingPhysician AccessionNumber StudyDescription SeriesDescription
    ProtocolName ImageComments DeviceSerialNumber DetectorID PlateID AcquisitionDeviceProcessingCode
    PatientBreedDescription PatientSpeciesDescription RequestedProcedureDescription StudyID
    PatientInsurancePlanCodeSequence AdditionalPatientHistory DerivationDescription
    AcquisitionComments ContrastBolusAgent FilterMaterial BodyPartExamined
    DeviceDescription
"""
DATES = """
    PatientBirthDate StudyDate SeriesDate AcquisitionDate ContentDate DateOfLastCalibration
    DateOfSecondaryCapture DateOfLastDetectorCalibration
"""


def without_identity(path):
    """The bytes of a file's copy without identity."""
    source = identify(FoundFile(path, path.name))
    copy = path.with_name("copy" + source.suffix)
    write_without_identity(copy, source)
    return copy


def assert_gone(copy, *secrets):
    content = copy.read_bytes()
    for secret in secrets:
        assert secret.encode() not in content
        assert secret.upper().encode() not in content
        assert secret.encode("utf-16-le") not in content


@pytest.mark.parametrize("keyword", TEXT_KEYWORDS.split())
def test_no_text_of_a_header_survives(keyword):
    dataset = named_dataset()
    vr = pydicom.datadict.dictionary_VR(keyword)
    value = [_item(SECRET)] if vr == "SQ" else SECRET
    dataset.add(DataElement(keyword, vr, value, validation_mode=0))
    assert_gone(without_identity(save(dataset, Path("a.dcm"))), SECRET)


@pytest.mark.parametrize("keyword", DATES.split())
def test_no_date_of_a_header_survives(keyword):
    dataset = named_dataset()
    setattr(dataset, keyword, DATE)
    assert_gone(without_identity(save(dataset, Path("a.dcm"))), DATE)


@pytest.mark.parametrize("vr", TEXT_VRS)
@pytest.mark.parametrize("tag", [0x00091010, 0x00191010, 0x00291010, 0x00180010, 0x00281199])
def test_text_of_any_type_does_not_survive_even_among_technical_elements(vr, tag):
    dataset = named_dataset()
    if tag >> 16 & 1:
        dataset.add_new((tag & 0xFFFF0000) + 0x10, "LO", SECRET)  # the private creator
    dataset.add(DataElement(tag, vr, SECRET, validation_mode=0))
    assert_gone(without_identity(save(dataset, Path("a.dcm"))), SECRET)


@pytest.mark.parametrize("vr", ["OB", "UN"])
def test_bytes_that_hold_a_name_do_not_survive(vr):
    dataset = named_dataset()
    dataset.add_new(0x00090010, "LO", "VENDOR")
    dataset.add(DataElement(0x00091010, vr, SECRET.encode()))
    dataset.add(DataElement(0x60003000, vr, SECRET.encode()))  # the pixels of an overlay
    assert_gone(without_identity(save(dataset, Path("a.dcm"))), SECRET)


def _item(text, depth=3):
    item = Dataset()
    item.add(DataElement("PatientName", "PN", text))
    item.CodeMeaning = text
    if depth:
        item.RequestAttributesSequence = Sequence([_item(text, depth - 1)])
    return item


@pytest.mark.parametrize(
    "keyword",
    [
        "RequestAttributesSequence",
        "AnatomicRegionSequence",
        "ViewCodeSequence",
        "SourceImageSequence",
    ],
)
def test_a_name_inside_nested_sequences_does_not_survive(keyword):
    dataset, item = named_dataset(), _item(SECRET)
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = "1.2", "1.2.3"
    setattr(dataset, keyword, Sequence([item]))
    assert_gone(without_identity(save(dataset, Path("a.dcm"))), SECRET)


def test_codes_that_decide_how_pixels_are_read_stay_even_if_an_owner_is_called_so():
    dataset = named_dataset()
    dataset.ResponsiblePerson = f"{dataset.PixelIntensityRelationship}^Mary"
    dataset.PatientName = "Original^Primary"
    path = save(dataset, Path("a.dcm"))
    copy = without_identity(path)
    assert np.array_equal(read(copy).pixels, read(path).pixels)
    assert pydicom.dcmread(copy).PixelIntensityRelationship == dataset.PixelIntensityRelationship


def test_tables_of_values_stay_without_their_explanation():
    dataset, table = named_dataset(), Dataset()
    table.LUTDescriptor, table.LUTExplanation = [4096, 0, 16], SECRET
    table.add(DataElement("LUTData", "OW", np.arange(4096, dtype="<u2").tobytes()))
    table.ModalityLUTType = "US"
    dataset.ModalityLUTSequence = Sequence([table])
    del dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType
    copy = without_identity(save(dataset, Path("a.dcm")))
    assert_gone(copy, SECRET)
    kept = pydicom.dcmread(copy).ModalityLUTSequence[0]
    assert kept.LUTData == table.LUTData
    assert "LUTExplanation" not in kept


def test_file_meta_information_and_preamble_are_written_anew():
    path = save(named_dataset(), Path("a.dcm"))
    dataset = pydicom.dcmread(path)
    dataset.file_meta.SourceApplicationEntityTitle = SECRET
    dataset.preamble = SECRET.encode().ljust(128, b"\0")
    dataset.save_as(path)
    assert_gone(without_identity(path), SECRET)


def test_what_reading_needs_stays():
    path = save(named_dataset("cat", seed=3), Path("a.dcm"))
    copy = without_identity(path)
    before, after = read(path), read(copy)
    assert np.array_equal(before.pixels, after.pixels)
    assert (before.bits, before.relationship, before.spacing_mm) == (
        after.bits,
        after.relationship,
        after.spacing_mm,
    )
    headers = read_header(path), read_header(copy)
    for name in ("kvp", "mas", "body_part", "view", "sign", "photometric", "manufacturer"):
        assert getattr(headers[0], name) == getattr(headers[1], name), name
    dataset = pydicom.dcmread(copy)
    assert dataset.PatientSpeciesDescription == "cat"
    assert dataset.PatientIdentityRemoved == "YES"


def test_equal_uids_become_equal_ones_and_none_stays():
    first, second = named_dataset("dog", seed=1), named_dataset("dog", seed=2)
    second.StudyInstanceUID = first.StudyInstanceUID
    copies = [
        pydicom.dcmread(without_identity(save(dataset, Path(name) / "a.dcm")))
        for name, dataset in (("1", first), ("2", second))
    ]
    assert copies[0].StudyInstanceUID == copies[1].StudyInstanceUID != first.StudyInstanceUID
    assert copies[0].SOPInstanceUID != copies[1].SOPInstanceUID
    assert copies[0].file_meta.MediaStorageSOPInstanceUID == copies[0].SOPInstanceUID


def test_a_patient_is_a_hash_that_two_images_share():
    copies = [
        pydicom.dcmread(
            without_identity(save(named_dataset(seed=seed, patient=7), Path(str(seed))))
        )
        for seed in (1, 2)
    ]
    assert copies[0].PatientID == copies[1].PatientID
    assert "QF774411" not in copies[0].PatientID


def test_texts_of_a_png_are_removed_and_its_pixels_are_not():
    path, image = Path("a.png"), np.linspace(0, 1, 64 * 64).reshape(64, 64)
    write_png(path, image)
    content, chunks = path.read_bytes(), b""
    for kind, data in ((b"tEXt", SECRET), (b"eXIf", SECRET), (b"tIME", DATE), (b"quIl", SECRET)):
        data = data.encode()
        chunks += struct.pack(">I", len(data)) + kind + data
        chunks += struct.pack(">I", zlib.crc32(kind + data))
    end = content.index(b"IEND") - 4
    path.write_bytes(content[:end] + chunks + content[end:] + SECRET.encode())
    copy = without_identity(path)
    assert_gone(copy, SECRET, DATE)
    assert np.array_equal(read(copy).pixels, read(path).pixels)


def test_an_array_is_copied_as_it_is():
    np.save("a.npy", np.arange(4096, dtype=np.uint16).reshape(64, 64))
    assert without_identity(Path("a.npy")).read_bytes() == Path("a.npy").read_bytes()


def test_tiff_is_refused_with_what_to_do():
    cv2.imwrite("a.tif", np.zeros((64, 64), np.uint16))
    with pytest.raises(RadiographError, match="convert it to PNG"):
        without_identity(Path("a.tif"))


# Derived images


NUMBER, UID = "774411", "1.2.840.774411.5"
READ = """
    SOPClassUID SOPInstanceUID Rows Columns BitsAllocated BitsStored HighBit
    PixelRepresentation SamplesPerPixel PhotometricInterpretation PixelIntensityRelationship
    RescaleIntercept PixelIntensityRelationshipSign RescaleSlope RescaleType
    PresentationIntentType ImageType Modality NumberOfFrames PixelData PatientName PatientID
    SpecificCharacterSet TimezoneOffsetFromUTC PixelPaddingValue PixelPaddingRangeLimit
    PatientSpeciesDescription ContributingEquipmentSequence ModalityLUTSequence
    PresentationLUTShape DirectoryRecordSequence SourceImageSequence
"""
VALUES = {
    **dict.fromkeys(TEXT_VRS, SECRET),
    **dict.fromkeys(("OB", "OW", "UN"), SECRET.ljust(14).encode()),
    **dict.fromkeys(("IS", "DS"), NUMBER),
    **dict.fromkeys(("UL", "SL", "FL", "FD", "UV", "SV"), int(NUMBER)),
    "CS": SECRET.upper(),
    "AS": "774Y",
    "DA": DATE,
    "DT": f"{DATE}101112",
    "TM": "101112.774411",
    "UI": UID,
}


def planted():
    """A radiograph in whose header each element that reading can do without holds an identity."""
    dataset = named_dataset()
    dataset.PatientID, dataset.PatientName = NUMBER, f"{SECRET}^{SECRET}"
    for tag, (vr, *_, keyword) in pydicom.datadict.DicomDictionary.items():
        if keyword in READ.split() or tag >> 16 in (0, 2, 4, 0xFFFA, 0xFFFC) or tag >> 16 >= 0x5400:
            continue
        value = [_item(SECRET), _dated(DATE)] if vr == "SQ" else VALUES.get(vr)
        if value is not None:
            dataset.add(DataElement(tag, vr, value, validation_mode=0))
    dataset.add_new(0x00090010, "LO", "VENDOR")
    for i, (vr, value) in enumerate(VALUES.items()):
        dataset.add(DataElement(0x00091000 + i, vr, value, validation_mode=0))
    dataset.add(DataElement(0x60003000, "OB", SECRET.ljust(14).encode()))
    return dataset


def _dated(date):
    item = Dataset()
    item.StudyDate, item.StudyInstanceUID, item.CodeValue = date, UID, NUMBER
    item.CodingSchemeDesignator, item.CodeMeaning = "SCT", SECRET
    return item


def derived(dataset, output=None):
    """What is derived of a file without identities, as a file and as a dataset."""
    path = save(dataset, Path("source.dcm"))
    with path.open("rb") as file:
        source = read_open(path, file)
    pixels = np.zeros(source.radiograph.shape, np.float32)
    output = output or Output("dicom", deidentify=True)
    written = output.write(
        Path("derived"), source, pixels, description="A test", uid_of=partial(uid_within, "0" * 32)
    )
    return written, pydicom.dcmread(written)


def test_no_name_date_number_or_uid_survives_wherever_it_stood():
    path, dataset = derived(planted())
    assert_gone(path, SECRET, DATE, NUMBER, "774Y")
    left = [e.keyword for e in dataset.iterall() if getattr(e.value, "real", 0) == int(NUMBER)]
    assert left == []
    assert not any(element.tag.is_private for element in dataset.iterall())


def test_the_search_finds_what_is_planted():
    content = derived(planted(), Output("dicom"))[0].read_bytes()
    for secret in (SECRET, SECRET.upper(), DATE, NUMBER, UID):
        assert content.count(secret.encode()) > 10


def test_methods_are_named_by_the_codes_of_the_profile_that_is_kept():
    _, dataset = derived(named_dataset())
    codes = [item.CodeValue for item in dataset.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113105"]
    assert dataset.PatientIdentityRemoved == "YES"
    assert dataset.DeidentificationMethod == "radenhance enhance --deidentify"
    assert dataset.LongitudinalTemporalInformationModified == "REMOVED"
    assert dataset.PatientSex == ""  # which the profile wants empty


@pytest.mark.parametrize(("declared", "says"), [(None, "YES"), ("YES", "YES"), ("NO", "NO")])
def test_text_in_the_pixels_is_taken_to_be_there_unless_the_source_denies_it(declared, says):
    dataset = named_dataset()
    dataset.BurnedInAnnotation = declared
    assert derived(dataset)[1].BurnedInAnnotation == says


def test_a_derived_image_still_says_how_it_was_made_and_is_known_as_one():
    dataset = named_dataset()
    view = Dataset()
    view.CodeValue, view.CodingSchemeDesignator, view.CodeMeaning = "399348003", "SCT", SECRET
    dataset.ViewCodeSequence = [view]
    path, dataset = derived(dataset)
    assert dataset.DerivationDescription == "A test"
    assert written_by_radenhance(dataset)
    assert dataset.ViewCodeSequence[0].CodeValue == "399348003"
    assert dataset.PresentationLUTShape == "IDENTITY"
    assert read_header(path).species == "dog"
    assert dataset.PixelData


@pytest.mark.parametrize("name", ["Class", "Code", "Image", "Instance", "Linear", "Sequence"])
def test_an_owner_whose_name_is_a_word_of_dicoms_takes_no_reference_away(name):
    dataset = named_dataset()
    dataset.PatientName = f"{name}^Ann"
    _, dataset = derived(dataset)
    assert dataset.SourceImageSequence[0].PurposeOfReferenceCodeSequence
    assert dataset.ViewCodeSequence[0].CodeValue
    assert written_by_radenhance(dataset)


def test_uids_are_replaced_alike_by_ones_that_only_the_run_can_tell():
    first, second = named_dataset(seed=1), named_dataset(seed=2)
    second.StudyInstanceUID = first.StudyInstanceUID
    second.SeriesInstanceUID = first.SeriesInstanceUID
    (path, one), (_, other) = derived(first), derived(second)
    assert one.StudyInstanceUID == other.StudyInstanceUID
    assert one.SeriesInstanceUID == other.SeriesInstanceUID
    assert one.SOPInstanceUID != other.SOPInstanceUID
    source = one.SourceImageSequence[0].ReferencedSOPInstanceUID
    assert source not in (first.SOPInstanceUID, one.SOPInstanceUID)
    assert source == uid_within("0" * 32, first.SOPInstanceUID)
    for uid in (first.SOPInstanceUID, first.StudyInstanceUID, first.SeriesInstanceUID):
        assert uid.encode() not in path.read_bytes()


def test_files_and_folders_that_are_called_after_uids_or_patients_lend_no_name():
    dataset = named_dataset()
    path = Path("in") / dataset.StudyInstanceUID / f"{dataset.SOPInstanceUID}.dcm"
    settings = Settings(FakeEnhancer(), Output(deidentify=True))
    batch = Batch(Path("out"), settings, quiet=True)
    (record,) = batch.run([FoundFile(save(dataset, path), path.as_posix())])
    assert re.fullmatch(r"image-[0-9a-f]{16}\.dcm", record.output)
    assert record.key not in record.output
    assert (Path("out") / record.output).is_file()


WITH_PIXELS = [name for name in REAL if name.startswith(("RG", "mlut", "vlut"))]


@pytest.mark.parametrize("name", [*WITH_PIXELS, "of a dog", "of a dog, its copy"])
def test_dciodvfy_finds_no_error_that_the_image_with_identities_has_not(name):
    need("dciodvfy")
    source = pydicom.dcmread(example(name)) if name in REAL else named_dataset()
    if name == "of a dog, its copy":
        path = save(source, Path("source.dcm"))
        named, nameless = path, without_identity(path)
    else:
        named, nameless = (
            derived(source, Output("dicom", deidentify=deidentify))[0].rename(f"{deidentify}.dcm")
            for deidentify in (False, True)
        )
    assert errors_of(nameless) <= errors_of(named)
