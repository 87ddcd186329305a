import logging
from pathlib import Path

import pytest
from pydicom import Dataset

from radenhance.dicom.attributes import Attributes, or_unknown, tag_name
from radenhance.errors import RadiographError


def attributes(**elements):
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return Attributes(dataset, Path("a.dcm"), big_endian=False)


def test_an_absent_element_and_an_empty_one_are_the_same():
    for found in (attributes(), attributes(ViewPosition="", WindowCenter=[], KVP=None)):
        assert found.text("ViewPosition") == ""
        assert found.numbers("WindowCenter") == ()
        assert found.number("KVP") is None
        assert found.items("VOILUTSequence") == ()


def test_padding_of_a_text_is_left_out_and_several_values_stay_apart():
    found = attributes(Manufacturer="Phantom \0", ImageType=["DERIVED", "PRIMARY"])
    assert found.text("Manufacturer") == "Phantom"
    assert found.text("ImageType") == "DERIVED\\PRIMARY"


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda a: a.number("WindowWidth"), r"\(0028,1051\) Window Width has 2 values, expected"),
        (lambda a: a.integer("KVP"), r"\(0018,0060\) KVP is 52.5, expected a whole number"),
        (lambda a: a.text("Rows"), r"\(0028,0010\) Rows is 5, expected text"),
        (lambda a: a.items("Rows"), "Rows is 5, expected a sequence"),
        (lambda a: a.numbers("Modality"), "Modality is 'DX', expected numbers"),
        (lambda a: a.required_integer("Columns"), r"\(0028,0011\) Columns is missing or empty"),
    ],
)
def test_an_element_of_another_type_is_named_with_its_file(read, message):
    found = attributes(WindowWidth=[1, 2], KVP=52.5, Rows=5, Modality="DX")
    with pytest.raises(RadiographError, match=f"^a.dcm: .*{message}"):
        read(found)


def test_a_patients_identity_is_in_no_message():
    with pytest.raises(RadiographError) as caught:
        attributes(PatientName="Rex^Owner").numbers("PatientName")
    assert "Rex" not in str(caught.value)
    assert "(0010,0010) Patient's Name" in str(caught.value)


def test_what_is_not_needed_is_unknown_where_it_is_malformed_and_that_is_logged(caplog):
    found = attributes(KVP=[1, 2])
    with caplog.at_level(logging.WARNING):
        assert or_unknown(found.number, "KVP", None) is None
    assert "(0018,0060) KVP has 2 values, expected one; taken as unknown" in caplog.text
    assert or_unknown(attributes(KVP=52).number, "KVP", None) == 52


def test_a_tag_is_named_as_in_the_standard():
    assert tag_name("PixelPaddingValue") == "(0028,0120) Pixel Padding Value"
