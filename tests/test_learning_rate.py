import math

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from torch.optim.lr_scheduler import LambdaLR

from radenhance.learning_rate import HalfCosine, count_steps


def sgd():
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.2)


def rates(schedule, number):
    """Yield the rate of each of the next steps."""
    for _ in range(number):
        yield schedule.get_last_lr()[0]
        schedule.optimizer.step()
        schedule.step()


def half_cosine(num_steps, warmup_steps=0):
    schedule = HalfCosine(sgd(), warmup_steps)
    schedule.fix_length(num_steps)
    return schedule


def test_half_cosine_falls_from_the_full_rate_to_zero_and_stays_there():
    expected = [0.2, 0.1707107, 0.1, 0.0292893, 0, 0]
    assert list(rates(half_cosine(4), 6)) == pytest.approx(expected, abs=1e-6)


def test_a_run_without_end_keeps_the_full_rate():
    assert set(rates(half_cosine(math.inf), 6)) == {0.2}


def test_the_rate_rises_over_the_warm_up_to_where_it_would_be_without():
    plain, risen = (list(rates(half_cosine(10, steps), 8)) for steps in (0, 3))
    shares = [ours / theirs for ours, theirs in zip(risen, plain, strict=True)]
    assert shares == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 1, 1])


def test_the_length_is_kept_in_the_state():
    whole = list(rates(half_cosine(10), 10))
    first, second = half_cosine(10), HalfCosine(sgd())
    before = list(rates(first, 6))
    second.load_state_dict(first.state_dict())
    second.fix_length(20)
    second.optimizer.param_groups[0]["lr"] = second.get_last_lr()[0]
    assert before + list(rates(second, 4)) == whole


def extended(extend):
    """Return a schedule that ended at step 10 and goes on to 15."""
    first, second = half_cosine(10), HalfCosine(sgd())
    list(rates(first, 10))
    second.load_state_dict(first.state_dict())
    return second, second.fix_length(15, extend)


@pytest.mark.parametrize("extend", ["constant", "rewarm", "cosine"])
def test_a_run_that_is_extended_says_what_its_rate_does_and_does_so(extend):
    schedule, said = extended(extend)
    assert said.startswith(
        "the run was to end at step 10 and now ends at step 15; by ContrastEnhancer.extend "
        f"{extend} its learning rate "
    )
    assert schedule.optimizer.param_groups[0]["lr"] == schedule.get_last_lr()[0]
    expected = {
        "constant": [0.002] * 5,
        "rewarm": [0.1, *(0.1 + 0.1 * math.cos(math.pi * done / 5) for done in range(1, 5))],
        "cosine": list(rates(half_cosine(15), 15))[10:],
    }
    assert list(rates(schedule, 5)) == pytest.approx(expected[extend])


@pytest.mark.parametrize("extend", ["constant", "rewarm", "cosine"])
def test_an_extended_run_goes_on_as_it_was_extended(extend):
    whole = list(rates(extended(extend)[0], 5))
    first, _ = extended(extend)
    before = list(rates(first, 3))
    second = HalfCosine(sgd())
    second.load_state_dict(first.state_dict())
    assert second.fix_length(15) is None
    second.optimizer.param_groups[0]["lr"] = second.get_last_lr()[0]
    assert before + list(rates(second, 2)) == whole


def test_a_run_that_began_without_an_end_keeps_the_full_rate_to_its_end():
    schedule = half_cosine(math.inf)
    assert "at step 6 now, and its learning rate stays full" in schedule.fix_length(6)
    assert set(rates(schedule, 6)) == {0.2}


def test_a_run_that_ends_earlier_says_so_and_keeps_its_rate():
    schedule = half_cosine(10)
    said = schedule.fix_length(6)
    assert said.startswith("the run ends at step 6 now, and its learning rate goes on falling to 0")
    assert list(rates(schedule, 6)) == list(rates(half_cosine(10), 6))


@pytest.mark.parametrize("length", [None, 0, -3, math.nan, "10"])
def test_a_state_without_a_length_takes_the_runs(length):
    earlier = LambdaLR(sgd(), lambda step: 1 - step / 10)
    list(rates(earlier, 5))
    schedule = HalfCosine(sgd())
    schedule.load_state_dict(earlier.state_dict() | {"num_steps": length})
    schedule.fix_length(10)
    list(rates(schedule, 1))
    assert schedule.get_last_lr() == pytest.approx([0.1 * (1 + math.cos(math.pi * 0.6))])


class Small(LightningModule):
    """A module that counts its run when training begins."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def on_train_start(self):
        self.counted = count_steps(self.trainer)

    def training_step(self, batch, batch_idx):
        return (self.weight * batch).sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.parametrize(
    ("changing", "options"),
    [
        (None, {"max_epochs": 3}),
        (None, {"max_epochs": 3, "accumulate_grad_batches": 3}),
        (None, {"max_epochs": 3, "accumulate_grad_batches": 4, "limit_train_batches": 5}),
        (None, {"max_steps": 9}),
        (None, {"max_epochs": 3, "max_steps": 9}),
        (None, {"fast_dev_run": True}),
        ({0: 4, 1: 3, 4: 1}, {"max_epochs": 5}),
        ({2: 5}, {"max_epochs": 4, "max_steps": 100}),
        ({1: 2}, {"max_epochs": 1}),
    ],
)
def test_the_steps_that_are_counted_are_those_that_are_made(tmp_path, changing, options):
    module, data = Small(), torch.utils.data.DataLoader(torch.ones(7))
    callbacks = [GradientAccumulationScheduler(changing)] if changing else []
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False)
    trainer = Trainer(
        accelerator="cpu",
        default_root_dir=tmp_path,
        enable_checkpointing=False,
        callbacks=callbacks,
        **quiet,
        **options,
    )
    trainer.fit(module, data)
    assert module.counted == trainer.global_step > 0


def test_a_run_that_ends_by_the_clock_has_no_count(tmp_path):
    trainer = Trainer(accelerator="cpu", max_time={"hours": 1}, logger=False)
    trainer.fit_loop.max_epochs = -1  # as Lightning has it where nothing but the time is given
    assert count_steps(trainer) == math.inf
