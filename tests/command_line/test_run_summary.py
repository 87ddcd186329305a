"""What a fit says while it runs, and last."""

import json
import logging
from pathlib import Path

import pytest

from radenhance.cli import main
from radenhance.command_line.run import quieted
from radenhance.command_line.run_summary import summary
from radenhance.command_line.trainer import has_bars
from radenhance.flags.parser import parse_flags

REPORT = {
    "best": {"epoch": 3, "loss": 1.23456, "ms_ssim": 0.98765},
    "raw": {"loss": 8.0, "ms_ssim": 0.92},
    "seconds": 61.4,
    "peak_mib": {"process_rss": 900.4},
}


def test_it_has_the_best_against_raw_where_it_is_and_the_next_command():
    best = Path("lightning_logs/a/checkpoints/best.ckpt")
    best.parent.mkdir(parents=True)
    best.touch()
    assert summary(REPORT, Path("lightning_logs/a"), Path("my data")).splitlines() == [
        "Best validation, epoch 4: loss 1.235 (raw image 8.000), MS-SSIM 0.9877 (raw image 0.9200)",
        "Run: lightning_logs/a (61 s, 900 MiB process_rss)",
        "Next: radenhance showcase --ckpt_path lightning_logs/a/checkpoints/best.ckpt "
        "--root 'my data'",
    ]


def test_a_run_without_a_validation_has_a_place_all_the_same():
    report = {"seconds": 2.0, "peak_mib": {}}
    assert summary(report, Path("lightning_logs/a"), None) == "Run: lightning_logs/a (2 s)"


@pytest.mark.parametrize(
    ("flags", "is_terminal", "expected"),
    [
        ([], True, True),
        ([], False, False),
        (["--trainer.enable_progress_bar=true"], False, True),
        (["--trainer.enable_progress_bar=false"], True, False),
        (["--quiet"], True, False),
        (["--log-json"], True, False),
    ],
)
def test_bars_are_for_terminals(monkeypatch, flags, is_terminal, expected):
    monkeypatch.setattr("sys.stdout.isatty", lambda: is_terminal, raising=False)
    assert has_bars(parse_flags("fit", flags)) == expected


def test_a_fit_says_a_line_per_epoch_and_a_summary_or_json_or_nothing(tiny_flags, capsys):
    short = [*tiny_flags, "--trainer.max_epochs=2"]
    assert main(["fit", *short]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[:2]] == ["epoch 1 of 2", "epoch 2 of 2"]
    assert all("(raw image" in line for line in lines[:2])
    assert [line.split(" ")[0] for line in lines[2:]] == ["Best", "Run:", "Next:"]
    assert main(["fit", *short, "--log-json"]) == 0
    first, second, report = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["epoch"], second["epoch"]) == (1, 2)
    assert first["identity/loss"] == second["identity/loss"] == report["raw"]["loss"]
    assert report == json.loads(Path("lightning_logs/fit_64_1/run.json").read_text())
    assert main(["fit", *short, "--quiet"]) == 0
    assert capsys.readouterr().out == ""


def test_quiet_ends_with_the_command():
    library = logging.getLogger("lightning.pytorch")
    before = library.level
    with quieted(True):
        assert not library.isEnabledFor(logging.INFO)
    assert library.level == before
