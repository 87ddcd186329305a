import logging
import warnings
from pathlib import Path

import pytest
from clinic_files import named_dataset, save

from radenhance.dicom.dicom_file import parse
from radenhance.prepare.identity import blacked_out, identity_words, masked, unwarned


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
    dataset.ResponsibleOrganization, dataset.StudyID = "Animal Hospital", "12"
    assert words_of(dataset) == frozenset()


def test_places_of_a_header_are_words_but_for_those_that_every_place_has():
    dataset = named_dataset()
    dataset.InstitutionName = "Brackwater Veterinary Hospital, Ely"
    dataset.StationName, dataset.OperatorsName = "KESTREL3", "Thrupp^Odo"
    found = words_of(dataset)
    assert {"brackwater", "kestrel3", "thrupp", "odo"} <= found
    assert not {"veterinary", "hospital", "ely"} & found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("export/Zorbax/IM1.dcm", "export/***/IM1.dcm"),
        ("export/ZORBAX_2/IM1.dcm", "export/***_2/IM1.dcm"),
        ("of Quillfeather's dog", "of ***'s dog"),
        ("quillfeathers", "***"),
        ("xzorbax77", "***"),
        ("Zörbäx", "***"),
        ("annual report", None),  # too short a name to be searched for inside a word
        ("Ann", "***"),
        ("export/2019-03-04/IM_20190304.dcm", "export/***/IM_***.dcm"),
        ("4.3.2019", "***"),
        ("(0008,2112), 1.2.840.10008.1.2.4.70, 2048 x 2048", None),
        ("", ""),
    ],
)
def test_every_word_that_holds_a_name_is_blacked_out(text, expected):
    assert blacked_out(text, frozenset({"zorbax", "quillfeather", "ann"})) == (
        text if expected is None else expected
    )


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("Modality is 'ZORBAX', expected CR", "Modality is '***', expected CR"),
        ("Zorbax is ours here", None),
        ("is ['a', 'Zorbax B'], expected", "is ['a', '*** B'], expected"),
        ('is "O\'Zorbax", expected', 'is "O\'***", expected'),
        ("is 'a value that is cut off Zorb Zorbax", "is 'a value that is cut off Zorb ***"),
        ("made on 2019-03-04 of 'Zorbax'", "made on *** of '***'"),
    ],
)
def test_what_a_sentence_quotes_is_blacked_out_and_the_rest_is_ours(sentence, expected):
    assert masked(sentence, frozenset({"zorbax"})) == (expected or sentence)


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
