import logging
from datetime import datetime
from pathlib import Path

import pydicom
import pytest
from pydicom import Dataset
from saved_files import SAMPLES, save

from radenhance.dicom.attributes import Attributes
from radenhance.dicom.facts import header_facts
from radenhance.dicom.radiograph import Header
from radenhance.dicom.read import read, read_header


def item(**elements):
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def test_header_of_a_digital_xray(digital_xray):
    digital_xray.ViewPosition, digital_xray.KVP, digital_xray.Exposure = "LL", "55.5", "4"
    digital_xray.ManufacturerModelName = "Model 1 "
    header = read_header(save(digital_xray, "a.dcm"))
    assert header.sop_class_uid == "1.2.840.10008.5.1.4.1.1.1.1.1"
    assert header.sop_instance_uid == "2.25.1"
    assert header.study_uid == "2.25.2"
    assert (header.species, header.breed) == ("Canine", "Laika")
    assert (header.body_part, header.view) == ("CHEST", "LL")
    assert (header.manufacturer, header.model) == ("Phantom Works", "Model 1")
    assert (header.photometric, header.intent) == ("MONOCHROME1", "FOR PROCESSING")
    assert (header.relationship, header.sign) == ("LIN", 1)
    assert (header.kvp, header.mas) == (55.5, 4.0)


def test_header_is_read_without_pixels(digital_xray):
    whole = read(save(digital_xray, "a.dcm")).header
    del digital_xray.PixelData
    assert read_header(save(digital_xray, "b.dcm")) == whole


def test_other_formats_have_no_header(tiny_dataset):
    assert read_header(tiny_dataset / "raw/case0.npy") == Header()


def test_sources_of_a_derived_image_are_listed(digital_xray):
    digital_xray.SourceImageSequence = [
        item(ReferencedSOPInstanceUID="2.25.11"),
        item(ReferencedSOPClassUID="2.25.99"),
        item(ReferencedSOPInstanceUID="2.25.12"),
    ]
    assert read_header(save(digital_xray, "a.dcm")).source_uids == ("2.25.11", "2.25.12")


@pytest.mark.parametrize("lossy", ["00", "01", None])
def test_the_image_that_was_compressed_is_no_source_of_its_copy(lossy, digital_xray):
    purpose = item(CodeValue="121320", CodingSchemeDesignator="DCM", CodeMeaning="predecessor")
    digital_xray.LossyImageCompression = lossy
    digital_xray.SourceImageSequence = [
        item(ReferencedSOPInstanceUID="2.25.11", PurposeOfReferenceCodeSequence=[purpose]),
        item(ReferencedSOPInstanceUID="2.25.12"),
    ]
    header = read_header(save(digital_xray, "a.dcm"))
    assert header.predecessor_uids == ("2.25.11",)
    assert header.source_uids == ("2.25.12",)


@pytest.mark.parametrize("name", ["RG1_J2KR", "RG1_J2KI", "RG3_J2KR", "RG3_J2KI", "RG1_UNCI"])
def test_real_copies_name_the_image_that_was_compressed(name):
    original = read_header(SAMPLES / f"{name[:3]}_UNCR.dcm").sop_instance_uid
    header = read_header(SAMPLES / f"{name}.dcm")
    assert (header.source_uids, header.predecessor_uids) == ((), (original,))


def test_species_is_taken_from_its_code_where_it_is_not_described(digital_xray):
    del digital_xray.PatientSpeciesDescription, digital_xray.PatientBreedDescription
    digital_xray.PatientSpeciesCodeSequence = [item(CodeMeaning="Felis catus")]
    digital_xray.PatientBreedCodeSequence = [item(CodeMeaning="Siamese")]
    header = read_header(save(digital_xray, "a.dcm"))
    assert (header.species, header.breed) == ("Felis catus", "Siamese")


def test_patient_is_a_pseudonym_that_depends_on_id_issuer_and_name_only(digital_xray):
    first = read_header(save(digital_xray, "a.dcm")).patient
    assert len(first) == 12
    assert set(first) <= set("0123456789abcdef")
    digital_xray.PatientSex, digital_xray.StudyInstanceUID = "M", "2.25.8"
    assert read_header(save(digital_xray, "a.dcm")).patient == first
    seen = {first}
    for keyword in ("PatientID", "IssuerOfPatientID", "PatientName"):
        setattr(digital_xray, keyword, "Other")
        seen.add(read_header(save(digital_xray, "a.dcm")).patient)
    assert len(seen) == 4


def test_patient_without_any_identity_is_unknown(digital_xray):
    digital_xray.PatientID = digital_xray.PatientName = ""
    assert read_header(save(digital_xray, "a.dcm")).patient == ""


