from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset

from radenhance.dicom.attributes import Attributes
from radenhance.dicom.lookup_table import LookupTable, lookup_table
from radenhance.dicom.modality_lut import ModalityLut


def item(entries, first, bits, *, vr="OW"):
    dataset = Dataset()
    dataset.add_new("LUTDescriptor", "US", [len(entries) % 2**16, first, bits])
    data = np.asarray(entries).astype("<u2").tobytes() if vr == "OW" else list(map(int, entries))
    dataset.add_new("LUTData", vr, data)
    return Attributes(dataset, Path("a.dcm"), big_endian=False)


@pytest.mark.parametrize("vr", ["OW", "US"])
@pytest.mark.parametrize("bits", range(8, 17))
def test_every_input_is_mapped_to_its_entry_and_those_beyond_to_the_ends(bits, vr):
    entries = np.random.default_rng(bits).integers(0, 1 << bits, 300)
    table = lookup_table(item(entries, 100, bits, vr=vr), signed=False)
    values = np.arange(0, 600, dtype=np.float64)
    assert np.array_equal(table(values), entries[np.clip(values - 100, 0, 299).astype(int)])
    assert table.bits == bits


def test_inputs_between_whole_numbers_and_beyond_all_integers_are_mapped():
    table = LookupTable(np.array([7, 8, 9], np.uint16), 0, 8)
    assert table(np.array([0.4, 0.6, 1e300, -1e300])).tolist() == [7, 8, 9, 7]


@pytest.mark.parametrize(("entries", "inverts"), [([0, 9, 5], False), ([5, 9, 0], True)])
def test_a_table_inverts_by_its_ends(entries, inverts):
    table = LookupTable(np.array(entries, np.uint16), 0, 8)
    assert table.inverts == inverts
    assert ModalityLut(table, slope=-1.0).inverts == inverts


@pytest.mark.parametrize("slope", [-2.0, 0.5])
def test_slope_and_intercept_invert_by_the_sign_of_the_slope(slope):
    modality = ModalityLut(slope=slope, intercept=100.0)
    assert modality.inverts == (slope < 0)
    assert modality(np.array([0.0, 10.0])).tolist() == [100.0, 100 + 10 * slope]
