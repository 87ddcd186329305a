"""Time to read one full-size radiograph, by transfer syntax: `python benchmarks/read.py`."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.pixels import get_encoder
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForProcessing,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from radenhance.dicom.read import read, read_header

SIDE = 4188
BITS = 14
REPEATS = 3


def radiograph() -> Dataset:
    """Smooth waves and a little noise, which compress about as radiographs do."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    image = 8000 + 3000 * np.sin(x / 300) + 3000 * np.sin(y / 170)
    image += random.normal(0, 12, image.shape)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.Modality = DigitalXRayImageStorageForProcessing, "DX"
    dataset.SOPInstanceUID, dataset.PixelIntensityRelationship = "2.25.1", "LIN"
    dataset.add_new("PixelIntensityRelationshipSign", "SS", 1)
    dataset.WindowCenter, dataset.WindowWidth = 8000, 12000
    dataset.set_pixel_data(image.astype(np.uint16), "MONOCHROME2", BITS)
    return dataset


def save(dataset: Dataset, path: Path, syntax: UID) -> None:
    if syntax.is_encapsulated:
        plugin = {RLELossless: "pydicom", JPEGLSLossless: "pyjpegls"}.get(syntax, "pylibjpeg")
        dataset.compress(syntax, encoding_plugin=plugin, generate_instance_uid=False)
    elif syntax == ExplicitVRBigEndian:
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").byteswap().tobytes()
    dataset.file_meta.TransferSyntaxUID = syntax
    pydicom.dcmwrite(
        path,
        dataset,
        implicit_vr=syntax.is_implicit_VR,
        little_endian=syntax.is_little_endian,
        force_encoding=True,
    )


def seconds(function: Callable[[], object]) -> float:
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    print(f"{SIDE} x {SIDE} pixels, {BITS} bits; best of {REPEATS}, file in the page cache.\n")
    print("| transfer syntax | file MB | read s | read for viewing s | header ms |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.dcm"
        for syntax in (
            ExplicitVRLittleEndian,
            ExplicitVRBigEndian,
            DeflatedExplicitVRLittleEndian,
            RLELossless,
            JPEGLSLossless,
            JPEG2000Lossless,
        ):
            if syntax.is_encapsulated and not get_encoder(syntax).is_available:
                continue
            save(radiograph(), path, syntax)
            plain = seconds(lambda: read(path))
            viewed = seconds(lambda: read(path, for_presentation=True))
            header = 1000 * seconds(lambda: read_header(path))
            size = path.stat().st_size / 1e6
            print(f"| {syntax.name} | {size:.1f} | {plain:.2f} | {viewed:.2f} | {header:.1f} |")


if __name__ == "__main__":
    main()
