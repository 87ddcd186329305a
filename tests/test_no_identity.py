"""Names that are planted in headers and paths are in nothing that a command writes.

A dataset is made of files that carry an owner, a patient, a number, dates and an institution, in
folders that are called so, and every command works on it. Then all bytes that were written are
searched, and pictures, in which no search finds a name, are those of another owner's files.
"""

import itertools
import os
import shutil
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from clinic_files import named_dataset, save
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from radenhance.cli import main
from radenhance.dataset.manifest import listed_pairs, write_manifest

NUM_CASES = 4
SMALL = [
    "--data.image_size=64",
    "--data.num_workers=0",
    "--model.num_scales=auto",
    "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
]


@dataclass(frozen=True)
class Identity:
    """What a header says of whose image it is, and parts of it that nothing else holds."""

    owner: str
    pet: str
    number: str
    date: str
    institution: str

    @property
    def traces(self):
        year, month, day = self.date[:4], self.date[4:6], self.date[6:]
        dates = [self.date, f"{year}-{month}-{day}", f"{day}.{month}.{year}"]
        names = [self.owner, self.pet, self.number, self.institution]
        return [*dates, *names, *(name[:6] for name in names)]


ONE = Identity("Quillfeather", "Zorbaxus", "QF774411", "20190304", "Brackwater")
OTHER = Identity("Thrupplewick", "Ogdolina", "TW998855", "20121224", "Kestrelmoor")


def export(folder, who):
    for i in range(NUM_CASES):
        dataset = named_dataset(seed=i)
        dataset.PatientName, dataset.ResponsiblePerson = f"{who.owner}^{who.pet}", who.owner
        dataset.PatientID, dataset.AccessionNumber = f"{who.number}-{i}", f"{who.number}77"
        dataset.StudyDate = dataset.PatientBirthDate = dataset.ContentDate = who.date
        dataset.InstitutionName = f"{who.institution} Animal Hospital"
        dataset.PatientComments = f"{who.pet} of {who.owner}"
        save(dataset, folder / who.institution / who.pet / who.date / f"{who.number}_{i}.dcm")
    (folder / f"letter to {who.owner} of {who.date}.txt").write_text(who.owner)


def commands(home, who):
    """Every command that writes, but for `quantize` and `export`: their own tests search those."""
    root = str(home / who.pet)
    data = [f"--data.root={root}", f"--trainer.default_root_dir={home}", *SMALL]
    network = ["--model.encoder=tu-mobilenetv3_small_050", "--trainer.max_epochs"]
    return [
        ["prepare", who.institution, root, "--keep-names", "--val-fraction=0.5", "--processes=1"],
        ["check", root, "--json=check.json", "--sheet=check.png", "--processes=1"],
        ["fit", *data, *network, "1"],
        ["showcase", f"--root={root}"],
        ["compare", f"--root={root}"],
        [
            *("evaluate", "best", root, "--size=64", "--at=compare"),
            *("--csv=figures.csv", "--json=figures.json", "--sheet=figures.png"),
        ],
        ["fit", *data, *network, "2", "--ckpt_path=last"],
        ["validate", *data],
        ["predict", *data, f"--data.predict_from={who.institution}"],
        ["enhance", who.institution, "--out=png", "--format=png", "--report=run.json"],
        ["guard", f"--root={root}", "--ckpt_path=last"],
        ["enhance", "last", who.institution, "--out=tiff", "--format=tiff", "--guard=guard.json"],
        ["plan", *data, *network, "1"],
        ["package", "last", "model", f"--dataset={root}"],
    ]


