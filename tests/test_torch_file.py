"""A file of torch.save is read as data, or refused before it takes memory or runs anything."""

import collections
import io
import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from radenhance.errors import UsageError
from radenhance.torch_file import MOST_TUPLES, read_torch_file

FILE = Path("x.pt")


def written(content):
    torch.save(content, FILE)
    return FILE


def with_pickle(code):
    """An archive of torch.save whose pickle is another one, with its checksum."""
    torch.save({"a": 1}, FILE)
    with zipfile.ZipFile(FILE) as old:
        records = {record.filename: old.read(record) for record in old.infolist()}
    with zipfile.ZipFile(FILE, "w") as new:
        for name, record in records.items():
            new.writestr(name, code if name.endswith("data.pkl") else record)
    return FILE


class Call:
    def __init__(self, function, *arguments):
        self.made = function, arguments

    def __reduce__(self):
        return self.made


def refused(path):
    with pytest.raises(UsageError) as raised:
        read_torch_file(path)
    message = str(raised.value)
    assert len(message.splitlines()) == 1
    return message


def test_numbers_texts_tensors_and_containers_come_back_as_they_were():
    weights = torch.nn.Linear(3, 2).to(memory_format=torch.contiguous_format).state_dict()
    images = torch.rand(1, 3, 4, 4).to(memory_format=torch.channels_last)
    content = {"w": weights, "i": images, "n": [1, -2.5, None, True], "t": ("a", float("inf"))}
    found = read_torch_file(written(content))
    assert type(found["w"]) is dict
    assert all(torch.equal(found["w"][name], weights[name]) for name in weights)
    assert torch.equal(found["i"], images)
    assert found["i"].stride() == images.stride()
    assert (found["n"], found["t"]) == (content["n"], content["t"])


def test_counters_of_schedules_stay_counters_and_parameters_become_tensors():
    found = read_torch_file(
        written({"c": collections.Counter([3, 3]), "p": torch.nn.Linear(1, 1).weight})
    )
    assert found["c"] == collections.Counter({3: 2})
    assert type(found["c"]) is collections.Counter
    assert not found["p"].requires_grad


def test_every_flipped_bit_of_a_weight_is_found():
    weights = torch.rand(2000)
    data = bytearray(written({"w": weights}).read_bytes())
    begin = data.find(weights.numpy().tobytes())
    for at in range(begin, begin + weights.nbytes, 331):
        damaged = bytearray(data)
        damaged[at] ^= 1 << at % 8
        FILE.write_bytes(damaged)
        assert refused(FILE) == "x.pt is damaged; give another checkpoint"


@pytest.mark.parametrize("share", [0, 0.3, 0.9, 0.999])
def test_a_file_that_is_cut_off_is_refused(share):
    data = written({"w": torch.rand(2000)}).read_bytes()
    FILE.write_bytes(data[: int(len(data) * share)])
    assert "only a part of one" in refused(FILE)


@pytest.mark.parametrize(
    "call",
    [
        Call(os.system, "touch harm"),
        Call(eval, "open('harm', 'w')"),
        Call(getattr, "x", "upper"),
        Call(bytearray, 2**40),
        Call(torch.hub.load, "owner/name", "model"),
        Call(torch.device, "cpu"),
        Call(Path, "x"),
    ],
)
def test_nothing_but_tensors_and_containers_is_made(call):
    torch.save({"settings": call}, FILE)
    assert "holds more than weights and settings" in refused(FILE)
    assert not Path("harm").exists()


@pytest.mark.parametrize(
    "value",
    [
        b"bytes",
        {1, 2},
        10**30,
        "two\nlines",
        "\x1b[2J",
        "x" * 20_000,
        {("a", "b"): 1},
        {None: 1},
        torch.zeros(3).to_sparse(),
        torch.zeros(3, dtype=torch.complex64),
    ],
)
def test_a_value_that_no_checkpoint_needs_is_refused(value):
    refused(written({"settings": value}))


def test_what_is_compressed_is_not_unpacked():
    written({"w": torch.zeros(2**22)})
    with zipfile.ZipFile(FILE) as old, zipfile.ZipFile("y.pt", "w", zipfile.ZIP_DEFLATED) as new:
        for record in old.infolist():
            new.writestr(record.filename, old.read(record))
    assert Path("y.pt").stat().st_size < 2**16
    assert refused(Path("y.pt")) == "y.pt is damaged; give another checkpoint"


def test_records_that_overlap_are_not_read_many_times():
    written({"w": torch.zeros(2**10)})
    with zipfile.ZipFile(FILE, "a") as archive:
        last = archive.infolist()[-1]
        first = max(archive.infolist(), key=lambda record: record.file_size)
        for number in range(50):
            copied = zipfile.ZipInfo(f"{last.filename}{number}")
            copied.header_offset, copied.CRC = first.header_offset, first.CRC
            copied.file_size = copied.compress_size = first.file_size
            archive.filelist.append(copied)
        archive._didModify = True
    refused(FILE)


@pytest.mark.parametrize("again", ["data.pkl", "DATA.PKL"])
def test_records_of_which_two_readers_would_take_different_ones_are_refused(again):
    written({"a": 1})
    with (
        zipfile.ZipFile(FILE, "a") as archive,
        pytest.warns() if again == "data.pkl" else open(os.devnull),
    ):
        archive.writestr(f"x/{again}", pickle.dumps({"a": 2}, 2))
    assert "damaged" in refused(FILE)


def test_a_tensor_that_repeats_its_memory_is_refused():
    refused(written({"w": torch.zeros(1).expand(2**40)}))
    refused(written({"w": [torch.zeros(2**16)] * 100}))


def test_a_small_thing_that_is_a_million_things_is_refused():
    laugh = "laugh"
    for _ in range(30):
        laugh = [laugh] * 10
    refused(written({"a": laugh}))


def test_what_contains_itself_is_refused():
    loop = []
    loop.append(loop)
    refused(written({"a": loop}))


def test_tuples_in_tuples_do_not_crash_the_interpreter():
    code = b"\x80\x02})" + b"\x85" * 2_000_000 + b"K\x01s."
    assert "damaged" in refused(with_pickle(code))
    assert MOST_TUPLES < 100_000


def test_names_that_the_pickle_computes_are_refused():
    code = b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\ntouch harm\x85R."
    assert "holds more than weights and settings" in refused(with_pickle(code))
    assert not Path("harm").exists()


@pytest.mark.parametrize("path", ["gone", "."])
def test_what_is_no_file_is_said(path):
    assert "is no file" in refused(Path(path))


def test_a_stream_instead_of_an_archive_is_refused():
    buffer = io.BytesIO()
    torch.save({"a": 1}, buffer, _use_new_zipfile_serialization=False)
    FILE.write_bytes(buffer.getvalue())
    assert "is not a checkpoint, or only a part of one" in refused(FILE)


def test_a_tensor_that_claims_more_than_its_record_reads_no_other_memory():
    with zipfile.ZipFile(written({"a": torch.arange(4.0)})) as archive:
        records = {record.filename: archive.read(record) for record in archive.infolist()}
    (name,) = (name for name in records if name.endswith("data.pkl"))
    claimed = (
        records[name].replace(b"K\x04t", b"M\x00\x40t").replace(b"K\x04\x85", b"M\x00\x40\x85")
    )
    assert claimed.count(b"M\x00\x40") == 2
    with zipfile.ZipFile(FILE, "w") as archive:
        for record, content in (records | {name: claimed}).items():
            archive.writestr(record, content)
    assert "damaged" in refused(FILE)
