"""A cross-validation by one command, as its page types it, and what may come between."""

import csv
import json
import re
import shutil
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import pytest
from evaluated import write_pairs

from radenhance.checkpoint import Checkpoint
from radenhance.cli import main
from radenhance.dataset.manifest import listed_pairs, read_manifest, write_manifest
from radenhance.dataset.split import folds_of_patients
from radenhance.folds import command
from radenhance.folds.cross_validation import Fold
from radenhance.reproduce import running

PAGE = Path(__file__).parents[2] / "docs/how-to/folds.md"
ROOT = "my_radiographs"  # as the page has it
NUM_FOLDS = 2
TINY = [
    "--data.image_size=64",
    "--data.batch_size=2",
    "--data.num_workers=0",
    "--model.encoder=tu-mobilenetv3_small_050",
    "--model.num_scales=auto",
    "--trainer.accelerator=cpu",
    "--trainer.enable_model_summary=false",
    "--trainer.max_epochs=1",
    "--trainer.limit_train_batches=2",
]


def commands_of_page():
    blocks = re.findall(r"```bash\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return [line.split()[1:] for block in blocks for line in block.splitlines()]


FOLDS, BY_HAND, RESUMED, VALIDATED, EVALUATED, ENHANCED = commands_of_page()
FOLDS += [f"--folds={NUM_FOLDS}"]


class Launched:
    """Runs in this process what is launched, and notes it."""

    def __init__(self, monkeypatch):
        self.commands = []
        monkeypatch.setattr(running, "launch", self)

    def __call__(self, command, folder, **options):
        self.commands.append(command[3:])
        log = folder / "log0.txt"
        with log.open("a") as file, redirect_stdout(file):
            code = main(command[3:])
        return f"ended with {code}" if code else None


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder in which the page's first command has run, on 6 patients and one of a test split."""
    folder = tmp_path_factory.mktemp("whole")
    write_pairs(folder / ROOT, ["train", "val", "test", "train", "train", "val", "train"])
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        launched = Launched(patched)
        assert main([*FOLDS, *TINY]) == 0
    assert len(launched.commands) == NUM_FOLDS
    return folder


@pytest.fixture
def here(whole, tmp_path):
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
def unmeasured(monkeypatch):
    """Leave out what follows the fits."""
    monkeypatch.setattr(Fold, "evaluate", lambda self, kept: None)
    monkeypatch.setattr(command, "_report", lambda whole, evaluations, kept: None)


@pytest.fixture
def launched(monkeypatch):
    return Launched(monkeypatch)


def read_csv(path):
    return list(csv.DictReader(path.open(newline="")))


def runs():
    return sorted(path.name for path in Path("folds/lightning_logs").iterdir())


def refused(capsys, *arguments, code=2):
    assert main([*arguments]) == code
    errors = capsys.readouterr().err
    assert "Traceback" not in errors
    return errors[errors.index("radenhance: ") :]


def test_every_radiograph_outside_the_test_split_is_measured_once(whole):
    lines = read_csv(whole / "folds/radiographs.csv")
    cases = [line["case"] for line in lines if line["method"] == "network"]
    outside = [i for i, pair in enumerate(listed_pairs(whole / ROOT), 1) if pair.split != "test"]
    assert sorted(cases) == sorted(f"case {i}" for i in outside)


def test_each_run_knows_its_fold_and_measures_the_patients_that_it_did_not_train_on(whole):
    pairs = [pair for pair in read_manifest(whole / ROOT) if pair.split != "test"]
    folds = folds_of_patients(pairs, num_folds=NUM_FOLDS)
    table = json.loads((whole / "folds/folds.json").read_text())
    measured = read_csv(whole / "folds/radiographs.csv")
    cases = [line["case"] for line in measured if line["method"] == "network"]
    listed = listed_pairs(whole / ROOT)
    for number, (name, row) in enumerate(zip(table["runs"], table["rows"], strict=False), 1):
        run = whole / "folds/lightning_logs" / name
        assert json.loads((run / "run.json").read_text())["flags"]["data.fold"] == number
        fold = Checkpoint.open(run / "checkpoints/last.ckpt").fold
        assert (fold["num_folds"], fold["fold"], fold["fold_seed"]) == (NUM_FOLDS, number, 0)
        own = [listed[int(case.split()[1]) - 1] for case in cases[: row["radiographs"]]]
        assert {folds[pair.patient] for pair in own} == {number}
        cases = cases[row["radiographs"] :]
    assert cases == []


def test_the_table_has_folds_their_spread_all_patients_and_species(whole):
    rows = read_csv(whole / "folds/folds.csv")
    kinds = [row["kind"] for row in rows]
    assert kinds == ["fold"] * NUM_FOLDS + ["over folds"] * 2 + ["all"] + ["species"] * 2
    assert [row["patients"] for row in rows] == ["3", "3", "", "", "6", "3", "3"]
    table = (whole / "folds/folds.md").read_text().split("\n\n")[0]
    assert f"{float(rows[0]['ms_ssim']):.4f}" in table
    assert len(table.splitlines()) == 2 + len(rows)


def test_the_same_again_repeats_no_fold_and_comes_to_the_same(here, launched, capsys):
    Path("Quillfeather").mkdir()
    shutil.move(ROOT, "Quillfeather")
    moved = [f"Quillfeather/{word}" if word == ROOT else word for word in FOLDS]
    before = Path("folds/folds.csv").read_bytes()
    # after one epoch, the best is the last
    assert main([*moved, *TINY, "--ckpt=best", "--data.num_workers=1"]) == 0
    assert launched.commands == []
    assert Path("folds/folds.csv").read_bytes() == before
    printed = capsys.readouterr().out
    assert Path("folds/folds.md").read_text().split("\n\n")[0] in printed
    assert "The same radiographs chose which epoch is best.ckpt" in printed
    assert "radenhance enhance folds/lightning_logs/original_64_0/checkpoints/best.ckpt" in printed
    written = [path for path in Path("folds").rglob("*.*") if not path.name.startswith("log")]
    assert len(written) > 15
    for path in written:
        assert not re.search(f"Quillfeather|{ROOT}".encode(), path.read_bytes()), path


@pytest.mark.usefixtures("unmeasured")
def test_a_fold_goes_on_from_its_last_checkpoint_and_begins_anew_without_one(here, launched):
    Path("folds/fold_1/finished.json").unlink()
    shutil.rmtree("folds/lightning_logs/original_64_1/checkpoints")  # as killed before its first
    assert main([*FOLDS, *TINY]) == 0
    first, second = launched.commands
    assert first[-1] == "--ckpt_path=folds/lightning_logs/original_64_0/checkpoints/last.ckpt"
    assert second[-1] == "--data.fold=2"
    assert runs() == ["original_64_0", "original_64_1", "original_64_2"]


def test_a_fold_that_fails_is_named_and_the_others_go_on(here, launched, capsys):
    for number in (1, 2):
        Path(f"folds/fold_{number}/finished.json").unlink()
    last = Path("folds/lightning_logs/original_64_0/checkpoints/last.ckpt")
    last.write_bytes(last.read_bytes()[:1000])
    message = refused(capsys, *FOLDS, *TINY)
    assert "fold 1 of 2 failed: ended with 2 (see folds/fold_1/log0.txt); the same" in message
    assert len(launched.commands) == 2
    assert Path("folds/fold_2/finished.json").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model.l1_share=0.1"], "other flags: model.l1_share was the default, and is 0.1;"),
        (["--model.weights=begun.ckpt"], "flags: model.weights was the default, and is f2f735"),
        (["--folds=3"], "other flags: folds was 2, and is 3; choose another folder with --out"),
        (
            ["--ckpt_path=last"],
            "--ckpt_path is not for radenhance folds: folds go on by themselves",
        ),
        (["--data.num_folds=5", "--data.fold=2"], "--data.fold is not for radenhance folds: all"),
        (["--run_name=x"], "--run_name is not for radenhance folds: each fold has a run"),
        (["--trainer.default_root_dir=x"], "default_root_dir is not for radenhance folds: give"),
        (["--trainer.fast_dev_run=true"], "fast_dev_run is not for radenhance folds: it leaves"),
        (["--folds=1"], "--folds is 1, expected at least 2"),
        (["--folds=12", "--out=more"], "num_folds is 12, and the radiographs outside the test"),
        (["--fold=3"], "--fold"),
    ],
)
def test_what_does_not_go_together_is_a_sentence(here, launched, capsys, flags, message):
    Path("begun.ckpt").write_text("begun from")
    assert message in refused(capsys, *FOLDS, *TINY, *flags)
    assert launched.commands == []


