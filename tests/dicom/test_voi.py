import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi, apply_windowing
from saved_files import SAMPLES, save, with_pixels

from radenhance.dicom.read import Declaration, read
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
        (lut(np.arange(256), 0, 8, data=b""), "has 0 words, expected 256"),
    ],
)
@pytest.mark.parametrize("sequence", ["ModalityLUTSequence", "VOILUTSequence"])
def test_malformed_table_is_named(sequence, item, message, bright):
    setattr(bright, sequence, [item])
    with pytest.raises(RadiographError, match=message):
        read(save(bright, "a.dcm"), for_presentation=True)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_malformed_window_is_named(function, bright):
    bright.WindowCenter, bright.WindowWidth, bright.VOILUTFunction = "1", "-5", function
    with pytest.raises(RadiographError, match=r"\(0028,1051\) Window Width is -5, which is no wid"):
        read(save(bright, "a.dcm"), for_presentation=True)


BAD_TABLE = lut(np.arange(300), 0, 8)
GOOD_TABLE = lut(np.arange(1000) * 3, 0, 12)


@pytest.mark.parametrize(
    ("tables", "centers", "widths"),
    [
        ([Dataset(), GOOD_TABLE], "", ""),
        ([BAD_TABLE, GOOD_TABLE], "", ""),
        ([Dataset(), BAD_TABLE, GOOD_TABLE], "9", "-9"),
        ([Dataset()], "384", "768"),
        ([BAD_TABLE], "384", "768"),
        ([], ["1", "384"], ["-5", "768"]),
        ([], ["1", "384"], ["0", "768"]),
        ([], ["384", "5"], "768"),
        ([], "384", ["768", "5", "6"]),
        ([BAD_TABLE], ["1", "384"], ["0", "768"]),
    ],
)
def test_what_is_wrong_is_passed_over_where_the_header_has_another(
    tables, centers, widths, bright, caplog
):
    bright.VOILUTSequence, bright.VOILUTFunction = tables, "LINEAR_EXACT"
    bright.WindowCenter, bright.WindowWidth = centers, widths
    shown = read(save(bright, "a.dcm"), for_presentation=True).pixels
    expected = STORED * 3 if GOOD_TABLE in tables else STORED / 768 * 65535
    assert np.abs(shown - expected).max() <= 0.5 + 1e-6
    assert caplog.records


@pytest.mark.parametrize(
    ("tables", "center", "width"),
    [([Dataset()], "", ""), ([], "1", ""), ([], "", "1"), ([], "0", "0"), ([Dataset()], "5", "0")],
)
def test_what_is_empty_counts_as_absent(tables, center, width, bright, caplog):
    bright.VOILUTSequence, bright.WindowCenter, bright.WindowWidth = tables, center, width
    shown = read(save(bright, "a.dcm"), for_presentation=True).pixels
    assert np.array_equal(shown, np.rint(STORED / 4095 * 65535))
    assert caplog.records


def test_an_unknown_function_is_taken_as_linear(bright, caplog):
    bright.WindowCenter, bright.WindowWidth = 384, 768
    expected = read(save(bright, "a.dcm"), for_presentation=True).pixels
    bright.VOILUTFunction = "CUBIC"
    shown = read(save(bright, "a.dcm"), for_presentation=True).pixels
    assert np.array_equal(shown, expected)
    assert "(0028,1056) VOI LUT Function is CUBIC; LINEAR is taken" in caplog.text


@pytest.mark.parametrize("declared", range(8, 17))
@pytest.mark.parametrize("used", range(8, 17))
def test_a_table_of_fewer_bits_than_it_declares_has_those_it_needs(used, declared, bright, caplog):
    if used > declared:
        return
    entries = np.rint(np.linspace(0, 2**used - 1, 4096))
    bright.VOILUTSequence = [lut(entries, 0, declared)]
    radiograph = read(save(bright, "a.dcm"), for_presentation=True)
    assert radiograph.bits == used
    assert np.array_equal(radiograph.pixels, entries[STORED])
    said = f"declares {declared} bits, but its largest entry is {2**used - 1}; taken as {used} bits"
    assert (said in caplog.text) == (used < declared)


@pytest.mark.parametrize(("largest", "bits"), [(65000, 16), (20000, 16), (16384, 16), (9000, 14)])
def test_a_table_that_does_not_reach_white_keeps_its_bits_unless_it_is_dark(largest, bits, bright):
    bright.VOILUTSequence = [lut(np.rint(np.linspace(0, largest, 4096)), 0, 16)]
    assert read(save(bright, "a.dcm"), for_presentation=True).bits == bits


def test_bits_that_a_user_declares_hold_for_what_is_viewed_too(bright):
    bright.VOILUTSequence = [lut(np.rint(np.linspace(0, 20000, 4096)), 0, 16)]
    declaration = Declaration(bits=15, override=True)
    path = save(bright, "a.dcm")
    assert read(path, declaration=declaration, for_presentation=True).bits == 15


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
