"""Elements of a header that are missing, empty or of no meaning: which of them an image needs."""

import numpy as np
import pytest
from pydicom import DataElement, Dataset
from saved_files import rich, save, with_modality_lut

from radenhance.dicom.attributes import tag_name
from radenhance.dicom.read import read
from radenhance.errors import RadiographError

NEEDED = {
    "SOPClassUID",
    "SamplesPerPixel",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "PixelRepresentation",
    "PixelData",
}
"""Without these the pixels have no meaning."""

DECIDING = {
    "PixelIntensityRelationshipSign",
    "PhotometricInterpretation",
    "RescaleSlope",
    "ModalityLUTSequence",
}
"""Without these an image is read, but may be another one."""

HEADERS = {"rich": rich, "with_modality_lut": with_modality_lut}
SAYS_SOMETHING = {*NEEDED, "HighBit", "Modality", "PhotometricInterpretation"}
"""Whatever stands there is a statement: none of their values says nothing."""

NOTHING = {
    "US": 0, "SS": 0, "UL": 0, "IS": "0", "DS": "0", "SQ": [Dataset()], "CS": "NONE", "FD": 0.0
}  # fmt: skip
"""Type of an element -> a value that says nothing."""


def changes(header):
    """All elements of a header, each missing, empty, and with a value that says nothing."""
    for element in HEADERS[header]():
        yield element.keyword, "missing"
        yield element.keyword, "empty"
        if element.VR in NOTHING and element.keyword not in SAYS_SOMETHING:
            yield element.keyword, "nothing"


def changed(header, keyword, how):
    dataset = HEADERS[header]()
    if how == "missing":
        del dataset[keyword]
    else:
        element = dataset[keyword]
        value = NOTHING[element.VR] if how == "nothing" else None
        dataset[keyword] = DataElement(element.tag, element.VR, value)
    if keyword != "PixelData":
        dataset["PixelData"].VR = "OW"
    return save(dataset, "changed.dcm")


CASES = [
    pytest.param(header, *change, id=f"{header}-{change[0]}-{change[1]}")
    for header in HEADERS
    for change in changes(header)
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("header", "keyword", "how"), CASES)
@pytest.mark.parametrize("for_presentation", [False, True])
def test_an_element_that_says_nothing_is_no_reason_to_refuse(
    header, keyword, how, for_presentation
):
    path = changed(header, keyword, how)
    if keyword in NEEDED or (keyword == "PhotometricInterpretation" and for_presentation):
        with pytest.raises(RadiographError) as caught:
            read(path, for_presentation=for_presentation)
        assert tag_name(keyword) in str(caught.value)
        return
    found = read(path, for_presentation=for_presentation)
    if not for_presentation and keyword not in DECIDING:
        whole = read(save(HEADERS[header](), "whole.dcm"))
        assert np.array_equal(found.pixels, whole.pixels)
        assert found.bits == whole.bits
