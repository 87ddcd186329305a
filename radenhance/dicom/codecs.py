"""Decoding of compressed pixel data, through plug-ins of pydicom, and one of ours for 12 bits.

Decoders are native code. On code streams with one altered byte, GDCM's crashed the process and
CharLS ran for seconds past the end of its input; with code streams that `codestream.checked` lets
pass, none did (tests/dicom/test_read_fuzz.py). So nothing is decoded unchecked.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import uid
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder

from radenhance.dicom import codestream, jpeg12
from radenhance.dicom.pixel_format import PixelFormat
from radenhance.errors import RadiographError

CONVERT = "convert it to an uncompressed syntax: gdcmconv -w, of GDCM"
"""What to do about a file that no decoder here reads."""

jpeg12.register()

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Codec:
    """Everything that decoding a transfer syntax needs.

    Args:
        plugins: pydicom's names of the decoders, the preferred one first.
        package: The packages to install from the Python Package Index where none is installed.
        coding: The code stream's format.
        has_second_opinion: Whether the next decoder is asked where one fails, which is one
            decoder's word that the data are damaged: CharLS refuses streams of the standard's own
            test set. Both of JPEG-LS refuse what is cut off (tests/dicom/test_codecs.py).
    """

    plugins: tuple[str, ...]
    package: str
    coding: codestream.Coding
    has_second_opinion: bool = False


_JPEG = Codec(("pillow",), "pillow", "JPEG")
_JPEG_12 = Codec((jpeg12.NAME,), "'radenhance[jpeg12]'", "JPEG")
_JPEG_LOSSLESS = Codec(("gdcm",), "python-gdcm", "JPEG Lossless")
_JPEG_LS = Codec(("pyjpegls", "gdcm"), "python-gdcm", "JPEG-LS", has_second_opinion=True)
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
    """What is installed to decode a transfer syntax.

    Args:
        syntax: The transfer syntax.
        plugins: pydicom's names of the plug-ins to try.
        coding: The code stream's format.
    """

    syntax: uid.UID
    plugins: tuple[str, ...]
    coding: codestream.Coding


def find_decoder(syntax: uid.UID, layout: PixelFormat, path: Path) -> Decoder:
    """Return what is installed for a transfer syntax.

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
            f"{path}: (0002,0010) Transfer Syntax UID is {syntax.name}, which is not read; "
            f"{CONVERT}"
        )
    if codec is _JPEG and layout.stored > 8:
        codec = _JPEG_12
    available = get_decoder(syntax).available_plugins
    plugins = tuple(plugin for plugin in codec.plugins if plugin in available)
    if not plugins:
        bits = f" of {layout.stored} bits per pixel" if codec is _JPEG_12 else ""
        raise RadiographError(
            f"{path}: no decoder for {syntax.name}{bits} is installed; run: pip install "
            f"{codec.package}"
        )
    return Decoder(syntax, plugins if codec.has_second_opinion else plugins[:1], codec.coding)


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
    frame = codestream.checked(frame, decoder.coding, layout, path)
    pixels = _pixels(frame, decoder, layout, path)
    if pixels.shape != (layout.rows, layout.columns) or pixels.dtype.itemsize > 2:
        raise RadiographError(
            f"{path}: (7FE0,0010) Pixel Data decoded to {pixels.shape} {pixels.dtype}, expected "
            f"{layout.rows} rows and {layout.columns} columns"
        )
    # Signed values that came in 8 bits grow to 16 by their sign.
    wide = np.int16 if pixels.dtype.kind == "i" else np.uint16
    container: npt.NDArray[np.uint16] = pixels.astype(wide, copy=False).view(np.uint16)
    return container


def _pixels(frame: bytes, decoder: Decoder, layout: PixelFormat, path: Path) -> npt.NDArray[Any]:
    first = decoder.plugins[0]
    attempts = [(plugin, frame) for plugin in decoder.plugins]
    attempts += [(first, shorter) for shorter in codestream.unfilled(frame, decoder.coding)]
    failures: list[Exception] = []
    for plugin, stream in attempts:
        try:
            pixels, _ = get_decoder(decoder.syntax).as_array(
                encapsulate([stream], has_bot=False), decoding_plugin=plugin, **_options(layout)
            )
        except Exception as error:
            # Plug-ins raise what they like; pydicom collects it in a RuntimeError, or adds its own.
            failures.append(error)
            continue
        if failures:
            _log.info("%s: %s takes the code stream at try %d", path, plugin, 1 + len(failures))
        return pixels
    raise RadiographError(
        f"{path}: (7FE0,0010) Pixel Data, {decoder.syntax.name}, cannot be decoded by "
        f"{' or '.join(decoder.plugins)}: the code stream is damaged; where another program shows "
        f"the image, {CONVERT}"
    ) from failures[-1]


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
