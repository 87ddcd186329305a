"""One radiograph enhanced from Python, in this process."""

import io
from os import PathLike
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from radenhance.arrays import Image
from radenhance.dataset.prediction import PredictAt
from radenhance.dicom.declaration import Declaration
from radenhance.dicom.radiograph import Radiograph
from radenhance.dicom.read import Source, read_open, read_source
from radenhance.errors import ParameterError, RadiographError, UsageError
from radenhance.inference.model import Enhancer, ReferenceEnhancer, open_enhancer
from radenhance.inference.outputs import Output
from radenhance.reference_enhancer.presets import AUTO

SIXTEEN_BITS = 16


def enhance(  # noqa: PLR0913
    source: str | Path | npt.NDArray[Any] | Dataset,
    checkpoint: str | Path | Enhancer | None = None,
    *,
    preset: str = AUTO,
    at: PredictAt = "auto",
    device: str | None = None,
    bits: int | None = None,
    deidentify: bool = False,
    declaration: Declaration | None = None,
    spacing_mm: tuple[float, float] | None = None,
) -> Dataset | Image:
    """Enhance one radiograph.

    Args:
        source: A DICOM, PNG, TIFF or NPY file; a DICOM dataset with its pixels; or an array of
            shape (rows, columns), bone bright, of uint8 or uint16 as a file would hold them, or
            floating point in [0, 1].
        checkpoint: A trained network: its file, or what `open_enhancer` returned, which saves
            opening it again for each image. None takes the reference enhancer.
        preset: Preset of the reference enhancer; auto chooses by species and body part.
        at: Size at which a network sees the radiograph, as `--at` of `radenhance enhance`.
        device: Where a network runs, such as cpu or cuda; a GPU when None, where there is one.
        bits: Bits per pixel of the derived dataset, 8 to 16; those of the source when None.
        deidentify: Whether identities are left out of a derived dataset.
        declaration: What pixels mean where the source does not say it.
        spacing_mm: Distance of pixel centres (rows, columns) of an array in millimetres.

    Returns:
        For a DICOM file or dataset the derived dataset, to be saved with `dicom.write.write` or
        `Dataset.save_as`; else the enhanced pixels, float32 in [0, 1], shape (rows, columns).

    Raises:
        RadiographError: The source is not one grayscale projection, or is damaged.
        UsageError: The array or a parameter is not as it must be.
        MachineError: Memory ran out.
    """
    enhancer = _enhancer_of(checkpoint, preset, at, device)
    output = Output("auto", bits, deidentify)
    found = _source_of(source, declaration, spacing_mm)
    enhanced = enhancer(found.radiograph)
    if found.header is None:
        return enhanced
    return output.derived(found, enhanced, description=enhancer.describe(found.radiograph))


def _enhancer_of(
    checkpoint: str | Path | Enhancer | None, preset: str, at: PredictAt, device: str | None
) -> Enhancer:
    if at not in get_args(PredictAt):
        raise ParameterError("at", got=at, expected=f"one of {', '.join(get_args(PredictAt))}")
    if checkpoint is not None and preset != AUTO:
        raise UsageError("preset is of the reference enhancer; leave it out with a checkpoint")
    if isinstance(checkpoint, str | PathLike):
        return open_enhancer(Path(checkpoint), at=at, device=device)
    if at != "auto" or (device is not None and checkpoint is not None):
        raise UsageError(
            "at and device are of a network in a file; give its checkpoint, or give them to "
            "open_enhancer"
        )
    if checkpoint is not None and not hasattr(checkpoint, "describe"):
        raise ParameterError(
            "checkpoint", got=checkpoint, expected="a file, or what open_enhancer returned"
        )
    return checkpoint or ReferenceEnhancer(preset)


def _source_of(
    source: str | Path | npt.NDArray[Any] | Dataset,
    declaration: Declaration | None,
    spacing_mm: tuple[float, float] | None,
) -> Source:
    if isinstance(source, Dataset):
        path = Path(getattr(source, "filename", None) or "the dataset")
        return read_open(path, _encoded(source), declaration=declaration)
    if isinstance(source, np.ndarray):
        return Source(_radiograph(source, declaration or Declaration(), spacing_mm))
    if not isinstance(source, str | PathLike):
        raise UsageError(
            f"the source is a {type(source).__name__}, expected a path, a pydicom.Dataset, or an "
            f"array of NumPy, as numpy.asarray makes it"
        )
    return read_source(source, declaration=declaration)


def _encoded(dataset: Dataset) -> io.BytesIO:
    """Return a dataset as the file that it would be."""
    file = io.BytesIO()
    if not dataset.get("PixelData"):
        raise RadiographError("the dataset has no (7FE0,0010) Pixel Data; read it with its pixels")
    meta = getattr(dataset, "file_meta", None) or FileMetaDataset()
    if "TransferSyntaxUID" not in meta:
        implicit = dataset.original_encoding[0]
        meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    copy = Dataset(dataset)
    copy.file_meta, copy.preamble = meta, None
    try:
        copy.save_as(file, enforce_file_format=True)
    except Exception as error:  # pydicom raises whatever a malformed element provokes
        raise RadiographError(f"the dataset cannot be encoded: {error}") from error
    file.seek(0)
    return file


def _radiograph(
    array: npt.NDArray[Any], declaration: Declaration, spacing_mm: tuple[float, float] | None
) -> Radiograph:
    if array.ndim != 2 or not array.size:
        raise UsageError(f"the array has shape {array.shape}, expected (rows, columns)")
    values, bits = array, array.dtype.itemsize * 8
    if array.dtype.kind == "f":
        values, bits = _sixteen_bits(array), SIXTEEN_BITS
    elif array.dtype.kind != "u" or bits > SIXTEEN_BITS:
        raise UsageError(
            f"the array is of {array.dtype}, expected uint8, uint16, or floating point in [0, 1]"
        )
    elif declaration.bits is not None:
        bits = declaration.bits
    values = values.astype(np.uint16)
    largest = (1 << bits) - 1
    if int(values.max()) > largest:
        raise ParameterError(
            "Declaration.bits", got=bits, expected=f"enough for the largest pixel, {values.max()}"
        )
    return Radiograph(
        pixels=values if declaration.bone != "dark" else np.uint16(largest) - values,
        bits=bits,
        relationship=declaration.relationship or "LOG",
        path=Path("the array"),
        spacing_mm=spacing_mm,
    )


def _sixteen_bits(array: npt.NDArray[Any]) -> npt.NDArray[np.uint16]:
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 1):  # written so that NaN fails
        raise UsageError(
            f"the array has values from {low:g} to {high:g}, expected floating point in [0, 1]; "
            f"divide it by its largest possible value, or give uint16 as the file holds it"
        )
    stored: npt.NDArray[np.uint16] = np.rint(array.astype(np.float64) * 65535).astype(np.uint16)
    return stored
