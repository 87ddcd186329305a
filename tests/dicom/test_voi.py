import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi, apply_windowing
from saved_files import SAMPLES, save, with_pixels

from radenhance.dicom.read import read
from radenhance.errors import RadiographError

STORED = np.arange(24 * 32).reshape(24, 32)


def lut(entries, first, bits, data=None, vr="OW"):
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries) % 2**16, first, bits])
    if data is None:
        data = np.asarray(entries, "<u2").tobytes() if vr == "OW" else [int(e) for e in entries]
    item.add_new("LUTData", vr, data)
    return item


@pytest.fixture
def bright(digital_xray):
    """Bone bright as stored, 12 bits, no LUT, no window."""
    digital_xray.PhotometricInterpretation = "MONOCHROME2"
    digital_xray.PixelIntensityRelationshipSign = -1
    return digital_xray


def test_modality_table_of_a_real_file_is_that_of_pydicom():
    dataset = pydicom.dcmread(SAMPLES / "mlut_18.dcm")
    radiograph = read(SAMPLES / "mlut_18.dcm")
    assert radiograph.bits == dataset.ModalityLUTSequence[0].LUTDescriptor[2]
    assert np.array_equal(radiograph.pixels, apply_modality_lut(dataset.pixel_array, dataset))


def test_voi_table_of_a_real_file_is_that_of_pydicom():
    dataset = pydicom.dcmread(SAMPLES / "vlut_04.dcm")
    radiograph = read(SAMPLES / "vlut_04.dcm", for_presentation=True)
    assert radiograph.bits == dataset.VOILUTSequence[0].LUTDescriptor[2]
    assert np.array_equal(radiograph.pixels, apply_voi(dataset.pixel_array, dataset))


@pytest.mark.parametrize("function", [None, "LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("name", ["RG1_UNCR.dcm", "RG3_UNCR.dcm"])
def test_window_is_that_of_pydicom_and_inverted_after_it(name, function):
    dataset = pydicom.dcmread(SAMPLES / name)
    if function:
        dataset.VOILUTFunction = function
    radiograph = read(save(dataset, "a.dcm"), for_presentation=True)
    scale = 65535 / (2**dataset.BitsStored - 1)
    expected = 65535 - apply_windowing(dataset.pixel_array, dataset) * scale
    assert radiograph.bits == 16
    assert np.abs(radiograph.pixels - expected).max() <= 0.5 + 1e-6


def test_voi_is_never_applied_to_what_is_not_viewed(bright):
    bright.VOILUTSequence = [lut(np.full(4096, 7), 0, 12)]
    bright.WindowCenter, bright.WindowWidth = 100, 10
    assert np.array_equal(read(save(bright, "a.dcm")).pixels, STORED)


def test_voi_table_is_preferred_to_the_window(bright):
    bright.WindowCenter, bright.WindowWidth = 100, 10
    bright.VOILUTSequence = [lut(np.arange(1000) * 3, 0, 12), lut(np.zeros(9), 0, 12)]
    radiograph = read(save(bright, "a.dcm"), for_presentation=True)
    assert radiograph.bits == 12
    assert np.array_equal(radiograph.pixels, STORED * 3)


def test_first_of_several_windows_is_taken(bright):
    bright.WindowCenter, bright.WindowWidth = [384, 1], [768, 2]
    bright.VOILUTFunction = "LINEAR_EXACT"
    radiograph = read(save(bright, "a.dcm"), for_presentation=True)
    assert np.abs(radiograph.pixels - STORED / 768 * 65535).max() <= 0.5 + 1e-6


def test_values_outside_a_table_take_its_first_and_last_entry(bright):
    bright.VOILUTSequence = [lut(np.arange(50, 150), 200, 8)]
    radiograph = read(save(bright, "a.dcm"), for_presentation=True)
    assert np.array_equal(radiograph.pixels, np.clip(STORED - 200, 0, 99) + 50)


def test_window_works_on_rescaled_values(bright):
    bright.RescaleSlope, bright.RescaleIntercept = "2", "-100"
    bright.WindowCenter, bright.WindowWidth = 0, 200
    bright.VOILUTFunction = "LINEAR_EXACT"
    radiograph = read(save(bright, "a.dcm"), for_presentation=True)
    expected = np.clip((2 * STORED - 100) / 200 + 0.5, 0, 1) * 65535
    assert np.array_equal(radiograph.pixels, np.rint(expected))


def test_without_voi_values_are_stretched_to_16_bits(bright):
    radiograph = read(save(bright, "a.dcm"), for_presentation=True)
    assert radiograph.bits == 16
    assert np.array_equal(radiograph.pixels, np.rint(STORED / 4095 * 65535))


def test_window_of_width_one_is_a_step(bright):
    bright.WindowCenter, bright.WindowWidth = 100, 1
    radiograph = read(save(bright, "a.dcm"), for_presentation=True)
    assert np.array_equal(radiograph.pixels, np.where(STORED > 99.5, 65535, 0))


def test_table_of_65536_entries_declares_zero(bright):
    values = np.arange(24 * 32, dtype=np.uint16).reshape(24, 32) * 85
    bright.BitsStored, bright.HighBit = 16, 15
    bright.ModalityLUTSequence = [lut(np.arange(65536)[::-1], 0, 16)]
    bright.PixelIntensityRelationshipSign = 1
    radiograph = read(save(with_pixels(bright, values), "a.dcm"))
    assert np.array_equal(radiograph.pixels, 65535 - values)


def test_table_of_signed_pixels_may_start_below_zero(bright):
    values = np.arange(24 * 32, dtype=np.int16).reshape(24, 32) - 300
    bright.PixelRepresentation = 1
    bright.ModalityLUTSequence = [lut(np.arange(1000), 2**16 - 300, 12)]
    radiograph = read(save(with_pixels(bright, values), "a.dcm"))
    assert np.array_equal(radiograph.pixels, values + 300)


@pytest.mark.parametrize(
    "item",
    [
        lut(np.arange(256), 0, 8),
        lut(np.arange(256), 0, 8, data=bytes(range(256))),
        lut(np.arange(256), 0, 8, vr="US"),
    ],
)
def test_entries_of_eight_bits_may_be_words_or_bytes(item, bright):
    bright.ModalityLUTSequence = [item]
    radiograph = read(save(bright, "a.dcm"))
    assert np.array_equal(radiograph.pixels, np.clip(STORED, 0, 255))


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (lut(np.arange(256), 0, 7), r"\(0028,3002\) LUT Descriptor declares 7 bits"),
        (lut(np.arange(256), 0, 17), "declares 17 bits"),
        (lut(np.arange(300), 0, 8), r"\(0028,3006\) LUT Data has an entry of 299, but 8 bits"),
        (lut(np.arange(256), 0, 12, data=bytes(100)), "has 50 words, expected 256"),
        (Dataset(), "LUT Descriptor has 0 values, expected 3"),
    ],
)
@pytest.mark.parametrize("sequence", ["ModalityLUTSequence", "VOILUTSequence"])
def test_malformed_table_is_named(sequence, item, message, bright):
    setattr(bright, sequence, [item])
    with pytest.raises(RadiographError, match=message):
        read(save(bright, "a.dcm"), for_presentation=True)


