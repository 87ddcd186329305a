"""What a run is told that a GPU has no room for."""

import pytest
import torch

from radenhance.cli import main
from radenhance.enhancer import ContrastEnhancer
from radenhance.planning.advice import warning
from radenhance.planning.planned_run import PlannedRun
from radenhance.planning.step_plan import CONTEXT_BYTES

FLAGS = [
    "--model.encoder=tu-mobilenetv3_small_050",
    "--model.num_scales=auto",
    "--data.image_size=256",
]


@pytest.fixture(scope="module")
def run():
    return PlannedRun(FLAGS)


@pytest.fixture(scope="module")
def plan(run):
    return run.plan(run.image_size)


def test_a_run_that_fits_is_not_warned(run, plan):
    assert warning(run, plan, plan.needed_bytes - CONTEXT_BYTES) is None


def test_a_run_that_does_not_fit_is_told_the_quickest_that_does(run, plan):
    text = warning(run, plan, plan.needed_bytes - CONTEXT_BYTES - 1)
    assert "will probably not fit" in text
    assert "activations" in text
    flags = [word for word in text.split() if word.startswith("--model.memory")]
    flags += [word for word in text.split() if word.startswith("--trainer.precision")]
    better = PlannedRun([*FLAGS, *flags])
    assert better.plan(run.image_size).needed_bytes < plan.needed_bytes


def test_a_run_for_which_nothing_fits_is_told_to_take_smaller_images(run, plan):
    assert "no recipe makes it fit; take smaller images" in warning(run, plan, 0)


def test_running_out_of_memory_is_one_message_and_leaves_the_checkpoint(
    capsys, tiny_flags, monkeypatch
):
    step = ContrastEnhancer.training_step

    def runs_out(self, batch, batch_idx):
        if self.current_epoch == 1 and self._trainer is not None:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patched:
        patched.setattr(ContrastEnhancer, "training_step", runs_out)
        assert main(["fit", *tiny_flags, "--trainer.max_epochs=2"]) == 6
    message = capsys.readouterr().err
    assert "the GPU ran out of memory at 64 x 64 px" in message
    assert "Traceback" not in message
    assert main(["fit", *tiny_flags, "--trainer.max_epochs=2", "--ckpt_path=last"]) == 0
