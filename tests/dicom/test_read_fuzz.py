"""Damaged files: each is a radiograph or one of our errors, in bounded time and memory.

10,000 files, the same ones on every run: bytes flipped, cut out, repeated and cut off, lengths lied
about, elements renamed, retyped and given values out of all range. A decoder that crashes takes the
test run with it, which fails too. RADENHANCE_FUZZ multiplies the number.
"""

import io
import logging
import math
import os
import random
import resource
import struct
import time
import zlib
from contextlib import suppress
from dataclasses import astuple, dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydicom.filereader import data_element_generator, read_dataset, read_preamble
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32
from saved_files import (
    BY_IMAGECODECS,
    COMPRESSED,
    NATIVE,
    SAMPLES,
    crop,
    rich,
    save,
    with_modality_lut,
)

from radenhance.dicom.radiograph import Header, Radiograph
from radenhance.dicom.read import Declaration, read, read_header
from radenhance.errors import RadiographError

pytestmark = pytest.mark.filterwarnings("ignore")

FILES_PER_SEED = 400 * int(os.environ.get("RADENHANCE_FUZZ", "1"))
FULL_SIZE_FILES = 20
MAX_SECONDS = 3.0
MAX_GROWTH_MIB = 256

DECLARATIONS = (
    None,
    None,
    Declaration(bone="bright", bits=12, relationship="LIN"),
    Declaration(bone="dark", bits=16, override=True),
)
NUMBERS = (b"0", b"-1", b"1e999", b"nan", b"1e308", b"99999", b"2\\3", b"abc", b"\\\\", b"\xff\xfe")
INTEGERS = (0, 1, 2, 127, 255, 4095, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)
TYPES = (b"US", b"SS", b"DS", b"IS", b"LO", b"CS", b"SQ", b"UN", b"OW", b"OB", b"FD", b"AT", b"PN")


@pytest.fixture(autouse=True)
def _no_log():
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def picture(kind, **options):
    pixels = crop("RG1_UNCR.dcm").pixel_array
    file = io.BytesIO()
    if kind == "NPY":
        np.save(file, pixels)
    else:
        if options.pop("eight", False):
            pixels = (pixels >> 7).astype(np.uint8)
        if kind == "PNG":
            options["pnginfo"] = PngInfo()
            options["pnginfo"].add_text("Comment", "anything" * 10, zip=True)
        Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


SEEDS = {
    **{f"RG1 {syntax.keyword}": ("RG1_UNCR.dcm", syntax) for syntax in [*NATIVE, *COMPRESSED]},
    **{f"RG3 {syntax.keyword}": ("RG3_UNCR.dcm", syntax) for syntax in [*NATIVE, *COMPRESSED]},
    **{f"RG3 {syntax.keyword}": ("RG3_UNCR.dcm", syntax) for syntax in BY_IMAGECODECS},
    "rich": (rich, ExplicitVRLittleEndian),
    "rich deflated": (rich, DeflatedExplicitVRLittleEndian),
    "modality LUT": (with_modality_lut, ExplicitVRLittleEndian),
    "PNG 16": ("PNG", {}),
    "PNG 8": ("PNG", {"eight": True}),
    "TIFF 16": ("TIFF", {}),
    "TIFF deflate": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    "TIFF LZW": ("TIFF", {"compression": "tiff_lzw", "eight": True}),
    "TIFF big": ("TIFF", {"big_tiff": True}),
    "NPY": ("NPY", {}),
}


@cache
def seed(name):
    """Bytes of an undamaged file, and where its elements are."""
    source, how = SEEDS[name]
    if isinstance(how, dict):
        return picture(source, **how), ()
    dataset = source() if callable(source) else crop(source)
    with TemporaryDirectory() as folder:
        data = Path(save(dataset, f"{folder}/seed.dcm", how)).read_bytes()
    return data, tuple(spans(data, how))


@dataclass(frozen=True)
class Span:
    """Offsets of one element in a file without its meta information."""

    tag: int
    length: int
    value: int
    end: int


def spans(data, syntax):
    _, body = split(data, syntax)
    file = io.BytesIO(body)
    start = 0
    for element in data_element_generator(file, syntax.is_implicit_VR, syntax.is_little_endian):
        value = element.value_tell if element.is_raw else element.file_tell
        long_length = syntax.is_implicit_VR or element.VR in EXPLICIT_VR_LENGTH_32
        yield Span(start, value - (4 if long_length else 2), value, file.tell())
        start = file.tell()


def split(data, syntax):
    """Split a file after its meta information, and inflate the rest."""
    file = io.BytesIO(data)
    read_preamble(file, force=True)
    read_dataset(file, False, True, stop_when=lambda tag, vr, length: tag.group != 2)
    start, body = data[: file.tell()], data[file.tell() :]
    if syntax == DeflatedExplicitVRLittleEndian:
        body = zlib.decompress(body, -zlib.MAX_WBITS)
    return start, body


