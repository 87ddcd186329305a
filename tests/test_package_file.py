"""A model package is opened like a checkpoint, and what is damaged or no package is refused."""

import json
import random
import struct
import zipfile
from pathlib import Path

import pytest
import torch
from small_package import (
    in_folder,
    small_checkpoint,
    small_files,
    with_metadata,
    with_section,
    with_state,
    with_weights,
)

from radenhance.checkpoint import Checkpoint
from radenhance.errors import UsageError
from radenhance.package_file import (
    CARD,
    METADATA,
    MOST_METADATA_BYTES,
    SECTION,
    WEIGHTS,
    is_package,
    model_sha256,
)


def test_a_package_from_before_a_setting_was_packed_is_opened(tmp_path):
    files = with_metadata(lambda metadata: metadata[SECTION]["settings"].pop("data.predict_at"))
    opened = Checkpoint.open(in_folder(files, tmp_path / "old"))
    assert opened.flags["data.predict_at"] == "auto"


def zipped(files, path="x.zip", compression=zipfile.ZIP_STORED):
    """Write an archive of (name, content) pairs and return its path."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return Path(path)


def refused(path):
    with pytest.raises(UsageError) as raised:
        Checkpoint.open(path)
    message = str(raised.value)
    assert len(message.splitlines()) == 1
    assert message.startswith(str(path))
    return message


def changed_state(name="unet.segmentation_head.0.bias", value=None):
    def change(state):
        if value is None:
            state["another"] = state.pop(name)
        else:
            state[name] = value

    return lambda: with_state(change)


def with_setting(name, value):
    return lambda: with_metadata(lambda m: m[SECTION]["settings"].update({name: value}))


def without(*keys):
    def change(metadata):
        for key in keys[:-1]:
            metadata = metadata[key]
        del metadata[keys[-1]]

    return lambda: with_metadata(change)


def with_text(text):
    return lambda: small_files() | {METADATA: text if isinstance(text, bytes) else text.encode()}


def cut(name, part):
    def files():
        content = small_files()[name]
        return small_files() | {name: content[: int(len(content) * part)]}

    return files


def lacking(name):
    return lambda: {key: value for key, value in small_files().items() if key != name}


LONG_HEADER = struct.pack("<Q", 2**60)
OUTSIDE = b'{"a":{"dtype":"F32","shape":[1073741824],"data_offsets":[0,4294967296]}}'

DAMAGED = {
    "weights cut off": (cut(WEIGHTS, 0.9), f"checksum of {WEIGHTS} is wrong"),
    "weights of nothing": (lambda: small_files() | {WEIGHTS: b""}, "checksum"),
    "another checksum": (lambda: with_section(weights_sha256="0" * 64), "checksum"),
    "no checksum": (lambda: with_section(weights_sha256=None), "checksum"),
    "weights that are text": (lambda: with_weights(b"hello"), "holds no weights"),
    "a header of 2**60 bytes": (lambda: with_weights(LONG_HEADER), "holds no weights"),
    "weights outside of the file": (
        lambda: with_weights(struct.pack("<Q", len(OUTSIDE)) + OUTSIDE),
        "holds no weights",
    ),
    "a weight of another name": (changed_state(), "not those of its encoder"),
    "a weight of another shape": (changed_state(value=torch.zeros(2)), "not those of its encoder"),
    "a weight that is NaN": (
        changed_state(value=torch.tensor([float("nan")])),
        "infinite or not a number",
    ),
    "a weight that is infinite": (
        changed_state(value=torch.tensor([float("inf")])),
        "infinite or not a number",
    ),
    "weights of another kind": (
        changed_state(value=torch.zeros(1).to(torch.float8_e4m3fn)),
        "an unknown kind",
    ),
    "complex weights": (changed_state(value=torch.zeros(1) * 1j), "an unknown kind"),
    "one weight more": (changed_state("more", torch.zeros(1)), "not those of its encoder"),
    "metadata cut off": (cut(METADATA, 0.5), "not JSON that can be read"),
    "metadata that is text": (with_text("hello"), "not JSON that can be read"),
    "metadata in another encoding": (with_text("{}".encode("utf-16")), "not JSON"),
    "metadata that is deep": (with_text("[" * 200_000), "not JSON that can be read"),
    "metadata of a long number": (with_text("9" * 10_000), "not JSON that can be read"),
    "metadata with NaN": (with_text('{"radenhance": NaN}'), "not JSON that can be read"),
    "a key twice": (with_text('{"radenhance": {}, "radenhance": {}}'), "not JSON that"),
    "metadata of a megabyte": (with_text(" " * (MOST_METADATA_BYTES + 1)), "larger than 1 MiB"),
    "metadata that is a list": (with_text("[]"), f"no section {SECTION}"),
    "no section of ours": (without(SECTION), f"no section {SECTION}"),
    "a section of text": (with_text('{"radenhance": "x"}'), f"no section {SECTION}"),
    "a newer format": (lambda: with_section(format=2), "perhaps of a newer radenhance"),
    "a key missing": (without(SECTION, "coarse"), "lacks keys"),
    "an unknown key": (lambda: with_section(more=1), "lacks keys or has unknown ones"),
    "settings of text": (lambda: with_section(settings="x"), "settings are others"),
    "a setting missing": (without(SECTION, "settings", "model.output"), "settings are others"),
    "an unknown setting": (with_setting("model.weights", "/etc"), "settings are others"),
    "an encoder to be fetched": (with_setting("model.encoder", "tu-hf-hub:a/b"), "model.encoder"),
    "an encoder that is a list": (with_setting("model.encoder", ["resnet18"]), "model.encoder"),
    "a size below zero": (with_setting("data.image_size", -1), "data.image_size is -1"),
    "a momentum of text": (with_setting("model.memory.momentum", "0.9"), "momentum is '0.9'"),
    "a coarse network of text": (lambda: with_section(coarse="resnet18"), "model.coarse"),
    "a version that is none": (lambda: with_section(lightning_version="1;x"), "Lightning"),
    "no weights": (lacking(WEIGHTS), f"lacks {WEIGHTS}"),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_package_is_refused_in_a_sentence_that_says_why(what):
    make, why = DAMAGED[what]
    files = make()
    assert why in refused(in_folder(files, "damaged"))
    if WEIGHTS in files:
        assert why in refused(zipped(files.items()))


def test_a_folder_and_an_archive_hold_the_weights_and_settings_of_the_checkpoint():
    before = Checkpoint.open(small_checkpoint("small.ckpt"))
    for path in (in_folder(small_files(), "made"), zipped(small_files().items())):
        opened = Checkpoint.open(path)
        assert opened.flags == before.flags
        assert opened.content["state_dict"].keys() == before.content["state_dict"].keys()
        assert all(
            torch.equal(tensor, before.content["state_dict"][name])
            for name, tensor in opened.content["state_dict"].items()
        )
        assert "optimizer_states" not in opened.content
        assert opened.optimizer is None
        assert model_sha256(path) == json.loads(small_files()[METADATA])[SECTION]["weights_sha256"]


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["../evil"], "other files"),
        (["/tmp/evil"], "other files"),
        (["a/../../evil"], "other files"),
        ([f"package/{METADATA}"], "other files"),
        ([f"../{WEIGHTS}"], "other files"),
        ([METADATA], "twice"),
        ([WEIGHTS], "twice"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive_with_other_names_is_refused(names, why):
    files = [*small_files().items(), *((name, b"{}") for name in names)]
    assert why in refused(zipped(files))
    assert not Path("../evil").exists()


def test_a_compressed_archive_is_refused_before_it_is_unpacked():
    files = small_files() | {WEIGHTS: bytes(2**24)}
    path = zipped(files.items(), compression=zipfile.ZIP_DEFLATED)
    assert "compressed" in refused(path)


def test_an_archive_that_declares_giant_files_is_refused():
    path = zipped(small_files().items())
    content = bytearray(path.read_bytes())
    at = content.find(b"PK\x01\x02")
    content[at + 20 : at + 28] = struct.pack("<II", 2**31, 2**31)  # compressed and whole size
    path.write_bytes(content)
    assert "larger than itself" in refused(path)


def test_an_archive_without_metadata_is_no_package():
    path = zipped([(WEIGHTS, small_files()[WEIGHTS])])
    assert not is_package(path)
    refused(path)


def test_a_folder_that_is_no_package_is_refused_as_before():
    Path("empty").mkdir()
    assert "empty is no file" in refused(Path("empty"))


@pytest.mark.parametrize("part", [0, 0.01, 0.5, 0.99, 0.9999])
def test_an_archive_that_is_cut_off_is_refused(part):
    content = zipped(small_files().items()).read_bytes()
    Path("x.zip").write_bytes(content[: int(len(content) * part)])
    refused(Path("x.zip"))


def test_an_archive_with_changed_bytes_is_refused_or_gives_the_same_weights():
    files = small_files()
    whole = zipped(files.items()).read_bytes()
    begin = whole.find(files[WEIGHTS]) + len(files[WEIGHTS])  # the rest says what is where
    expected = Checkpoint.open(Path("x.zip")).content["state_dict"]
    num_refused = 0
    for seed in range(30):
        draw = random.Random(seed)
        content = bytearray(whole)
        for _ in range(draw.randint(1, 3)):
            content[draw.randrange(begin, len(content))] = draw.randrange(256)
        Path("x.zip").write_bytes(content)
        try:
            found = Checkpoint.open(Path("x.zip")).content["state_dict"]
        except UsageError:  # anything else is a traceback
            num_refused += 1
        else:
            assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert num_refused > 10


def test_the_card_is_not_needed_and_not_read():
    files = small_files()
    del files[CARD]
    Checkpoint.open(in_folder(files, "made"))


def test_a_checkpoint_is_no_package():
    path = small_checkpoint("small.ckpt")
    assert not is_package(path)
    assert not is_package(Path("missing"))
    assert len(model_sha256(path)) == 64


def test_an_archive_is_found_by_its_content_not_by_its_name():
    path = zipped(small_files().items(), "model.ckpt")
    assert Checkpoint.open(path).encoder == "tu-mobilenetv3_small_050"