def split_alike(root):
    """Split by number: splits are drawn by patient, and other patients are drawn otherwise."""
    pairs = listed_pairs(root)
    splits = ["train", "val"] * (NUM_CASES // 2)
    write_manifest(root, [replace(p, split=s) for p, s in zip(pairs, splits, strict=True)])


def worked_on(folder, who, num_commands=None):
    """Run commands in a folder that is named after the owner, and return it."""
    home = folder / f"{who.owner} {who.date}"
    home.mkdir(exist_ok=True)
    export(home / who.institution, who)
    former = Path.cwd()
    os.chdir(home)  # a fixture of a module has no monkeypatch
    try:
        for command in commands(home, who)[:num_commands]:
            assert main(command) == 0, command
            if command[0] == "prepare":
                split_alike(home / who.pet)
    finally:
        os.chdir(former)
    return home


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return worked_on(tmp_path_factory.mktemp("one"), ONE)


@pytest.fixture(scope="module")
def home_of_another(tmp_path_factory, home):
    """The same radiographs of another owner, as far as pictures of them are drawn."""
    folder = tmp_path_factory.mktemp("other")
    shutil.copytree(home / "data", folder / f"{OTHER.owner} {OTHER.date}" / "data")
    return worked_on(folder, OTHER, 6)


def written(home):
    """All files that are no DICOM and not the clinic's own."""
    files = [path for path in home.rglob("*") if path.is_file() and path.suffix != ".dcm"]
    return [path for path in files if path.suffix != ".txt" and ".cache" not in path.parts]


def contents(path):
    """The bytes of a file, and of what is packed into it."""
    yield path.read_bytes()
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as packed:
            yield from (packed.read(name) for name in packed.namelist())


def traces_in(content, who=ONE):
    small = content.lower()
    encodings = ("utf-8", "utf-16-le", "utf-16-be")
    wanted = itertools.product(who.traces, encodings)
    return [text for text, encoding in wanted if text.lower().encode(encoding) in small]


def test_every_kind_of_file_was_written(home):
    names = [path.name for path in written(home)]
    assert {"pairs.csv", "rejected.csv", "dataset.yaml", "check.json", "check.png"} <= {*names}
    assert {"figures.csv", "figures.json", "figures.png"} <= {*names}
    assert {"config.yaml", "hparams.yaml", "last.ckpt", "best.ckpt"} <= {*names}
    assert {"model.safetensors", "metadata.json", "MODEL.md"} <= {*names}
    assert any(name.startswith("events.out.tfevents.") for name in names)


def test_the_search_finds_what_is_there(home):
    (dicom, *_) = (home / ONE.institution).rglob("*.dcm")
    found = set(traces_in(dicom.read_bytes()))
    assert {ONE.owner, ONE.pet, ONE.number, ONE.date, ONE.institution} <= found
    assert traces_in("zorbaxus".encode("utf-16-le")) == [ONE.pet, ONE.pet[:6]]


def test_no_byte_that_a_command_wrote_tells_whose_images_these_are(home):
    found = {
        str(path.relative_to(home)): traces
        for path in written(home)
        for content in contents(path)
        if (traces := traces_in(content))
    }
    assert found == {}


def test_no_name_of_a_file_in_a_run_or_a_dataset_tells_either(home):
    names = [str(path.relative_to(home)) for path in home.rglob("*")]
    ours = [name for name in names if not name.startswith((ONE.institution, "enhanced", "letter"))]
    inside = [name.removeprefix(ONE.pet) for name in ours]
    assert not [name for name in inside if traces_in(name.encode())]


def test_a_prediction_has_the_name_of_its_raw_file_and_nothing_else_of_it(home):
    predicted = sorted(path.name for path in (home / "enhanced").rglob("*.png"))
    assert predicted == [f"{ONE.number}_{i}.png" for i in range(NUM_CASES)]
    assert len(list(home.glob("lightning_logs/*"))) == 1  # nor is a validation a run


def test_no_text_in_a_picture_is_packed_where_the_search_cannot_see_it(home):
    for path in home.rglob("*.png"):
        assert not {b"zTXt", b"eXIf"} & set(chunks_of(path.read_bytes())), path.name


def chunks_of(png):
    """The type of each chunk: the letters of one may stand in packed pixels, too."""
    at = 8
    while at < len(png):
        yield png[at + 4 : at + 8]
        at += 12 + int.from_bytes(png[at : at + 4], "big")


def pictures(home):
    """All pictures that a command drew, by file and tag, decoded."""
    sheets = ("check.png", "contact_sheet.png", "figures.png")
    drawn = {name: cv2.imread(str(home / name)) for name in sheets}
    for path in sorted(home.glob("lightning_logs/*")):
        events = EventAccumulator(str(path), size_guidance={"images": 0}).Reload()
        for tag in events.Tags()["images"]:
            for i, image in enumerate(events.Images(tag)):
                encoded = np.frombuffer(image.encoded_image_string, np.uint8)
                drawn[f"{path.name} {tag} {i}"] = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    return drawn


def test_no_picture_has_a_name_burned_in(home, home_of_another):
    ours, theirs = pictures(home), pictures(home_of_another)
    assert len(theirs) == 5  # three sheets, and the best and the worst of an epoch
    assert theirs.keys() <= ours.keys()
    assert [name for name in theirs if not np.array_equal(ours[name], theirs[name])] == []


def test_the_comparison_sees_a_name_in_a_picture(home, tmp_path):
    named = ["--log-names", f"--sheet={tmp_path / 'named.png'}", "--processes=1"]
    assert main(["check", str(home / ONE.pet), *named]) == 0
    assert not np.array_equal(cv2.imread(str(tmp_path / "named.png")), pictures(home)["check.png"])
