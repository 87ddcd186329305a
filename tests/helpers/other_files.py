"""Small files of formats that are not read, by their names: their contents are made when called."""

import bz2
import gzip
import io
import lzma
import sqlite3
import tarfile
import zipfile

import cv2
import numpy as np
from PIL import Image

GRAY = Image.fromarray(np.arange(64 * 64, dtype=np.uint16).reshape(64, 64).astype(np.uint8))


def saved(kind, mode="L"):
    file = io.BytesIO()
    GRAY.convert(mode).save(file, kind)
    return file.getvalue()


def tar():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"))
    return file.getvalue()


def zipped():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a", "b")
    return file.getvalue()


def database():
    with sqlite3.connect(":memory:") as connection:
        connection.execute("create table a (b)")
        return connection.serialize()


FILES = {
    "JPEG": lambda: saved("JPEG"),
    "WebP": lambda: saved("WEBP", "RGB"),
    "AVIF": lambda: saved("AVIF", "RGB"),
    "GIF": lambda: saved("GIF"),
    "BMP": lambda: saved("BMP"),
    "PGM": lambda: saved("PPM"),
    "PPM": lambda: saved("PPM", "RGB"),
    "JPEG 2000": lambda: saved("JPEG2000"),
    "JPEG 2000 code stream": lambda: cv2.imencode(".jp2", np.asarray(GRAY))[1].tobytes(),
    "ZIP": zipped,
    "gzip": lambda: gzip.compress(b"a"),
    "bzip2": lambda: bz2.compress(b"a"),
    "xz": lambda: lzma.compress(b"a"),
    "tar": tar,
    "PDF": lambda: saved("PDF"),
    "SQLite": database,
    "BigTIFF": lambda: b"MM\0+" + bytes(12),
    "NIfTI": lambda: bytes(344) + b"n+1\0" + bytes(8),
    "NRRD": lambda: b"NRRD0004\ntype: short\n",
    "MetaImage": lambda: b"ObjectType = Image\nNDims = 3\n",
    "HDF5": lambda: b"\x89HDF\r\n\x1a\n" + bytes(20),
    "text": lambda: b"not a radiograph\n" * 99,
}
