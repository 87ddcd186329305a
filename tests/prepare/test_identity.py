import logging
import warnings
from pathlib import Path

import pytest
from clinic_files import named_dataset, save

from radenhance.dicom.dicom_file import parse
from radenhance.prepare.identity import blacked_out, identity_words, unwarned


def words_of(dataset):
    path = save(dataset, Path("a.dcm"))
    with path.open("rb") as file:
        return identity_words(parse(path, file).attributes)


def test_names_and_numbers_of_a_header_are_words():
    dataset = named_dataset()
    dataset.OtherPatientNames = ["Müller^Änne", "Sjö^Åsa"]
    dataset.ReferringPhysicianName = "Dr Watson-Holmes"
    dataset.AccessionNumber = "ACC-998877"
    found = words_of(dataset)
    assert {"quillfeather", "zorbax", "qf774411", "ann"} <= found
    assert {"muller", "anne", "asa", "watson", "holmes", "998877"} <= found


def test_words_too_short_to_tell_anyone_and_species_are_none():
    dataset = named_dataset()
    dataset.PatientName, dataset.ResponsiblePerson = "Cat^Li", "Dog^Xu"
    dataset.PatientID = "007"
    dataset.ReferringPhysicianName = ""
    assert words_of(dataset) == frozenset()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("export/Zorbax/IM1.dcm", "export/***/IM1.dcm"),
        ("export/ZORBAX_2/IM1.dcm", "export/***_2/IM1.dcm"),
        ("of Quillfeather's dog", "of ***'s dog"),
        ("quillfeathers", "***"),
        ("xzorbax77", "***"),
        ("Zörbäx", "***"),
        ("annual report", "annual report"),  # too short a name to be searched for inside a word
        ("Ann", "***"),
        ("", ""),
    ],
)
def test_every_word_that_holds_a_name_is_blacked_out(text, expected):
    assert blacked_out(text, frozenset({"zorbax", "quillfeather", "ann"})) == expected


def test_what_readers_warn_of_is_not_said_and_errors_are_raised(caplog):
    levels = [logging.getLogger(name).level for name in ("pydicom", "radenhance.dicom")]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with unwarned():
            warnings.warn("the name Zorbax", stacklevel=1)
            logging.getLogger("pydicom").warning("the name Zorbax")
            with pytest.raises(ValueError, match="heard"):
                raise ValueError("heard")
    assert said == []
    assert caplog.text == ""
    assert [logging.getLogger(name).level for name in ("pydicom", "radenhance.dicom")] == levels
