"""Formats that are not read, by name: what a file is, and what to do about it.

Archives hold much beside radiographs. Who is told that a file starts with `ff d8 ff e0` has to look
up what that is; who is told that it is a JPEG knows.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class _Format:
    name: str
    magic: bytes
    offset: int = 0
    advice: str = ""


_LOSSY = "it has lost gray values: export the original as DICOM, or as PNG of 16 bits"
_GRAYSCALE = "convert it to grayscale PNG: magick in.{suffix} -colorspace gray out.png"
_JPEG_2000 = "convert it to PNG: opj_decompress -i in.{suffix} -o out.png"
_VOLUME = "it holds volumes; export single projections as DICOM, or as PNG of 16 bits"
_PACKED = "unpack it first"
_NO_IMAGE = "it is no image; leave it out"

_FORMATS = (
    _Format("a JPEG file", b"\xff\xd8\xff", advice=_LOSSY),
    _Format("a WebP file", b"WEBP", 8, _LOSSY),
    _Format("a HEIC or AVIF file, or a video", b"ftyp", 4, _LOSSY),
    _Format("a GIF file", b"GIF8", advice=_LOSSY),
    _Format("a JPEG XL file", b"\xff\x0a", advice=_LOSSY),
    _Format("a JPEG XL file", b"\0\0\0\x0cJXL ", advice=_LOSSY),
    _Format("a BMP file", b"BM", advice=_GRAYSCALE.format(suffix="bmp")),
    _Format("a PGM file", b"P5", advice=_GRAYSCALE.format(suffix="pgm")),
    _Format("a PGM file", b"P2", advice=_GRAYSCALE.format(suffix="pgm")),
    _Format("a PPM file", b"P6", advice=_GRAYSCALE.format(suffix="ppm")),
    _Format("a JPEG 2000 file", b"\0\0\0\x0cjP  ", advice=_JPEG_2000.format(suffix="jp2")),
    _Format("a JPEG 2000 file", b"\xff\x4f\xff\x51", advice=_JPEG_2000.format(suffix="j2k")),
    _Format(
        "a BigTIFF file of big endian", b"MM\0+", advice="convert it: tiffcp -L in.tif out.tif"
    ),
    _Format("an OpenEXR file", b"\x76\x2f\x31\x01", advice=_GRAYSCALE.format(suffix="exr")),
    _Format("a Photoshop file", b"8BPS", advice=_GRAYSCALE.format(suffix="psd")),
    _Format("a NIfTI file", b"n+1\0", 344, _VOLUME),
    _Format("a NRRD file", b"NRRD", advice=_VOLUME),
    _Format("a MetaImage file", b"ObjectType", advice=_VOLUME),
    _Format("an HDF5 file", b"\x89HDF\r\n\x1a\n", advice=_VOLUME),
    _Format("a MATLAB file", b"MATLAB", advice=_VOLUME),
    _Format("a ZIP archive, such as an NPZ or a document", b"PK\x03\x04", advice=_PACKED),
    _Format("a gzip archive", b"\x1f\x8b", advice=_PACKED),
    _Format("a bzip2 archive", b"BZh", advice=_PACKED),
    _Format("an xz archive", b"\xfd7zXZ\0", advice=_PACKED),
    _Format("a 7z archive", b"7z\xbc\xaf\x27\x1c", advice=_PACKED),
    _Format("a RAR archive", b"Rar!", advice=_PACKED),
    _Format("a tar archive", b"ustar", 257, _PACKED),
    _Format("a PDF file", b"%PDF", advice=_NO_IMAGE),
    _Format("a program", b"\x7fELF", advice=_NO_IMAGE),
    _Format("a program of Windows", b"MZ", advice=_NO_IMAGE),
    _Format("an SQLite database", b"SQLite format 3\0", advice=_NO_IMAGE),
)
NUM_BYTES = max(one.offset + len(one.magic) for one in _FORMATS)
"""Bytes of the start of a file by which all of them are told apart."""

_OTHER = "leave it out, or export it as one of these"


def identified(start: bytes) -> tuple[str, str]:
    """Return what a file is, as a noun phrase, and what to do about it, as an imperative.

    Args:
        start: The first `NUM_BYTES` bytes of the file, or all of a shorter one.
    """
    for one in _FORMATS:
        if start.startswith(one.magic, one.offset):
            return one.name, one.advice
    if _is_text(start):
        return "a text file", _NO_IMAGE
    return "in no format that is known here" if any(start) else "all zeros at its start", _OTHER


def _is_text(start: bytes) -> bool:
    try:
        text = start.decode()
    except UnicodeDecodeError as error:
        if error.end < len(start):  # else a character is cut off
            return False
        text = start[: error.start].decode()
    return all(character.isprintable() or character in "\t\n\r\f\ufeff" for character in text)
