"""A plug-in of pydicom for JPEG Extended with more than 8 bits, which imagecodecs decodes.

Pillow's decoder is built for 8 bits, pydicom does not trust GDCM's with more, and that of
pylibjpeg-libjpeg is under the GPL. imagecodecs (BSD) has libjpeg-turbo's; it is large, and few
files need it, so it is an extra.
"""

from importlib.util import find_spec

from pydicom.pixels import get_decoder
from pydicom.pixels.decoders.base import DecodeRunner
from pydicom.uid import JPEGExtended12Bit

NAME = "imagecodecs"
"""What the plug-in is called."""

DECODER_DEPENDENCIES = {JPEGExtended12Bit: (NAME,)}
"""What pydicom says to install."""


def is_available(uid: str) -> bool:
    """Return whether a transfer syntax can be decoded."""
    return uid == JPEGExtended12Bit and find_spec(NAME) is not None


def register() -> None:
    """Make the plug-in known to pydicom, where imagecodecs is installed."""
    decoder = get_decoder(JPEGExtended12Bit)
    if is_available(JPEGExtended12Bit) and NAME not in decoder.available_plugins:
        decoder.add_plugin(NAME, (__name__, "decode_frame"))


def decode_frame(frame: bytes, runner: DecodeRunner) -> bytes:
    """Return the pixels of a frame, little endian, 16 bits allocated."""
    from imagecodecs import jpeg8_decode

    runner.set_option("bits_allocated", 16)
    return bytes(jpeg8_decode(frame).astype("<u2").tobytes())
