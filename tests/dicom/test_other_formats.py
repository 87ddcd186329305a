import bz2
import gzip
import io
import lzma
import sqlite3
import tarfile
import zipfile

import cv2
import numpy as np
import pytest
from PIL import Image

from radenhance.dicom.other_formats import NUM_BYTES, identified
from radenhance.dicom.read import read
from radenhance.errors import NoRadiographError

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


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_format_is_named_in_words_with_what_to_do(name, tmp_path):
    path = tmp_path / "file.dat"
    path.write_bytes(FILES[name]())
    with pytest.raises(NoRadiographError) as caught:
        read(path)
    said = str(caught.value).removeprefix(f"{path}: the file is ")
    what, _, advice = said.partition("; ")
    assert what.startswith(("a ", "an "))
    assert name.split()[0] in what
    assert what.endswith("expected DICOM, PNG, TIFF or NPY")
    assert advice.split()[0] in ("it", "convert", "unpack")
    assert said.isprintable()


def test_a_file_whose_format_is_unknown_says_that():
    assert identified(bytes(range(128, 255)))[0] == "in no format that is known here"
    assert identified(bytes(NUM_BYTES))[0] == "all zeros at its start"


def test_text_is_text_though_a_character_is_cut_off():
    assert identified("Röntgen".encode()[:2])[0] == "a text file"
    assert identified(b"\xff" + b"a" * 99)[0] != "a text file"
