"""Fits on real tensors whose memory is counted, each in processes of its own."""

import json
import os
from pathlib import Path

import torch
from lightning.pytorch import Callback, Trainer
from narrow import NARROW
from torch.utils.data import DataLoader, Dataset

from radenhance.dataset.field import OPAQUE
from radenhance.memory.footprint import Footprint
from radenhance.planning.planned_run import PlannedRun
from radenhance.strategies.encoder_decoder.groups import stage_of

ENCODER = [f"--model.encoder={NARROW}"]


class Noise(Dataset):
    """Pairs of noise in a field, as many as two batches have."""

    def __init__(self, side, num):
        self.side, self.num = side, num
        self.field = torch.full((1, side, side), OPAQUE, dtype=torch.uint8)

    def __len__(self):
        return self.num

    def __getitem__(self, index):
        raw, target = torch.rand(1, self.side, self.side), torch.rand(1, self.side, self.side)
        return {"raw": raw, "target": target, "field": self.field, "case": str(index)}


class Watch(Callback):
    """The highest use of the last step: the optimizer makes its state in the first one."""

    def __init__(self, tensors_of):
        self.tensors_of = tensors_of
        self.peak_bytes = 0

    def on_train_start(self, trainer, pl_module):
        self.footprint = Footprint()
        self.footprint.__enter__()
        self.footprint.count(self.tensors_of(trainer, pl_module))

    def on_train_batch_start(self, *_):
        self.footprint.reset_peak()

    def on_train_batch_end(self, *_):
        self.peak_bytes = self.footprint.peak_bytes

    def on_train_end(self, *_):
        self.footprint.__exit__(None, None, None)


def fit(flags, side, tensors_of, **options):
    """Return the peak bytes of the last of two steps."""
    run = PlannedRun(flags)
    trainer = run.settings.trainer
    watch = Watch(tensors_of)
    batch_size = run.settings.data.batch_size
    num_read = 2 * batch_size * trainer.accumulate_grad_batches
    Trainer(
        accelerator="cpu",
        devices=1,
        precision=trainer.precision,
        accumulate_grad_batches=trainer.accumulate_grad_batches,
        max_epochs=1,
        callbacks=[watch],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        **options,
    ).fit(run.module(), DataLoader(Noise(side, num_read), batch_size))
    return watch.peak_bytes


def of_stage(trainer, module):
    """Parameters and buffers on the device of this process's stage."""
    split = trainer.strategy._split
    elsewhere = split.tensors_elsewhere(stage_of(trainer.global_rank))
    return [t for t in (*module.parameters(), *module.buffers()) if id(t) not in elsewhere]


def of_module(trainer, module):
    """All parameters and buffers, of sharded ones this process's shard."""
    return [*module.parameters(), *module.buffers()]


def stages(result, cases, side):
    """Write the peaks of this process's stage for each case, a list of flags."""
    peaks = {}
    for name, flags in cases.items():
        strategy = PlannedRun(flags).strategy()
        peaks[name] = fit(flags, side, of_stage, strategy=strategy, num_nodes=2)
    Path(f"{result}-{os.environ['NODE_RANK']}.json").write_text(json.dumps(peaks))
    return 0


def replicas(result, cases, side):
    """Write the peaks of one of two replicas for each case, a name of a strategy and flags."""
    peaks = {}
    for name, (strategy, flags) in cases.items():
        peaks[name] = fit(flags, side, of_module, strategy=strategy, num_nodes=2)
    Path(f"{result}-{os.environ['NODE_RANK']}.json").write_text(json.dumps(peaks))
    return 0
