"""A study whose runs are not run: their logs and plans are written here."""

import json

import pytest
from torch.utils.tensorboard import SummaryWriter

from radenhance import metric_names
from radenhance.reproduce.baselines import RAW, TABLE
from radenhance.reproduce.plans import Planned
from radenhance.reproduce.study import FAILED, FINISHED, Study

RECIPES = ("original", "amp", "amp_chkp_mom", "amp_quant", "dist")
PLANS = {"original": Planned(60, 40, 1), "dist": Planned(30, 20, 1)}
BASELINES = {
    RAW: {"loss": 10.0, "ms_ssim": 0.9, "psnr": 20.0, "mae": 0.05},
    TABLE: {"loss": 8.0, "ms_ssim": 0.92, "psnr": 22.0, "mae": 0.04},
}
MACHINE = {
    "radenhance": "0.1",
    "torch": "2.5",
    "lightning": "2.4",
    "python": "3.11.7",
    "processor": "64 cores, x86_64",
    "gpus": ["NVIDIA RTX 2060"],
}


class Scene:
    """A study, and what writes the traces of its runs."""

    def __init__(self, study):
        self.study = study

    def run(self, recipe, seed=0):
        """Return one of the study's runs."""
        (found,) = [r for r in self.study.runs if (r.recipe, r.seed) == (recipe, seed)]
        return found

    def log(self, run, *, train=4.0, val=6.0, seconds=10.0, memory=None, version=0):
        """Write what a run of two epochs logs; its first epoch has higher losses."""
        with SummaryWriter(run.folder / "lightning_logs" / f"version_{version}") as writer:
            for step, more in ((5, 7.0), (10, 0.0)):
                writer.add_scalar(metric_names.TRAIN_LOSS, train + more, step)
                writer.add_scalar(metric_names.VAL_LOSS, val + more, step)
                writer.add_scalar(metric_names.EPOCH_S, seconds, step)
                for name, value in (memory or {}).items():
                    writer.add_scalar(name, value, step)

    def finish(self, recipe, seed=0, **logged):
        """Write what a run leaves that ends well."""
        run = self.run(recipe, seed)
        self.log(run, **logged)
        (run.folder / FINISHED).write_text(json.dumps(MACHINE))

    def finish_all(self, **validation):
        """Finish recipes with a validation loss for each seed of the study, in their order."""
        for recipe, losses in validation.items():
            for seed, loss in zip(self.study.seeds, losses, strict=True):
                self.finish(recipe, seed, val=loss)

    def fail(self, recipe, seed=0, said="radenhance: the loss became nan"):
        """Write what a run leaves that fails."""
        folder = self.run(recipe, seed).folder
        folder.mkdir(parents=True)
        (folder / FAILED).write_text(said)


@pytest.fixture
def scene(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "radenhance.reproduce.results.planned",
        lambda out, recipe, size, encoder: PLANS.get(recipe, Planned(50, 10, 1)),
    )
    monkeypatch.setattr("radenhance.reproduce.results.baselines", lambda study, size: BASELINES)
    seeds = (0, 1, 2)
    return Scene(Study(tmp_path, tmp_path / "data", (512,), 2, RECIPES, seeds, memory_sizes=(512,)))