def damaged(name, index):
    """One damaged file, the same for the same arguments."""
    dice = random.Random(f"{name} {index}")
    data, elements = seed(name)
    _, how = SEEDS[name]
    if elements and dice.random() < 0.5:
        start, body = split(data, how)
        body = bytearray(body)
        for _ in range(dice.choice((1, 1, 1, 2, 4))):
            damage_element(body, dice.choice(elements), dice)
        if how == DeflatedExplicitVRLittleEndian:
            deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
            body = deflater.compress(body) + deflater.flush()
        return start + bytes(body)
    data = damage_bytes(bytearray(data), dice)
    return with_checksums(data) if name.startswith("PNG") and dice.random() < 0.7 else data


def with_checksums(data):
    """A PNG whose chunks have the right checksums again, so that damage gets past them."""
    parts, at = [data[:8]], 8
    while at + 12 <= len(data):
        (length,) = struct.unpack(">L", data[at : at + 4])
        chunk = data[at + 4 : at + 8 + length]
        parts += [data[at : at + 4], chunk, struct.pack(">L", zlib.crc32(chunk))]
        at += 12 + length
    return b"".join(parts)


def damage_element(body, element, dice):
    tag, length_at, value, end = astuple(element)
    if end > len(body):  # an element that stood there was deleted
        return
    how = dice.choice(("tag", "type", "length", "number", "integer", "delete", "repeat"))
    if how == "tag":
        body[tag + dice.randrange(4)] ^= 1 << dice.randrange(8)
    elif how == "type":
        body[tag + 4 : tag + 6] = dice.choice(TYPES)
    elif how == "length":
        number = dice.choice((*INTEGERS, end - value + dice.choice((-2, -1, 1, 2, 64))))
        body[length_at:value] = (number % 2**32).to_bytes(4, "little")[: value - length_at]
    elif how == "number":
        text = (dice.choice(NUMBERS) * 64)[: end - value]
        body[value : value + len(text)] = text
    elif how == "integer" and end - value <= 64:
        number = struct.pack("<L", dice.choice(INTEGERS))
        body[value:end] = (number * 16)[: end - value]
    elif how == "delete":
        del body[tag:end]
    elif how == "repeat":
        body[tag:tag] = body[tag:end]


def damage_bytes(data, dice):
    header = min(len(data), 1500)
    for _ in range(dice.choice((1, 1, 2, 4, 16))):
        if not data:
            break
        at = dice.randrange(dice.choice((len(data), min(header, len(data)))))
        how = dice.random()
        if how < 0.5:
            data[at] = dice.choice((0, 255, dice.randrange(256), data[at] ^ 1 << dice.randrange(8)))
        elif how < 0.7:
            order = dice.choice("<>")
            number = struct.pack(f"{order}L", dice.choice(INTEGERS))[-dice.choice((2, 4)) :]
            data[at : at + len(number)] = number
        elif how < 0.8:
            del data[at : at + dice.choice((1, 2, 8, 500))]
        elif how < 0.9:
            data[at:at] = data[at : at + dice.choice((1, 2, 8, 500))]
        else:
            del data[at:]
    return bytes(data)


def check(radiograph):
    assert isinstance(radiograph, Radiograph)
    pixels, valid, spacing = radiograph.pixels, radiograph.valid, radiograph.spacing_mm
    assert pixels.dtype == np.uint16
    assert pixels.ndim == 2
    assert pixels.size > 0
    assert pixels.flags.writeable
    assert 1 <= radiograph.bits <= 16
    assert pixels.max() <= radiograph.max_value
    assert radiograph.relationship in ("LIN", "LOG")
    assert valid is None or (valid.dtype == bool and valid.shape == pixels.shape and valid.any())
    assert spacing is None or (len(spacing) == 2 and all(0 < s < math.inf for s in spacing))
    assert isinstance(radiograph.header, Header)


def survives(path, index):
    """Read a file every way; return whether it was readable."""
    start = time.process_time()
    readable = False
    with suppress(RadiographError):
        check(
            read(
                path,
                declaration=DECLARATIONS[index % len(DECLARATIONS)],
                for_presentation=index % 3 == 0,
            )
        )
        readable = True
    if index % 4 == 0:
        with suppress(RadiographError):
            assert isinstance(read_header(path), Header)
    assert time.process_time() - start < MAX_SECONDS
    return readable


@pytest.mark.parametrize("name", SEEDS)
def test_damaged_file_is_a_radiograph_or_an_error(name):
    with open("damaged", "wb") as file:
        file.write(seed(name)[0])
    assert survives("damaged", 0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    readable = 0
    for index in range(FILES_PER_SEED):
        with open("damaged", "wb") as file:
            file.write(damaged(name, index))
        readable += survives("damaged", index)
    growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert growth < MAX_GROWTH_MIB
    # The damage is neither so great nor so small that one branch is all that was tested.
    assert 0 < readable < FILES_PER_SEED


def test_damaged_header_of_a_full_size_file_is_a_radiograph_or_an_error():
    data = (SAMPLES / "RG3_UNCR.dcm").read_bytes()
    elements = tuple(spans(data, ExplicitVRLittleEndian))
    start, body = split(data, ExplicitVRLittleEndian)
    readable = 0
    for index in range(FULL_SIZE_FILES):
        dice = random.Random(index)
        damaged_body = bytearray(body)
        damage_element(damaged_body, dice.choice(elements[10:]), dice)
        with open("damaged", "wb") as file:
            file.write(start + damaged_body)
        readable += survives("damaged", index)
    assert 0 < readable < FULL_SIZE_FILES
