import subprocess
import sys
import threading

import numpy as np
import pydicom
import pytest
import torch
from enhancing import real_radiograph, save, small_checkpoint
from pydicom import Dataset

import radenhance
from radenhance.dicom.declaration import Declaration
from radenhance.dicom.write import write
from radenhance.errors import ParameterError, RadiographError, UsageError
from radenhance.inference.model import ReferenceEnhancer


def waves(rows=80, columns=96):
    y, x = np.mgrid[0:rows, 0:columns]
    return (0.5 + 0.4 * np.sin(x / 7) * np.cos(y / 11)).astype(np.float32)


def test_a_dicom_file_becomes_a_derived_dataset_that_can_be_written():
    path = save(real_radiograph(), "a.dcm")
    for given in (path, str(path)):
        derived = radenhance.enhance(given)
        assert isinstance(derived, Dataset)
        source = pydicom.dcmread(path)
        assert (derived.Rows, derived.Columns) == (source.Rows, source.Columns)
        assert derived.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    write("b.dcm", derived)
    np.testing.assert_array_equal(pydicom.dcmread("b.dcm").pixel_array, derived.pixel_array)


def test_a_dataset_gives_the_pixels_of_its_file_and_stays_as_it_is():
    path = save(real_radiograph(), "a.dcm")
    dataset = pydicom.dcmread(path)
    before = dataset.to_json()
    derived = radenhance.enhance(dataset)
    np.testing.assert_array_equal(derived.pixel_array, radenhance.enhance(path).pixel_array)
    assert dataset.to_json() == before


def test_a_dataset_made_in_memory_needs_no_file_meta_information():
    dataset = real_radiograph()
    expected = radenhance.enhance(dataset).pixel_array
    bare = Dataset(dataset)
    bare.set_original_encoding(False, True)
    bare.preamble = None
    assert not hasattr(bare, "file_meta")
    np.testing.assert_array_equal(radenhance.enhance(bare).pixel_array, expected)


def test_arrays_and_files_of_the_same_pixels_give_the_same_array():
    stored = np.rint(waves() * 65535).astype(np.uint16)
    np.save("a.npy", stored)
    expected = radenhance.enhance("a.npy")
    assert expected.shape == stored.shape
    assert expected.dtype == np.float32
    np.testing.assert_array_equal(radenhance.enhance(stored), expected)
    for dtype in (np.float16, np.float32, np.float64):
        unit = (stored / 65535).astype(dtype)
        np.testing.assert_allclose(radenhance.enhance(unit), expected, atol=0.02)


def test_what_pixels_mean_can_be_declared():
    stored = np.rint(waves() * 4095).astype(np.uint16)
    bright = radenhance.enhance(stored, declaration=Declaration(bits=12))
    dark = radenhance.enhance(4095 - stored, declaration=Declaration(bits=12, bone="dark"))
    np.testing.assert_array_equal(bright, dark)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 64, 64)), r"shape \(3, 64, 64\), expected \(rows, columns\)"),
        (np.zeros((0, 64)), r"shape \(0, 64\)"),
        (np.full((64, 64), 1.5), r"values from 1.5 to 1.5, expected floating point in \[0, 1\]"),
        (np.full((64, 64), -0.1), "values from -0.1"),
        (np.full((64, 64), np.nan), "values from nan"),
        (np.zeros((64, 64), np.int16), "is of int16, expected uint8, uint16, or floating point"),
        (np.zeros((64, 64), np.uint32), "is of uint32"),
        (np.zeros((64, 64), bool), "is of bool"),
        (np.zeros((64, 64), complex), "is of complex128"),
        (np.zeros((64, 64), object), "is of object"),
    ],
)
def test_an_array_that_is_no_radiograph_is_refused_in_a_sentence(array, message):
    with pytest.raises(UsageError, match=message):
        radenhance.enhance(array)


def test_other_mistakes_are_sentences_too():
    stored = np.full((64, 64), 5000, np.uint16)
    with pytest.raises(ParameterError, match="bits is 12, expected enough for the largest pixel"):
        radenhance.enhance(stored, declaration=Declaration(bits=12))
    with pytest.raises(RadiographError, match=r"nowhere\.dcm: No such file"):
        radenhance.enhance("nowhere.dcm")
    with pytest.raises(UsageError, match=r"none\.ckpt is no file"):
        radenhance.enhance(stored, "none.ckpt")
    empty = real_radiograph()
    del empty.PixelData
    with pytest.raises(RadiographError, match="has no"):
        radenhance.enhance(empty)
    with pytest.raises(ParameterError, match="preset is 'vivid'"):
        radenhance.enhance(stored, preset="vivid")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"at": "trained"}, "at is 'trained', expected one of auto, native, training"),
        ({"at": "native"}, "at and device are of a network in a file"),
        ({"checkpoint": 3}, "checkpoint is 3, expected a file"),
        ({"checkpoint": "a.ckpt", "preset": "bone"}, "preset is of the reference enhancer"),
        ({"checkpoint": ReferenceEnhancer(), "device": "cpu"}, "give them to open_enhancer"),
    ],
)
def test_no_setting_is_ignored(settings, message):
    with pytest.raises(UsageError, match=message):
        radenhance.enhance(waves(), **settings)


@pytest.mark.parametrize("source", [None, 7, [[1, 2], [3, 4]], torch.zeros(64, 64)])
def test_what_is_no_source_is_named(source):
    with pytest.raises(UsageError, match=f"the source is a {type(source).__name__}, expected a"):
        radenhance.enhance(source)


def test_a_network_is_opened_once_for_many_images_and_no_thread_outlives_it():
    path = small_checkpoint(output="correction")
    stored = np.rint(waves() * 65535).astype(np.uint16)
    opened = radenhance.open_enhancer(str(path), device="cpu")
    threads = threading.active_count()
    expected = radenhance.enhance(stored, path, device="cpu")
    np.testing.assert_array_equal(radenhance.enhance(stored, opened), expected)
    np.testing.assert_array_equal(radenhance.enhance(stored, opened), expected)
    assert threading.active_count() == threads


def test_importing_the_package_and_its_names_does_not_import_torch():
    code = "import sys, radenhance; dir(radenhance); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_enhancing_loads_nothing_that_only_training_needs():
    code = "import sys, radenhance.inference.batch; assert 'albumentations' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