def test_other_radiographs_are_refused(here, launched, capsys):
    pairs = listed_pairs(Path(ROOT))
    write_manifest(Path(ROOT), [replace(pairs[0], accept=0), *pairs[1:]])
    assert "folds holds folds of other radiographs" in refused(capsys, *FOLDS, *TINY)


def test_a_fold_is_trained_resumed_and_measured_by_hand_as_the_page_says(here, capsys):
    assert main([*BY_HAND, *TINY]) == 0
    assert main([*RESUMED, *TINY, "--trainer.max_epochs=2"]) == 0
    assert main([*VALIDATED]) == 0
    assert main([*EVALUATED]) == 0
    printed = capsys.readouterr().out
    pairs = [pair for pair in read_manifest(Path(ROOT)) if pair.split != "test"]
    folds = folds_of_patients(pairs, num_folds=5)
    size = sum(folds[pair.patient] == 2 for pair in pairs)
    assert f"val of {ROOT}: {size} radiograph" in printed


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--data.fold=1"],
            "is of fold 2 of 2 (--data.fold_seed 0, patients",
        ),
        (["--data.num_folds=null", "--data.fold=null"], "and this run of no fold"),
        (["--data.fold_seed=4"], "and this run of fold 2 of 2 (--data.fold_seed 4"),
        (["--data.fold=6"], "--data.fold is 6, expected the fold that validates, 1 to 2"),
    ],
)
def test_a_run_goes_on_with_its_own_fold_alone(here, capsys, flags, message):
    last = "--ckpt_path=folds/lightning_logs/original_64_1/checkpoints/last.ckpt"
    more = [last, f"--data.root={ROOT}", *TINY, "--trainer.max_epochs=2"]
    assert message in refused(capsys, "fit", *more, *flags)


def test_a_run_does_not_go_on_after_patients_have_moved(here, capsys, caplog):
    pairs = listed_pairs(Path(ROOT))
    others = [replace(pairs[0], case_id=f"x{i}", patient_id="of many") for i in range(3)]
    write_manifest(Path(ROOT), [*pairs, *others])
    last = "--ckpt_path=folds/lightning_logs/original_64_1/checkpoints/last.ckpt"
    message = refused(capsys, "fit", last, f"--data.root={ROOT}", *TINY, "--trainer.max_epochs=2")
    assert "and this run of fold 2 of 2" in message
    assert main(["validate", last, f"--data.root={ROOT}"]) == 0
    assert "it has trained on some of them" in caplog.text


def test_the_networks_of_all_folds_enhance_together_as_the_page_says(here):
    of_page = [word.replace("_512_", "_64_").replace("new_exams", ROOT) for word in ENHANCED]
    networks = sorted(map(str, Path().glob(of_page[1])))  # as a shell does
    assert len(networks) == NUM_FOLDS
    assert main([of_page[0], *networks, *of_page[2:], "--format=png"]) == 0
    assert len(list(Path("enhanced").rglob("*.png"))) == 14  # raw and target
