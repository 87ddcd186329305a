"""Runs side by side on a page."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest
from evaluated import write_network, write_pairs

from radenhance.cli import main
from radenhance.command_line import compare
from radenhance.datamodule import FINGERPRINT, RadiographDataModule

OPENED = SimpleNamespace(input={"intensity_range": "auto"})


def write_run(name, number, *, losses=(9.0, 7.5), network=False, **changes):
    """Write the folder of a run, as a fit leaves it."""
    folder = Path("lightning_logs", name)
    (folder / "checkpoints").mkdir(parents=True)
    best = {"epoch": len(losses) - 1, "loss": losses[-1], "ms_ssim": 0.925, "psnr": 22.25}
    report = {
        "number": number,
        "recipe": "original",
        "data": "f" * 64,
        "flags": {"recipe": "original", "data.image_size": 64, "data.batch_size": 1},
        "versions": {"radenhance": "0.1.0"},
        "best": best,
        "last": best,
        "raw": {"loss": 9.25, "ms_ssim": 0.9},
        "steps": 12,
        "seconds": 61.4,
        "peak_mib": {"process_rss": 812.3},
    }
    (folder / "run.json").write_text(json.dumps(report | changes))
    rows = [f"{3 * epoch},{epoch},{loss}" for epoch, loss in enumerate(losses)]
    lines = ["step,epoch,val/loss", "1,,", *rows, "7,1"]  # a step without, and a line that was cut
    (folder / "metrics.csv").write_text("\n".join(lines))
    if network:
        write_network(folder / "checkpoints/best.ckpt")
    return folder


class Cells(HTMLParser):
    """The cells of a page, row by row, and what it would load."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.loaded, self.tags = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        self.loaded += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data):
        if self.tags[-1] in ("td", "th"):
            self.rows[-1][-1] += data.strip()


def compared(*arguments):
    assert main(["compare", "--cases=0", *arguments]) == 0
    return Path("compare.html").read_text()


def test_a_run_is_a_row_with_what_it_came_to_beside_the_raw_image():
    write_run("original_64_0", 0)
    heading, row = Cells(compared()).rows[:2]
    found = dict(zip(heading, row, strict=True))
    assert found["run"] == "original_64_0"
    assert (found["best epoch"], found["loss"], found["MS-SSIM"]) == ("2", "7.500", "0.9250")
    assert found["loss of the raw image"] == "9.250"
    assert (found["seconds"], found["peak, MiB (process_rss)"]) == ("61", "812")


def test_peaks_of_one_source_stand_below_each_other():
    write_run("original_64_0", 0, peak_mib={"planned": 46.3})
    write_run("amp_64_1", 1, peak_mib={"reserved": 30.0, "planned": 25.9})
    heading, *rows = Cells(compared()).rows[:3]
    assert heading[-2:] == ["peak, MiB (planned)", "peak, MiB (reserved)"]
    assert [row[-2:] for row in rows] == [["46", ""], ["26", "30"]]


def test_curves_have_each_epoch_and_the_raw_image_as_a_line():
    write_run("original_64_0", 0, losses=(9.0, 8.0, 7.0))
    write_run("amp_64_1", 1, losses=(9.5, 6.0))
    page = compared()
    points = re.findall(r'points="([^"]*)"', page)
    assert [len(line.split()) for line in points] == [3, 2]
    heights = [float(point.split(",")[1]) for point in points[0].split()]
    assert heights == sorted(heights), "the loss falls, and y grows downwards"
    assert "raw image (dashed)" in page


@pytest.mark.parametrize(("loss", "is_drawn"), [(9.2502, True), (9.26, False)])
def test_raw_images_are_one_line_where_their_losses_are_shown_as_equal(loss, is_drawn):
    write_run("original_64_0", 0)
    write_run("amp_64_1", 1, raw={"loss": loss})
    assert ("raw image (dashed)" in compared()) == is_drawn


def test_runs_of_which_no_epoch_has_ended_are_said_to_be_such():
    write_run("original_64_0", 0)
    write_run("amp_64_1", 1, losses=(9.0,), last={})
    assert "<p>No epoch has ended, so there is nothing to compare yet: amp_64_1.</p>" in compared()


def test_two_dozen_runs_have_lines_that_differ():
    for number in range(24):
        write_run(f"original_64_{number}", number)
    lines = re.findall(r'<polyline points="[^"]*"([^>]*)>', compared())
    assert len(lines) == len({*lines}) == 24


