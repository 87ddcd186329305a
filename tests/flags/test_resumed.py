"""A flag that differs from that of the checkpoint's run is said or refused, whatever flag it is."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_checkpoint import ENCODER, small_content

from radenhance.checkpoint import MADE_WITH
from radenhance.cli import main
from radenhance.errors import UsageError
from radenhance.flags.compared import FOLDERS
from radenhance.flags.parser import parse_flags
from radenhance.flags.resumed import (
    OF_NO_RUN,
    REFUSED,
    SEEN_TO_ELSEWHERE,
    WEIGHTS,
    kept_flags,
    say_differences,
)

LOG = "lightning.pytorch.utilities.rank_zero"
PLAIN = parse_flags("fit", ["--data.outside_field=keep"])
KEPT = kept_flags(PLAIN.settings)


def test_every_flag_is_compared_or_named_as_one_that_is_not():
    flags = list(vars(PLAIN.settings.as_flat()))
    for start in (*OF_NO_RUN, *SEEN_TO_ELSEWHERE):
        named = [flag for flag in flags if flag.startswith(start)]
        assert named, f"{start} is no flag"
        assert not KEPT.keys() & {*named}
    assert {*WEIGHTS, *REFUSED} <= KEPT.keys()
    assert len(KEPT) > 50


@pytest.mark.parametrize("name", sorted(KEPT.keys() - {*WEIGHTS}))
def test_a_flag_that_differs_is_said_once_or_refused_with_both_values(name, caplog):
    caplog.set_level("INFO", logger=LOG)
    resumed = replace(PLAIN, made_with=KEPT | {name: "other"})
    if name in REFUSED:
        with pytest.raises(UsageError, match=f"--{name} other, and this run has {KEPT[name]}; "):
            say_differences(resumed)
        return
    say_differences(resumed)
    said = f"Other than in the checkpoint, from here on --{name} is {KEPT[name]}, and was other."
    assert caplog.messages[0] == said
    assert len(caplog.messages) == (2 if name == "data.batch_size" else 1)


def test_the_same_flags_say_nothing_and_what_auto_was_found_to_be_is_the_same(caplog):
    caplog.set_level("INFO", logger=LOG)
    auto = parse_flags("fit", ["--data.outside_field=auto"])
    say_differences(replace(auto, made_with=KEPT | {"data.outside_field": "black"}))
    assert caplog.messages == []


def test_a_schedule_steps_by_the_interval_that_it_began_with():
    flags = ["--model.lr_scheduler=StepLR", "--model.lr_scheduler.step_size=1"]
    stepped = parse_flags("fit", [*flags, "--model.lr_interval=step"])
    with pytest.raises(UsageError, match="lr_interval epoch, and this run has step"):
        say_differences(replace(stepped, made_with=KEPT))


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_to_start_from_are_those_that_the_run_began_with(name, caplog):
    caplog.set_level("INFO", logger=LOG)
    Path("a.ckpt").write_bytes(b"a")
    Path("b.ckpt").write_bytes(b"b")
    keep = "--data.outside_field=keep"
    first, other = (parse_flags("fit", [keep, f"--{name}={file}.ckpt"]) for file in "ab")
    made_with = kept_flags(first.settings)
    say_differences(replace(first, made_with=made_with))
    say_differences(replace(PLAIN, made_with=made_with))
    assert caplog.messages == []
    with pytest.raises(UsageError, match=r"b\.ckpt is not what the run of the checkpoint began"):
        say_differences(replace(other, made_with=made_with))
    say_differences(replace(first, made_with={}))
    assert caplog.messages == [f"--{name} is not read again: the run goes on from its own weights."]


def test_no_folder_and_no_name_is_kept():
    Path("of Zorbax").mkdir()
    Path("of Zorbax/a.ckpt").write_bytes(b"")
    named = [f"--{flag}=of Zorbax/a.ckpt" for flag in FOLDERS if flag != "ckpt_path"]
    flags = parse_flags("fit", [*named, "--best_checkpoint.filename=Zorbax"])
    assert "Zorbax" not in str(kept_flags(flags.settings))


def test_what_a_checkpoint_says_of_its_flags_is_shown_as_text_alone(caplog):
    caplog.set_level("INFO", logger=LOG)
    say_differences(replace(PLAIN, made_with={"data.augment": "\x1b[2J" + "x" * 999, "a": "b"}))
    assert "\x1b" not in caplog.text
    assert len(caplog.messages[0]) < 300


def test_a_run_that_goes_on_with_other_flags_says_them_and_trains_by_them(
    tiny_flags, caplog, capsys
):
    stopping = ["--trainer.callbacks=EarlyStopping", "--trainer.callbacks.monitor=val/loss"]
    flags = [*tiny_flags, *stopping, "--model.optimizer=Adam"]
    rate = ["--model.optimizer.lr=0.01", "--model.optimizer.weight_decay=0.1"]
    assert main(["fit", *flags, *rate, "--trainer.max_epochs=1", "--run_name=run"]) == 0
    last = Path("lightning_logs/run/checkpoints/last.ckpt")
    assert torch.load(last)[MADE_WITH]["data.batch_size"] == "2"
    others = ["--data.batch_size=3", "--model.l1_share=0.5", "--trainer.max_epochs=2"]
    typed = ["--model.optimizer.lr=0.001", "--trainer.callbacks.patience=9"]
    caplog.set_level("INFO", logger=LOG)
    with pytest.warns(UserWarning, match="lr is 0.001 from here on, and was 0.01") as warned:
        assert main(["fit", *flags, *typed, *others, "--ckpt_path=last"]) == 0
    assert "weight_decay stays 0.1 as in the checkpoint" in str([one.message for one in warned])
    said = (
        "Other than in the checkpoint, from here on --model.l1_share is 0.5, and was 0.0; "
        "--data.batch_size is 3, and was 2; --trainer.max_epochs is 2, and was 1."
    )
    assert caplog.messages.count(said) == 1
    assert "EarlyStopping.patience is 9 from here on, and was 3 in the checkpoint" in caplog.text
    content = torch.load(last, weights_only=True)
    assert content["global_step"] == 5  # three of two images, two of three
    (group,) = content["optimizer_states"][0]["param_groups"]
    assert (group["initial_lr"], group["weight_decay"]) == (0.001, 0.1)
    assert content[MADE_WITH]["model.l1_share"] == "0.5"
    assert main(["fit", *flags, "--model.output=correction", "--ckpt_path=last"]) == 2
    assert "--model.output image, and this run has correction" in capsys.readouterr().err


def test_a_configuration_is_printed_with_the_settings_of_the_checkpoint(capsys):
    torch.save(small_content(), "old.ckpt")
    with pytest.raises(SystemExit):
        parse_flags("fit", ["--ckpt_path=old.ckpt", "--print_config"])
    assert f"encoder: {ENCODER}" in capsys.readouterr().out
