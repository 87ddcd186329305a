import pytest
from saved_files import save

from radenhance.dicom.read import read
from radenhance.errors import RadiographError

STORAGE = "1.2.840.10008.5.1.4.1.1."


@pytest.mark.parametrize(
    ("sop_class", "modality"),
    [
        ("1", "CR"),
        ("1.1", "DX"),
        ("1.1.1", "DX"),
        ("1.2", "MG"),
        ("1.2.1", "MG"),
        ("1.3", "IO"),
        ("12.1", "XA"),
        ("12.2", "RF"),
        ("7", "OT"),
        ("7", ""),
        ("7.3", "RG"),
    ],
)
def test_xray_projections_are_read(sop_class, modality, digital_xray):
    digital_xray.SOPClassUID, digital_xray.Modality = STORAGE + sop_class, modality
    assert read(save(digital_xray, "a.dcm")).shape == (24, 32)


@pytest.mark.parametrize(
    ("sop_class", "modality", "named"),
    [
        ("2", "CT", "CT Image Storage"),
        ("4", "MR", "MR Image Storage"),
        ("6.1", "US", "Ultrasound Image Storage"),
        ("66.4", "SEG", "Segmentation Storage"),
        ("1", "CT", r"\(0008,0060\) Modality is 'CT'"),
        ("7", "NM", r"\(0008,0060\) Modality is 'NM'"),
    ],
)
def test_other_images_are_refused_by_name(sop_class, modality, named, digital_xray):
    digital_xray.SOPClassUID, digital_xray.Modality = STORAGE + sop_class, modality
    with pytest.raises(RadiographError, match=named):
        read(save(digital_xray, "a.dcm"))


def test_one_frame_is_read_and_more_are_counted(digital_xray):
    digital_xray.NumberOfFrames = 1
    assert read(save(digital_xray, "a.dcm")).shape == (24, 32)
    digital_xray.NumberOfFrames = 12
    with pytest.raises(RadiographError, match=r"Number of Frames is 12, expected a single frame"):
        read(save(digital_xray, "a.dcm"))