def test_images_of_many_runs_stand_in_rows_each_beside_raw_and_target(monkeypatch):
    root = write_pairs(Path("d"), ["train", "val"])
    sheets = []
    monkeypatch.setattr(compare, "contact_sheet_png", lambda rows: sheets.append(rows) or b"")
    monkeypatch.setattr(compare, "open_enhancer", lambda path: OPENED)
    monkeypatch.setattr(compare, "enhanced_by", lambda network, opened: opened.raw)
    for number in range(6):
        folder = write_run(f"original_64_{number}", number)
        (folder / "checkpoints/best.ckpt").touch()
    assert main(["compare", f"--root={root}"]) == 0
    ((first, second),) = sheets
    runs = [f"original_64_{number}" for number in range(6)]
    assert first.captions == ["raw", "target", *runs[:4]]
    assert second.captions == ["raw", "target", *runs[4:]]
    assert first.title == second.title


def test_only_flags_that_differ_are_listed():
    write_run("original_64_0", 0)
    write_run("amp_64_1", 1, flags={"recipe": "amp", "data.image_size": 64, "data.batch_size": 1})
    rows = Cells(compared()).rows
    assert ["run", "recipe"] in rows
    assert ["amp_64_1", "amp"] in rows


@pytest.mark.parametrize(
    ("changes", "doubt"),
    [
        ({"data": "e" * 64}, "different datasets"),
        ({"flags": {"data.image_size": 128}}, r"different sizes \(128, 64\)"),
    ],
)
def test_losses_that_cannot_be_compared_are_said_to_be_such(changes, doubt):
    write_run("original_64_0", 0)
    write_run("original_64_1", 1, **changes)
    assert re.search(doubt, compared())


def test_all_runs_have_the_same_radiographs_and_the_page_loads_nothing(capsys):
    root = write_pairs(Path("d"), ["train", "val", "val"])
    data = RadiographDataModule(root, num_workers=0, cache=False)
    data.setup("fit")
    hashed = data.state_dict()[FINGERPRINT]
    write_run("original_64_0", 0, network=True, data=hashed)
    write_run("amp_64_1", 1, network=True, data=hashed)
    write_run("mom_64_2", 2, data=hashed)
    assert main(["compare", f"--root={root}", "--cases=2"]) == 0
    cells = Cells(Path("compare.html").read_text())
    (source,) = cells.loaded
    assert source.startswith("data:image/png;base64,")
    assert not {"script", "link", "iframe"} & {*cells.tags}
    printed = capsys.readouterr().out
    assert "mom_64_2 has no best.ckpt, hence no images" in printed
    assert "not of the dataset" not in printed


def test_a_run_whose_checkpoint_is_damaged_has_no_images_and_the_others_have(capsys):
    root = write_pairs(Path("d"), ["train", "val"])
    write_run("original_64_0", 0, network=True)
    Path(write_run("amp_64_1", 1), "checkpoints/best.ckpt").write_bytes(b"")
    assert main(["compare", f"--root={root}"]) == 0
    assert "amp_64_1 has no images, as its best.ckpt cannot be used" in capsys.readouterr().out
    assert len(Cells(Path("compare.html").read_text()).loaded) == 1


def test_images_without_a_dataset_are_said_to_lack_it_and_nothing_else(capsys):
    write_run("original_64_0", 0, network=True)
    assert main(["compare", "--root=nowhere"]) == 0
    assert "there is no dataset to show images of; name one with --root" in capsys.readouterr().out


def test_a_damaged_run_is_a_sentence_and_the_others_are_shown(capsys):
    write_run("original_64_0", 0)
    Path(write_run("amp_64_1", 1), "run.json").write_text("{")
    Path("lightning_logs/version_0").mkdir()
    runs = sorted(str(path) for path in Path("lightning_logs").iterdir())
    page = compared(*runs)
    assert "amp_64_1 is left out: its run.json is damaged" in page
    assert "version_0 has no run.json" in capsys.readouterr().out
    assert "original_64_0" in page


@pytest.mark.parametrize("part", ["best", "raw", "flags", "peak_mib", "versions", "seconds"])
@pytest.mark.parametrize("value", [None, [], "x", {"loss": "high"}])
def test_a_report_of_another_form_ends_in_no_traceback(part, value):
    write_run("original_64_0", 0, **{part: value})
    assert "original_64_0" in compared()


def test_no_run_is_said_in_a_sentence(capsys):
    assert main(["compare"]) == 2
    assert "lightning_logs holds no run; start one with `radenhance fit`" in capsys.readouterr().err


def test_names_of_runs_are_text_and_no_markup():
    write_run("a<script>b", 0)
    assert "script" not in Cells(compared()).tags
