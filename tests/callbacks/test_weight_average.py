"""Averages of the weights are those that one would make by hand, wherever the weights lie."""

import os
import re
import signal
from pathlib import Path

import pytest
import torch
from noise_fit import ALONE, BOTH, LAST, TRAINING, assert_same_run, content, noise_fit
from processes import command, run, run_nodes

from radenhance.callbacks.weight_average import AVERAGING, NUM_AVERAGED
from radenhance.checkpoint import CURRENT, STATE, Checkpoint
from radenhance.cli import main
from radenhance.enhancer import ContrastEnhancer
from radenhance.flags.recipes import recipes

PAGE = Path(__file__).parents[2] / "docs/how-to/train.md"
EMA = ["--weight_average.kind=ema", "--weight_average.decay=0.5"]
SWA = ["--weight_average.kind=swa", "--weight_average.start_step=1"]
EMA_OF_LIGHTNING = "--trainer.callbacks+=lightning.pytorch.callbacks.EMAWeightAveraging"


def fit(*flags):
    assert main(["fit", *flags]) == 0
    return Checkpoint.open(newest()).content


def commands_of_page():
    """The flags of the page's own commands, recipes as paths."""
    lines = re.findall(r"radenhance fit (.*weight_average.*)", PAGE.read_text())
    return [[str(recipes().get(word, word)) for word in line.split()] for line in lines]


def newest():
    folders = Path("lightning_logs").glob("fit_64_*")
    return max(folders, key=lambda path: int(path.name[7:])) / "checkpoints/last.ckpt"


def is_equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


@pytest.fixture
def after_each_step(monkeypatch):
    """The weights and statistics after each optimizer step of what runs."""
    seen = []
    end = ContrastEnhancer.on_train_batch_end

    def noted(self, outputs, batch, batch_idx):
        if self.global_step > len(seen):
            seen.append({name: t.clone() for name, t in self.state_dict().items()})
        end(self, outputs, batch, batch_idx)

    monkeypatch.setattr(ContrastEnhancer, "on_train_batch_end", noted)
    return seen


def by_hand(states, share):
    average = dict(states[0])
    for count, state in enumerate(states[1:], 1):
        for name, tensor in state.items():
            if tensor.is_floating_point():
                average[name] = torch.lerp(average[name], tensor, share(count))
            else:
                average[name] = tensor
    return average


@pytest.mark.parametrize(
    ("flags", "share", "first"),
    [(EMA, lambda count: 0.5, 0), (SWA, lambda count: 1 / (count + 1), 1)],
    ids=["ema", "swa"],
)
def test_averages_are_those_made_by_hand_to_the_last_bit(
    flags, share, first, tiny_flags, after_each_step, monkeypatch
):
    validated = []
    step = ContrastEnhancer.validation_step

    def noted(self, batch, batch_idx):
        validated.append({name: t.clone() for name, t in self.state_dict().items()})
        return step(self, batch, batch_idx)

    monkeypatch.setattr(ContrastEnhancer, "validation_step", noted)
    content = fit(*tiny_flags, *flags, "--trainer.max_epochs=2", "--trainer.precision=64-true")
    expected = by_hand(after_each_step[first:], share)
    assert next(iter(expected.values())).dtype == torch.float64
    assert is_equal(content[STATE], expected)
    assert is_equal(content[CURRENT], after_each_step[-1])
    assert is_equal(validated[-1], expected)


def test_a_run_without_averages_trains_the_same_weights(tiny_flags):
    averaged = fit(*tiny_flags, *EMA, "--trainer.max_epochs=1")
    plain = fit(*tiny_flags, "--trainer.max_epochs=1")
    assert CURRENT not in plain
    assert is_equal(averaged[CURRENT], plain[STATE])


