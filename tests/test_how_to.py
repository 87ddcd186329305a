"""The commands of how-to pages about training run, and do what the page says."""

import re
import shlex
from pathlib import Path

import pytest
import torch
from small_checkpoint import small_content

from radenhance.cli import main
from radenhance.flags.recipes import recipes

PAGES = Path(__file__).parents[1] / "docs/how-to"
LAST = Path("lightning_logs/run/checkpoints/last.ckpt")
LOG = "lightning.pytorch.utilities.rank_zero"
pytestmark = pytest.mark.filterwarnings("ignore")


def fits_of(page):
    """The flags of the commands of a page that fit, recipes as paths."""
    text = (PAGES / page).read_text().replace("\\\n", " ")
    lines = re.findall(r"^radenhance fit (.*)$", text, re.MULTILINE)
    return [[str(recipes().get(word, word)) for word in shlex.split(line)] for line in lines]


def fit(of_page, tiny_flags, *more):
    small = ["--data.image_size=32", "--run_name=run", "--trainer.num_sanity_val_steps=0"]
    resumes = any("ckpt_path" in flag for flag in of_page)
    assert main(["fit", *of_page, *tiny_flags, *small[: 1 if resumes else 3], *more]) == 0
    return torch.load(LAST, weights_only=True)


def test_early_stopping_ends_a_run_and_more_patience_lets_it_go_on(tiny_flags, caplog):
    stopping, plateau, more = fits_of("early_stopping.md")
    caplog.set_level("INFO", logger=LOG)
    never = "--trainer.callbacks.min_delta=1000"
    short = ["--trainer.callbacks.patience=1", never, "--trainer.max_epochs=4"]
    assert fit(stopping, tiny_flags, *short)["global_step"] == 2 * 3
    content = fit(more, tiny_flags, never, "--trainer.max_epochs=3")
    assert content["global_step"] == 3 * 3
    assert "EarlyStopping.patience is 20 from here on, and was 1 in the checkpoint" in caplog.text
    LAST.parents[1].rename("kept")
    steps = fit(plateau, tiny_flags, *short, "--model.lr_scheduler.patience=0")["global_step"]
    assert steps == 2 * 3


def test_a_network_starts_from_earlier_weights_and_says_of_which(tiny_flags, caplog):
    torch.save(small_content(), "earlier.ckpt")
    caplog.set_level("INFO", logger=LOG)
    one = ["--trainer.max_steps=1", "--trainer.limit_val_batches=1"]
    said = [
        "302 are taken.",
        "302 are taken.",
        "240 are taken; new in this network: decoder, segmentation_head; left out: decoder,",
        "300 are taken; new in this network: segmentation_head; left out: segmentation_head.",
    ]
    commands = fits_of("fine_tuning.md")
    for number, (command, expected) in enumerate(zip(commands, said, strict=True)):
        caplog.clear()
        fit(command, tiny_flags, *one)
        assert f"tensors of --model.weights earlier.ckpt, {expected}" in caplog.text
        if number == 0:
            content = fit([*command, "--ckpt_path=last"], tiny_flags, "--trainer.max_steps=2")
            assert content["global_step"] == 2
        LAST.parents[1].rename(f"kept{number}")
