"""The plan against the same step on real tensors, in a real fit."""

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from torch.utils.data import DataLoader, Dataset

from radenhance.memory.footprint import Footprint
from radenhance.planning.planned_run import PlannedRun
from radenhance.planning.search import techniques_of_recipes


class Images(Dataset):
    def __init__(self, side):
        self.side = side

    def __len__(self):
        return 2  # the optimizer makes its state in the first one

    def __getitem__(self, index):
        raw, target = torch.rand(1, self.side, self.side), torch.rand(1, self.side, self.side)
        return {"raw": raw, "target": target, "case": str(index)}


class Watch(Callback):
    """The highest use of the last step."""

    def __init__(self, footprint):
        self.footprint = footprint
        self.peak_bytes = 0

    def on_train_batch_start(self, *_):
        self.footprint.reset_peak()

    def on_train_batch_end(self, *_):
        self.peak_bytes = self.footprint.peak_bytes


def measured(run, side):
    """Peak bytes of the last step of a fit on real tensors."""
    with Footprint() as footprint:
        module = run.module()
        watch = Watch(footprint)
        Trainer(
            accelerator="cpu",
            precision=run.settings.trainer.precision,
            max_epochs=1,
            callbacks=[watch],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        ).fit(module, DataLoader(Images(side)))
    return watch.peak_bytes


def planned_run(flags):
    return PlannedRun(["--model.encoder=resnet18"]).with_flags(flags)


@pytest.mark.parametrize("side", [256, 512])
@pytest.mark.parametrize("recipe", techniques_of_recipes())
def test_planned_bytes_are_those_of_a_fit_on_real_tensors(recipe, side):
    run = planned_run(techniques_of_recipes()[recipe])
    plan = run.plan((side, side))
    # a fake native_batch_norm_backward makes the gradient of its input unasked: a band too many
    tolerance = 0.03 if run.settings.model.memory.band_rows else 0.02
    assert plan.peak_bytes == pytest.approx(measured(run, side), rel=tolerance)
    assert sum(plan.kinds.values()) == plan.peak_bytes