@pytest.mark.parametrize(
    ("center", "width", "function", "message"),
    [
        ("1", "0", "LINEAR", r"\(0028,1051\) Window Width is 0"),
        ("1", "0", "LINEAR_EXACT", "Window Width is 0"),
        ("1", "-5", "SIGMOID", "Window Width is -5"),
        ("1", ["1", "2"], "LINEAR", "Window Center has 1 values.*Window Width 2"),
        ("1", "", "LINEAR", "Window Center has 1 values.*Window Width 0"),
        ("1", "2", "CUBIC", r"\(0028,1056\) VOI LUT Function is CUBIC"),
    ],
)
def test_malformed_window_is_named(center, width, function, message, bright):
    bright.WindowCenter, bright.WindowWidth, bright.VOILUTFunction = center, width, function
    with pytest.raises(RadiographError, match=message):
        read(save(bright, "a.dcm"), for_presentation=True)


def test_table_of_angiography_back_to_linear_is_not_applied(bright):
    bright.SOPClassUID, bright.Modality = "1.2.840.10008.5.1.4.1.1.12.1", "XA"
    bright.PixelIntensityRelationship = "LOG"
    bright.ModalityLUTSequence = [lut(np.zeros(10), 0, 12)]
    assert np.array_equal(read(save(bright, "a.dcm")).pixels, STORED)
    bright.PixelIntensityRelationship = "LIN"
    assert not read(save(bright, "a.dcm")).pixels.any()


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("seed", range(6))
def test_any_window_is_that_of_the_standard(function, seed, bright):
    """The formulas of PS3.3 C.11.2.1.2.1, C.11.2.1.3.1 and C.11.2.1.3.2."""
    random = np.random.default_rng(seed)
    center, width = (
        round(random.uniform(-50, 800), 2),
        round(float(np.exp(random.uniform(0.1, 8))), 2),
    )
    bright.WindowCenter, bright.WindowWidth, bright.VOILUTFunction = center, width, function
    position = (STORED - center) / width
    if function == "LINEAR":
        position = (STORED - (center - 0.5)) / (width - 1)
    if function == "SIGMOID":
        unit = 1 / (1 + np.exp(-4 * position))
    else:
        unit = np.clip(position + 0.5, 0, 1)
    pixels = read(save(bright, "a.dcm"), for_presentation=True).pixels
    assert np.array_equal(pixels, np.rint(unit * 65535))
