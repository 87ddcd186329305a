"""What a run is told that a GPU has no room for."""

import pytest
import torch
from narrow import NARROW

from radenhance.cli import main
from radenhance.enhancer import ContrastEnhancer
from radenhance.planning.advice import out_of_memory, plan_and_warning, warning
from radenhance.planning.planned_run import PlannedRun
from radenhance.planning.search import techniques_of_recipes
from radenhance.planning.step_plan import CONTEXT_BYTES

RECIPES = techniques_of_recipes()

FLAGS = [
    f"--model.encoder={NARROW}",
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


@pytest.fixture(autouse=True)
def _few_recipes(monkeypatch):
    """Try three recipes instead of all, which takes half a minute."""
    few = {name: RECIPES[name] for name in ("original.yaml", "chkp.yaml", "amp_chkp.yaml")}
    monkeypatch.setattr("radenhance.planning.search.techniques_of_recipes", lambda: few)


UNPLANNABLE = "--model.optimizer=torch.optim.LBFGS"
TWO_NODES = ["--trainer.num_nodes=2", "--trainer.devices=1"]


@pytest.mark.parametrize("nodes", [[], TWO_NODES])
def test_a_run_that_cannot_be_planned_is_told_in_a_line_and_goes_on(nodes):
    run = PlannedRun([*FLAGS, *nodes, UNPLANNABLE])
    text, unwelcome = plan_and_warning(run, 0, 0)
    assert text.startswith("256 x 256 px could not be planned: LBFGS repeats")
    assert "\n" not in text
    assert unwelcome == text


def test_a_dataset_that_cannot_be_read_is_no_reason_to_stop_either(tmp_path):
    (tmp_path / "pairs.csv").write_text("not a manifest\n")
    native = [*FLAGS[:-1], "--data.image_size=native", f"--data.root={tmp_path}"]
    text, unwelcome = plan_and_warning(PlannedRun(native), 0, 0)
    assert text.startswith("could not be planned: ")
    assert unwelcome == text


def test_running_out_of_memory_says_what_takes_it_and_what_needs_less(run, plan):
    message = str(out_of_memory(run, plan.needed_bytes - 1))
    assert "ran out of memory at 256 x 256 px" in message
    assert "activations" in message
    assert "add --model.memory" in message


def test_two_gpus_that_run_out_of_memory_are_told_of_the_cut():
    message = str(out_of_memory(PlannedRun([*FLAGS, *TWO_NODES]), None))
    assert "--trainer.strategy.cut=auto move the cut" in message


def test_running_out_of_memory_where_nothing_can_be_planned_gives_general_advice():
    message = str(out_of_memory(PlannedRun([*FLAGS, UNPLANNABLE]), None))
    assert message.startswith("the GPU ran out of memory; add --model.memory.band_rows=auto")
    assert message.endswith("resume with --ckpt_path last")


def test_running_out_of_memory_is_one_message_and_leaves_the_checkpoint(
    capsys, tiny_flags, monkeypatch
):
    step = ContrastEnhancer.training_step

    def runs_out(self, batch, batch_idx):
        if self.current_epoch == 1 and self._trainer is not None:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return step(self, batch, batch_idx)

    flags = [*tiny_flags, FLAGS[0], "--trainer.max_epochs=2"]
    with monkeypatch.context() as patched:
        patched.setattr(ContrastEnhancer, "training_step", runs_out)
        assert main(["fit", *flags]) == 6
    message = capsys.readouterr().err
    assert "the GPU ran out of memory at 64 x 64 px" in message
    assert "Traceback" not in message
    assert main(["fit", *flags, "--ckpt_path=last"]) == 0
