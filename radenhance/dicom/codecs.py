"""Decoding of compressed pixel data, through the plug-ins that pydicom finds installed.

Decoders are native code. On code streams with one altered byte, GDCM's crashed the process and
CharLS ran for seconds past the end of its input; with code streams that `codestream.check` lets
pass, none did (tests/dicom/test_read_fuzz.py). So nothing is decoded unchecked.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import uid
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder

from radenhance.dicom import codestream
from radenhance.dicom.pixel_format import PixelFormat
from radenhance.errors import RadiographError


@dataclass(frozen=True)
class Codec:
    """Everything that decoding a transfer syntax needs.

    Args:
        plugins: pydicom's names of the decoders, the preferred one first. Only one is tried: a
            decoder that fails says that the data are damaged, and another might not notice.
        package: The packages to install from the Python Package Index where none is installed.
        coding: The code stream's format.
    """

    plugins: tuple[str, ...]
    package: str
    coding: codestream.Coding


_JPEG = Codec(("pillow",), "pillow", "JPEG")
_JPEG_LOSSLESS = Codec(("gdcm",), "python-gdcm", "JPEG Lossless")
_JPEG_LS = Codec(("pyjpegls", "gdcm"), "python-gdcm", "JPEG-LS")
_JPEG_2000 = Codec(("pylibjpeg", "pillow"), "pylibjpeg pylibjpeg-openjpeg", "JPEG 2000")
_HTJ2K = Codec(("pylibjpeg",), "pylibjpeg pylibjpeg-openjpeg", "JPEG 2000")

CODECS = {
    uid.RLELossless: Codec(("pylibjpeg", "pydicom"), "pydicom", "RLE"),
    uid.JPEGBaseline8Bit: _JPEG,
    uid.JPEGExtended12Bit: _JPEG,
    uid.JPEGLossless: _JPEG_LOSSLESS,
    uid.JPEGLosslessSV1: _JPEG_LOSSLESS,
    uid.JPEGLSLossless: _JPEG_LS,
    uid.JPEGLSNearLossless: _JPEG_LS,
    uid.JPEG2000Lossless: _JPEG_2000,
    uid.JPEG2000: _JPEG_2000,
    uid.HTJ2KLossless: _HTJ2K,
    uid.HTJ2KLosslessRPCL: _HTJ2K,
    uid.HTJ2K: _HTJ2K,
}
"""Transfer syntax -> how to decode it. The uncompressed ones need no codec."""


@dataclass(frozen=True)
class Decoder:
    """An installed plug-in that decodes a transfer syntax.

    Args:
        syntax: The transfer syntax.
        plugin: pydicom's name of the plug-in.
        coding: The code stream's format.
    """

    syntax: uid.UID
    plugin: str
    coding: codestream.Coding


def find_decoder(syntax: uid.UID, layout: PixelFormat, path: Path) -> Decoder:
    """Return the preferred one of the installed decoders.

    Args:
        syntax: A compressed transfer syntax.
        layout: The pixel format that the header declares.
        path: The file's name, for error messages.

    Raises:
        RadiographError: None is installed; the message says what to install.
    """
    codec = CODECS.get(syntax)
    if codec is None:
        raise RadiographError(
            f"{path}: (0002,0010) Transfer Syntax UID is {syntax.name}, which is not read; convert "
            "the file to an uncompressed syntax, JPEG-LS or JPEG 2000"
        )
    if codec is _JPEG and layout.stored > 8:
        raise RadiographError(
            f"{path}: {syntax.name} with {layout.stored} bits per pixel has no free decoder; "
            "convert the file to an uncompressed syntax"
        )
    available = get_decoder(syntax).available_plugins
    for plugin in codec.plugins:
        if plugin in available:
            return Decoder(syntax, plugin, codec.coding)
    raise RadiographError(
        f"{path}: no decoder for {syntax.name} is installed; run: pip install {codec.package}"
    )


def decode_frame(
    frame: bytes, decoder: Decoder, layout: PixelFormat, path: Path
) -> npt.NDArray[np.uint16]:
    """Decode one frame.

    Args:
        frame: The code stream.
        decoder: The plug-in to decode it with.
        layout: The pixel format that the header declares.
        path: The file's name, for error messages.

    Returns:
        The containers, uint16, shape (rows, columns), as if the image had not been compressed.

    Raises:
        RadiographError: The code stream is damaged, or not that of `layout`.
    """
    codestream.check(frame, decoder.coding, layout, path)
    try:
        pixels, _ = get_decoder(decoder.syntax).as_array(
            encapsulate([frame], has_bot=False),
            decoding_plugin=decoder.plugin,
            **_options(layout),
        )
    except Exception as error:
        # Plug-ins raise what they like; pydicom collects it in a RuntimeError, or adds its own.
        raise RadiographError(
            f"{path}: (7FE0,0010) Pixel Data, {decoder.syntax.name}, cannot be decoded: the code "
            "stream is damaged"
        ) from error
    if pixels.shape != (layout.rows, layout.columns) or pixels.dtype.itemsize > 2:
        raise RadiographError(
            f"{path}: (7FE0,0010) Pixel Data decoded to {pixels.shape} {pixels.dtype}, expected "
            f"{layout.rows} rows and {layout.columns} columns"
        )
    # Signed values that came in 8 bits grow to 16 by their sign.
    wide = np.int16 if pixels.dtype.kind == "i" else np.uint16
    container: npt.NDArray[np.uint16] = pixels.astype(wide, copy=False).view(np.uint16)
    return container


def _options(layout: PixelFormat) -> dict[str, Any]:
    return {
        "rows": layout.rows,
        "columns": layout.columns,
        "number_of_frames": 1,
        "samples_per_pixel": 1,
        "photometric_interpretation": "MONOCHROME2",
        "bits_allocated": layout.allocated,
        "bits_stored": layout.stored,
        "pixel_representation": int(layout.signed),
        "pixel_keyword": "PixelData",
    }
