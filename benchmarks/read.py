"""Claim: a radiograph of 4188 x 4188 px is read in about a second, whatever its transfer syntax.

    python benchmarks/read.py

Makes synthetic radiographs on one core, which is timed too, and reads the largest from the page
cache in each transfer syntax that an installed library can write. The best of three counts. Takes
about two minutes on two cores.
"""

import argparse
import tempfile
from functools import partial
from pathlib import Path

import cv2
import harness
import numpy as np
import pydicom
from pydicom import Dataset
from pydicom.pixels import get_encoder
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from radenhance.dicom.read import read, read_header
from radenhance.phantoms.radiograph import Animal, dataset_of, phantom
from radenhance.units import GIB

ANIMALS = {"cat": Animal("cat", 1, 1, 0), "turtle": Animal("turtle", 1, 1, 0)}
GREAT_DANE = Animal("dog", 37, 1, 0)
"""It fills the largest field: 418.8 mm a side."""
SYNTAXES = (
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    RLELossless,
    JPEGLSLossless,
    JPEG2000Lossless,
)
PLUGINS = {RLELossless: "pydicom", JPEGLSLossless: "pyjpegls", JPEG2000Lossless: "pylibjpeg"}


def save(dataset: Dataset, path: Path, syntax: UID) -> None:
    if syntax.is_encapsulated:
        dataset.compress(syntax, encoding_plugin=PLUGINS[syntax], generate_instance_uid=False)
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


def print_making(spacing_mm: float) -> None:
    animals = {**ANIMALS, "Great Dane": GREAT_DANE}
    with harness.table(
        "animal", "pixels     ", "made in s", "rise of memory, GiB", names=animals
    ) as row:
        for name, animal in animals.items():
            rows, columns = (round(side / spacing_mm) for side in animal.field_mm)
            make = partial(phantom, animal, spacing_mm=spacing_mm)
            taken, rise = harness.best(make), harness.resident_rise(make) / GIB
            row(name, f"{rows} x {columns}", f"{taken:.2f}", f"{rise:.2f}")


def print_reading(spacing_mm: float) -> None:
    columns = ("file MB", "read s", "read for presentation s", "header ms")
    with (
        tempfile.TemporaryDirectory() as folder,
        harness.table("transfer syntax", *columns, names=[s.name for s in SYNTAXES]) as row,
    ):
        path = Path(folder) / "a.dcm"
        image = phantom(GREAT_DANE, spacing_mm=spacing_mm)
        for syntax in SYNTAXES:
            if syntax.is_encapsulated and not get_encoder(syntax).is_available:
                continue
            save(dataset_of(image), path, syntax)
            reads = (partial(read, path), partial(read, path, for_presentation=True))
            cells = [f"{harness.best(each):.2f}" for each in reads]
            header = 1000 * harness.best(partial(read_header, path))
            row(syntax.name, f"{path.stat().st_size / 1e6:.1f}", *cells, f"{header:.1f}")


def parser() -> argparse.ArgumentParser:
    flags = harness.parser(__doc__)
    flags.add_argument("--spacing-mm", type=float, default=0.1, help="pixel size; 0.1: 4188 px")
    return flags


def main(options: argparse.Namespace) -> None:
    cv2.setNumThreads(1)
    harness.print_heading()
    print_making(options.spacing_mm)
    print_reading(options.spacing_mm)


if __name__ == "__main__":
    main(parser().parse_args())
