"""DICOM files for the tests of reading: real samples, crops of them, in any transfer syntax."""

import tracemalloc
from contextlib import contextmanager
from pathlib import Path

import data_store
import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

FEW_BYTES = 2**20
"""What may be allocated before a file of a few kilobytes is refused."""

SAMPLES = Path(data_store.__file__).parent / "data"

NATIVE = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)
COMPRESSED = {  # and who writes it: pydicom's name of the encoder, the module that must be there
    RLELossless: ("pydicom", "pydicom"),
    JPEGLSLossless: ("pyjpegls", "jpeg_ls"),
    JPEG2000Lossless: ("pylibjpeg", "openjpeg"),
    JPEGLosslessSV1: ("", "gdcm"),
}
BY_IMAGECODECS = {  # which pydicom does not write: the encoder, its settings
    JPEGExtended12Bit: ("jpeg8_encode", {"level": 95, "bitspersample": 12}),
    HTJ2KLossless: ("htj2k_encode", {"reversible": True}),
}


@contextmanager
def allocating_few_bytes():
    """Fail if Python objects of more than FEW_BYTES are alive at once."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < FEW_BYTES
    finally:
        tracemalloc.stop()


def crop(name, size=64, top=800, left=800):
    """A square of a real radiograph, with its header."""
    dataset = pydicom.dcmread(SAMPLES / name)
    del dataset[0xFFFCFFFC]  # trailing padding
    pixels = dataset.pixel_array[top : top + size, left : left + size]
    return with_pixels(dataset, pixels)


def with_pixels(dataset, pixels):
    """`dataset` with other pixels in native little endian, little else changed."""
    dataset.Rows, dataset.Columns = pixels.shape
    little = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    dataset.PixelData = little + b"\0" * (len(little) % 2)
    dataset["PixelData"].VR = "OW"
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def save(dataset: Dataset, path, syntax=ExplicitVRLittleEndian):
    """Write a native little endian dataset in `syntax`; skip the test where no encoder is there."""
    if syntax == JPEGLosslessSV1:
        return _save_jpeg_lossless(dataset, path)
    if syntax in BY_IMAGECODECS:
        imagecodecs = pytest.importorskip("imagecodecs")
        encoder, settings = BY_IMAGECODECS[syntax]
        frame = getattr(imagecodecs, encoder)(dataset.pixel_array, **settings)
        dataset.PixelData = encapsulate([frame])
    elif syntax.is_encapsulated:
        encoder, module = COMPRESSED[syntax]
        pytest.importorskip(module)
        dataset.compress(syntax, encoding_plugin=encoder, generate_instance_uid=False)
    elif syntax == ExplicitVRBigEndian and dataset.BitsAllocated == 16:
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.preamble = bytes(128)
    for _ in dataset.iterall():  # elements not looked at are written as they were read
        pass
    pydicom.dcmwrite(
        path,
        dataset,
        implicit_vr=syntax.is_implicit_VR,
        little_endian=syntax.is_little_endian,
        force_encoding=True,
    )
    return path


def _save_jpeg_lossless(dataset, path):
    gdcm = pytest.importorskip("gdcm")
    save(dataset, path)
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return path


def rich():
    """A crop with everything in its header that decides on pixels."""
    dataset = crop("RG3_UNCR.dcm")
    dataset.PixelPaddingValue, dataset.PixelPaddingRangeLimit = 0, 3
    dataset["PixelPaddingValue"].VR = dataset["PixelPaddingRangeLimit"].VR = "US"
    dataset.PixelIntensityRelationship, dataset.PixelIntensityRelationshipSign = "LOG", 1
    dataset.RescaleSlope, dataset.RescaleIntercept = "-10", "3000"
    dataset.CollimatorShape = ["RECTANGULAR", "POLYGONAL", "CIRCULAR"]
    dataset.CollimatorLeftVerticalEdge, dataset.CollimatorRightVerticalEdge = 3, 60
    dataset.CollimatorUpperHorizontalEdge, dataset.CollimatorLowerHorizontalEdge = 2, 62
    dataset.CenterOfCircularCollimator, dataset.RadiusOfCircularCollimator = [32, 30], 31
    dataset.VerticesOfThePolygonalCollimator = [1, 1, 1, 64, 60, 60, 64, 1]
    dataset.ShutterShape = "CIRCULAR"
    dataset.CenterOfCircularShutter, dataset.RadiusOfCircularShutter = [32, 32], 32
    dataset.PixelSpacing = dataset.ImagerPixelSpacing = [0.1, 0.1]
    dataset.VOILUTSequence = [table(1024, 12)]
    return dataset


def with_modality_lut():
    dataset = rich()
    del dataset.RescaleSlope, dataset.RescaleIntercept, dataset.VOILUTSequence
    dataset.ModalityLUTSequence = [table(1000, 14)]
    dataset.PixelRepresentation = 1
    dataset.WindowCenter, dataset.WindowWidth = ["500", "1"], ["900", "2"]
    return dataset


def table(entries, bits):
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [entries, 0, bits])
    item.add_new("LUTData", "OW", np.linspace(0, 2**bits - 1, entries).astype("<u2").tobytes())
    return item