@pytest.mark.parametrize(
    ("keyword", "field", "unknown"),
    [
        ("KVP", "kvp", None),
        ("PixelIntensityRelationshipSign", "sign", None),
        ("Exposure", "mas", None),
    ],
)
def test_malformed_fact_is_unknown_and_logged_by_tag(keyword, field, unknown, digital_xray, caplog):
    digital_xray.add_new(keyword, "LO", "unreadable")
    path = save(digital_xray, "a.dcm")
    with caplog.at_level(logging.WARNING):
        header = read_header(path)
    assert getattr(header, field) == unknown
    assert f"({pydicom.tag.Tag(keyword)}"[1:12].upper() in caplog.text.upper()


def test_malformed_identity_is_not_shown_in_the_log(digital_xray, caplog):
    digital_xray.add_new("PatientID", "US", 12345)
    with caplog.at_level(logging.WARNING):
        read_header(save(digital_xray, "a.dcm"))
    assert "(0010,0020) Patient ID" in caplog.text
    assert "12345" not in caplog.text


@pytest.mark.parametrize(
    ("declared", "sop_class", "intent"),
    [
        ("FOR PRESENTATION", "1.2.840.10008.5.1.4.1.1.1.1.1", "FOR PRESENTATION"),
        ("", "1.2.840.10008.5.1.4.1.1.1.1.1", "FOR PROCESSING"),
        ("", "1.2.840.10008.5.1.4.1.1.1.2", "FOR PRESENTATION"),
        ("", "1.2.840.10008.5.1.4.1.1.1", None),
    ],
)
def test_intent_is_declared_or_that_of_the_class(declared, sop_class, intent, digital_xray):
    digital_xray.PresentationIntentType, digital_xray.SOPClassUID = declared, sop_class
    assert read_header(save(digital_xray, "a.dcm")).intent == intent


def test_spacing_is_that_at_the_detector_first(digital_xray):
    digital_xray.PixelSpacing = [0.2, 0.3]
    assert read(save(digital_xray, "a.dcm")).spacing_mm == (0.1, 0.1)
    del digital_xray.ImagerPixelSpacing
    assert read(save(digital_xray, "a.dcm")).spacing_mm == (0.2, 0.3)
    digital_xray.PixelSpacing = [0, 0]
    assert read(save(digital_xray, "a.dcm")).spacing_mm is None


JPEG_BASELINE, JPEG_EXTENDED, JPEG_LOSSLESS = (f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 70))
JPEG_2000_LOSSLESS, JPEG_2000, NEAR_LOSSLESS, EXPLICIT = (
    *(f"1.2.840.10008.1.2.4.{n}" for n in (90, 91, 81)),
    "1.2.840.10008.1.2.1",
)


@pytest.mark.parametrize(
    ("declared", "syntax", "lossy"),
    [
        ("", EXPLICIT, False),
        ("00", EXPLICIT, False),
        ("01", EXPLICIT, True),  # decompressed since
        ("01", JPEG_LOSSLESS, True),
        ("", JPEG_LOSSLESS, False),
        ("", JPEG_2000_LOSSLESS, False),
        ("", JPEG_BASELINE, True),
        ("00", JPEG_BASELINE, True),  # which cannot be
        ("00", JPEG_EXTENDED, True),
        ("", JPEG_2000, True),
        ("00", JPEG_2000, False),
        ("", NEAR_LOSSLESS, True),
        ("00", NEAR_LOSSLESS, False),
    ],
)
def test_losses_are_told_by_the_header_or_by_the_transfer_syntax(declared, syntax, lossy):
    header = item(LossyImageCompression=declared) if declared else Dataset()
    facts = header_facts(Attributes(header, Path("a.dcm"), big_endian=False), syntax)
    assert facts.lossy == lossy


@pytest.mark.parametrize(
    ("elements", "same"),
    [
        ({"AcquisitionDateTime": "20260102101500"}, True),
        ({"AcquisitionDateTime": "20260102101500.000+0100"}, True),
        ({"AcquisitionDate": "20260102", "AcquisitionTime": "101500.0"}, True),
        ({"AcquisitionDate": "2026.01.02", "AcquisitionTime": "10:15:00"}, True),
        ({"StudyDate": "20260102", "AcquisitionTime": "101500"}, True),
        ({"AcquisitionDateTime": "2026", "StudyDate": "20260102", "AcquisitionTime": "101500"}, 1),
        ({"AcquisitionDate": "20260103", "AcquisitionTime": "101500"}, False),
        ({"AcquisitionDate": "20260102", "AcquisitionTime": "1015"}, None),
        ({"AcquisitionDate": "20261302", "AcquisitionTime": "101500"}, None),
        ({"AcquisitionTime": "101500"}, None),
        ({"StudyDate": "20260102", "StudyTime": "101500"}, None),
        ({}, None),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_the_second_of_the_acquisition_is_found_in_any_notation(elements, same):
    found = header_facts(Attributes(item(**elements), Path("a.dcm"), big_endian=False)).acquired_s
    expected = (datetime(2026, 1, 2, 10, 15) - datetime.min).total_seconds()
    assert (found is not None) == (same is not None)
    assert (found == expected) == bool(same)
