import io
import zlib
from pathlib import Path

import pytest

from radenhance.dicom.bounded_file import BoundedFile, InflatedFile
from radenhance.errors import RadiographError

DATA = bytes(range(256)) * 1000


def deflated(data):
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return io.BytesIO(deflater.compress(data) + deflater.flush())


def bounded(allowance, data=DATA):
    return BoundedFile(io.BytesIO(data), path=Path("a.dcm"), size=len(data), allowance=allowance)


def test_allowance_counts_over_all_reads():
    file = bounded(100)
    assert file.read(60) == DATA[:60]
    assert file.read(40) == DATA[60:100]
    with pytest.raises(RadiographError, match=r"a\.dcm: more than 100 bytes"):
        file.read(1)


def test_allowance_is_renewed():
    file = bounded(10)
    file.read(10)
    file.allow(5)
    assert file.read(5) == DATA[10:15]


def test_read_beyond_the_end_of_the_file_is_short_and_free():
    file = bounded(20, data=b"abc")
    assert file.read(2**40) == b"abc"
    assert file.read(17) == b""


def test_inflated_file_reads_and_seeks_like_the_data():
    file = InflatedFile(deflated(DATA))
    assert file.read(10) == DATA[:10]
    file.seek(-6, io.SEEK_CUR)
    assert file.tell() == 4
    assert file.read(100_000) == DATA[4:100_004]
    file.seek(0)
    assert file.read(2**40) == DATA
    assert file.read(1) == b""


def test_inflated_file_inflates_no_further_than_it_is_read():
    source = deflated(bytes(2**26))
    file = InflatedFile(source)
    file.read(1000)
    assert len(file._data) <= 2**17


def test_inflated_file_does_not_seek_ahead():
    file = InflatedFile(deflated(DATA))
    file.read(10)
    assert file.seek(10**9) <= len(DATA)


def test_damaged_deflated_data_are_a_sentence_wherever_they_are_read():
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    whole = deflater.compress(bytes(range(256)) * 4096) + deflater.flush()
    messages = []
    for position in range(0, len(whole), max(len(whole) // 200, 1)):
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        inflated = InflatedFile(io.BytesIO(bytes(damaged)))
        file = BoundedFile(inflated, path=Path("a.dcm"), size=None, allowance=2**30)
        try:
            while file.read(4096):
                pass
        except RadiographError as error:
            messages.append(str(error))
    assert messages
    assert all(one.startswith("a.dcm: the deflated data are damaged after") for one in messages)
