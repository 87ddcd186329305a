"""A run ends, and its last checkpoint is written, where nothing is half done."""

from datetime import timedelta

import pytest
import resume_matrix
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from resume_matrix import Case

PLAIN = Case("kill", "in a window", "default cosine", "3", "every epoch", "none")


class Ends(Callback):
    """Ends a run as a timer does, after its second batch, or as early stopping does."""

    def __init__(self, hook):
        self.hook = hook

    def end(self, trainer, hook):
        if hook == self.hook and trainer.fit_loop.total_batch_idx == 1:
            trainer.should_stop = True

    def on_train_batch_end(self, trainer, *_):
        self.end(trainer, "batch")

    def on_validation_end(self, trainer, module):
        self.end(trainer, "validation")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("hook", ["batch", "validation"])
def test_a_run_that_is_ended_among_the_batches_of_a_step_ends_after_it(tmp_path, hook):
    resume_matrix.make_data(tmp_path / "data")
    trainer = resume_matrix.fit(
        PLAIN,
        tmp_path / "run",
        tmp_path / "data",
        Ends(hook),
        is_resumed=False,
        val_check_interval=2,
    )
    assert (trainer.fit_loop.total_batch_idx + 1, trainer.global_step) == (3, 1)
    assert resume_matrix.content(tmp_path / "run")["global_step"] == 1


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"every_n_train_steps": 2}, 1),
        ({"train_time_interval": timedelta(hours=1)}, 1),
        ({"every_n_epochs": 1}, 0),
    ],
    ids=str,
)
def test_a_checkpoint_of_the_users_own_that_may_not_resume_is_said(tmp_path, caplog, options, says):
    resume_matrix.make_data(tmp_path / "data")
    caplog.set_level("INFO", logger="lightning.pytorch.utilities.rank_zero")
    own = ModelCheckpoint(tmp_path / "own", **options)
    limits = {"max_steps": 1, "limit_train_batches": 3}
    resume_matrix.fit(PLAIN, tmp_path / "run", tmp_path / "data", own, is_resumed=False, **limits)
    said = [text for text in caplog.messages if "go on from last.ckpt to get the very" in text]
    assert len(said) == says