def test_a_cut_run_goes_on_with_the_same_averages(tiny_flags, monkeypatch):
    num_steps = 2  # in the middle of an epoch
    flags = [*tiny_flags, *SWA, "--trainer.max_epochs=2"]
    whole = fit(*flags)
    step = ContrastEnhancer.training_step

    def stopped(self, batch, batch_idx):
        if self.global_step == num_steps - 1:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patched:
        patched.setattr(ContrastEnhancer, "training_step", stopped)
        assert main(["fit", *flags]) == 130
    cut = Checkpoint.open(newest()).content
    assert cut["global_step"] == num_steps
    resumed = fit(*flags, "--ckpt_path=last")
    for key in (STATE, CURRENT):
        assert is_equal(resumed[key], whole[key])
    assert resumed[AVERAGING] == whole[AVERAGING] == {NUM_AVERAGED: 5}


def test_a_run_that_goes_on_without_averages_takes_the_weights_of_the_last_step(tiny_flags):
    of_page, one_epoch = commands_of_page()[0], "--trainer.max_epochs=1"
    assert CURRENT in fit(*of_page, *tiny_flags, one_epoch, "--run_name=fit_64_0")
    plain = fit(*tiny_flags, "--trainer.max_epochs=2", "--ckpt_path=last")
    assert CURRENT not in plain
    Path("never").mkdir()
    os.chdir("never")
    fit(*tiny_flags, one_epoch)
    never = fit(*tiny_flags, "--trainer.max_epochs=2", "--ckpt_path=last")
    assert is_equal(plain[STATE], never[STATE])


@pytest.fixture(scope="module")
def flags(tmp_path_factory):
    return [*noise_fit(tmp_path_factory.mktemp("data") / "noise"), *TRAINING, *EMA]


def test_encoder_and_decoder_on_two_devices_average_as_one_device(tmp_path, flags):
    run(command, *flags, *ALONE, folder=tmp_path / "one")
    pair = [*BOTH, "--trainer.strategy=encoder_decoder"]
    run_nodes(command, *flags, *pair, "--trainer.max_epochs=1", folder=tmp_path / "two")
    run_nodes(command, *flags, *pair, "--ckpt_path=last", folder=tmp_path / "two")
    assert_same_run(tmp_path / "two", tmp_path / "one")
    one, two = (content(tmp_path / name) for name in ("one", "two"))
    assert is_equal(one[CURRENT], two[CURRENT])
    assert not is_equal(one[CURRENT], one[STATE])
    best = Checkpoint.open((tmp_path / "two" / LAST).with_name("best.ckpt")).content
    assert best[STATE].keys() == best[CURRENT].keys() == one[STATE].keys()


def test_shards_average_as_whole_replicas(tmp_path, flags):
    exact = [*flags, *BOTH, "--data.batch_size=1", "--trainer.max_epochs=1"]
    exact.append("--trainer.precision=64-true")
    for name in ("ddp", "fully_sharded"):
        run_nodes(command, *exact, f"--trainer.strategy={name}", folder=tmp_path / name)
    whole, shards = (content(tmp_path / name) for name in ("ddp", "fully_sharded"))
    for key in (STATE, CURRENT):
        assert shards[key].keys() == whole[key].keys()
        for name, tensor in whole[key].items():
            assert torch.allclose(shards[key][name], tensor, rtol=1e-9, atol=1e-12), name
    assert not is_equal(whole[STATE], whole[CURRENT])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--weight_average.decay=1"], "--weight_average.decay is 1.0, expected a number in"),
        (["--weight_average.start_step=-1"], "--weight_average.start_step is -1, expected 0 or"),
        (["--weight_average.every_n_steps=0"], "--weight_average.every_n_steps is 0, expected 1"),
        (["--trainer.precision=bf16-true"], "loses what a step adds"),
        ([EMA_OF_LIGHTNING], "leave out one of the two"),
    ],
)
def test_what_would_average_wrongly_is_refused(flags, message, tiny_flags, capsys):
    assert main(["fit", *tiny_flags, *EMA, *flags]) == 2
    assert message in capsys.readouterr().err
