import logging

import numpy as np
import pytest
from pydicom import Dataset
from saved_files import save

from radenhance.dicom.read import Declaration, read
from radenhance.errors import RadiographError

STORED = np.arange(24 * 32).reshape(24, 32)


def complemented(dataset, **how):
    """Whether reading complements the stored values; fails if it does anything else to them."""
    pixels = read(save(dataset, "a.dcm"), **how).pixels
    if np.array_equal(pixels, STORED):
        return False
    assert np.array_equal(pixels, 4095 - STORED)
    return True


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(("sign", "complement"), [(1, True), (-1, False)])
@pytest.mark.parametrize("relationship", ["LIN", "LOG"])
def test_sign_decides_for_processing(relationship, sign, complement, photometric, digital_xray):
    digital_xray.PixelIntensityRelationship = relationship
    digital_xray.PixelIntensityRelationshipSign = sign
    digital_xray.PhotometricInterpretation = photometric
    assert complemented(digital_xray) == complement
    assert read("a.dcm").relationship == relationship


@pytest.mark.parametrize(
    ("photometric", "complement"), [("MONOCHROME1", True), ("MONOCHROME2", False)]
)
@pytest.mark.parametrize("sign", [1, -1])
def test_photometric_interpretation_decides_for_presentation(
    sign, photometric, complement, digital_xray, caplog
):
    digital_xray.PresentationIntentType = "FOR PRESENTATION"
    digital_xray.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    digital_xray.PixelIntensityRelationshipSign = sign
    digital_xray.PhotometricInterpretation = photometric
    with caplog.at_level(logging.INFO):
        assert complemented(digital_xray) == complement
    assert ("disagree" in caplog.text) == (complement != (sign == 1))


@pytest.mark.parametrize(
    ("photometric", "complement"), [("MONOCHROME1", True), ("MONOCHROME2", False)]
)
@pytest.mark.parametrize("slope", ["-10", "1", "0.684"])
def test_photometric_interpretation_decides_without_sign_and_a_negative_slope_turns_it(
    slope, photometric, complement, computed_radiograph
):
    computed_radiograph.RescaleSlope = slope
    computed_radiograph.PhotometricInterpretation = photometric
    assert complemented(computed_radiograph) == (complement != (slope == "-10"))


def test_slope_does_not_turn_the_sign_which_speaks_of_stored_values(digital_xray):
    digital_xray.RescaleSlope, digital_xray.RescaleIntercept = "-1", "4095"
    assert complemented(digital_xray)


@pytest.mark.parametrize("shape", ["IDENTITY", "INVERSE"])
def test_presentation_lut_shape_is_not_asked(shape, digital_xray):
    del digital_xray.PixelIntensityRelationshipSign
    digital_xray.PresentationLUTShape = shape
    assert complemented(digital_xray)


@pytest.mark.parametrize(("bone", "complement"), [("bright", False), ("dark", True)])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_overriding_declaration_speaks_of_stored_values(
    bone, complement, photometric, digital_xray
):
    digital_xray.PhotometricInterpretation = photometric
    declaration = Declaration(bone=bone, override=True)
    assert complemented(digital_xray, declaration=declaration) == complement


@pytest.mark.parametrize(("bone", "complement"), [("bright", False), ("dark", True)])
def test_declaration_decides_where_the_file_is_silent(bone, complement, computed_radiograph):
    computed_radiograph.PhotometricInterpretation = ""
    with pytest.raises(RadiographError, match=r"\(0028,0004\) Photometric Interpretation"):
        read(save(computed_radiograph, "a.dcm"))
    assert complemented(computed_radiograph, declaration=Declaration(bone=bone)) == complement


@pytest.mark.parametrize("rises", [True, False])
@pytest.mark.parametrize("sign", [1, -1])
def test_modality_table_that_inverts_turns_the_sign(sign, rises, digital_xray):
    # Stored s becomes s or 4095 - s; either way bone must come out where the sign says it is.
    table = np.arange(4096) if rises else np.arange(4096)[::-1]
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [4096, 0, 12])
    item.add_new("LUTData", "OW", table.astype("<u2").tobytes())
    digital_xray.ModalityLUTSequence = [item]
    digital_xray.PixelIntensityRelationshipSign = sign
    assert complemented(digital_xray) == (sign == 1)


def test_presentation_follows_photometric_interpretation_against_the_sign(digital_xray):
    digital_xray.PixelIntensityRelationshipSign = 1
    digital_xray.PhotometricInterpretation = "MONOCHROME2"
    radiograph = read(save(digital_xray, "a.dcm"), for_presentation=True)
    assert radiograph.pixels[0, 0] < radiograph.pixels[-1, -1]
    digital_xray.PhotometricInterpretation = "MONOCHROME1"
    assert np.array_equal(
        read(save(digital_xray, "a.dcm"), for_presentation=True).pixels, 65535 - radiograph.pixels
    )


def test_relationship_is_the_declared_one_where_the_file_is_silent(computed_radiograph):
    save(computed_radiograph, "a.dcm")
    assert read("a.dcm").relationship == "LOG"
    assert read("a.dcm", declaration=Declaration(relationship="LIN")).relationship == "LIN"
    assert (
        read(
            "a.dcm", declaration=Declaration(relationship="LIN"), for_presentation=True
        ).relationship
        == "LOG"
    )
