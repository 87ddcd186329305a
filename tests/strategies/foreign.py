"""A LightningModule that knows nothing of radenhance, for the tests of strategies."""

import json
from pathlib import Path

import segmentation_models_pytorch as smp
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.plugins.precision import MixedPrecision
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import MeanMetric, SumMetric

from radenhance.callbacks.memory_profiler import MemoryProfiler
from radenhance.strategies import EncoderDecoderStrategy


class Foreign(LightningModule):
    """An ordinary one: batches are tuples, metrics are logged as objects."""

    def __init__(self, overflow_at=None):
        super().__init__()
        torch.manual_seed(0)
        self.net = smp.Unet("resnet18", encoder_weights=None, in_channels=1, classes=2)
        self.accuracy, self.count = MeanMetric(), SumMetric()
        self.overflow_at, self.batch_idx = overflow_at, None
        # in the decoder's process only: the other one never has this gradient
        self.net.segmentation_head[0].weight.register_hook(self._overflow)
        self.lengths = []

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, batch_idx):
        self.batch_idx = batch_idx
        x, y = batch
        loss = torch.nn.functional.cross_entropy(self(x).float(), y)
        self.log_dict({"train": loss})
        return loss

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        x, y = batch
        output = self(x)
        self.accuracy.update((output.argmax(1) == y).float())
        self.count.update(len(x))
        self.log_dict({"accuracy": self.accuracy, "count": self.count})
        self.lengths.append(len(x))

    def test_step(self, batch, batch_idx):
        x, y = batch
        self.log("test", torch.nn.functional.cross_entropy(self(x), y))

    def predict_step(self, batch, batch_idx):
        return self(batch[0])

    def _overflow(self, gradient):
        return (
            gradient * float("inf")
            if self.overflow_at is not None and self.batch_idx == self.overflow_at
            else None
        )

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.01)
        falls = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.9)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": falls, "interval": "step"}}


def loader(num, batch_size, size=32):
    """Random images of `size` pixels, the last batch smaller where it does not come out even."""
    generator = torch.Generator().manual_seed(num)
    x = torch.randn(num, 1, size, size, generator=generator)
    return DataLoader(TensorDataset(x, (x[:, 0] > 0).long()), batch_size)


def trainer(pipeline, **options):
    """A silent trainer of one device, or of two with the strategy."""
    two = {"strategy": EncoderDecoderStrategy(**pipeline), "num_nodes": 2} if pipeline else {}
    return Trainer(
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **{**two, **options},
    )


def everything(result, pipeline):
    """Fit until it stops early, with ragged batches of two sizes; validate, test, predict; save."""
    module = Foreign()
    # one device sees what a pipeline of micro-batches of 2 sees
    batch, steps = (4, 1) if pipeline else (2, 2)
    training = loader(8, batch)
    stops = EarlyStopping("accuracy/dataloader_idx_1", min_delta=10, patience=2, mode="max")
    fit = trainer(
        pipeline,
        max_epochs=9,
        accumulate_grad_batches=steps,
        gradient_clip_val=0.1,
        callbacks=[stops],
    )
    fit.fit(module, training, [loader(5, 3), loader(3, 2, size=64)])
    (tested,) = trainer(pipeline).test(module, loader(5, 3), verbose=False)
    predicted = trainer(pipeline).predict(module, loader(3, 2))
    metrics = {name: float(value) for name, value in fit.callback_metrics.items()}
    saved = {
        "weights": module.state_dict(),
        "metrics": metrics | tested,
        "predicted": predicted,
        "lr": fit.optimizers[0].param_groups[0]["lr"],
        "epochs": fit.current_epoch,
    }
    torch.save(saved, f"{result}-{fit.global_rank}.pt")
    return 0


def overflow(result):
    """Three steps in float16 with a gradient scaler, of which the second overflows."""
    module = Foreign(overflow_at=1)
    plugin = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=4.0))
    fit = trainer({"schedule": "gpipe"}, max_epochs=1, plugins=[plugin], limit_val_batches=0)
    fit.fit(module, loader(6, 2, size=64))
    state = {"scale": plugin.scaler.get_scale(), "weights": module.state_dict()}
    torch.save(state, f"{result}-{fit.global_rank}.pt")
    return 0


class PhasesSeen(MemoryProfiler):
    """Keeps the order in which phases are counted."""

    def __init__(self):
        super().__init__()
        self.phases = []

    def _count(self, phase):
        super()._count(phase)
        self.phases.append(phase)


def profiled(result, schedule):
    """One step of four micro-batches under the memory profiler."""
    seen = PhasesSeen()
    options = {"max_steps": 1, "callbacks": [seen], "limit_val_batches": 0}
    fit = trainer({"schedule": schedule}, **options)
    fit.fit(Foreign(), loader(4, 4, size=64))
    Path(f"{result}-{fit.global_rank}.json").write_text(json.dumps(seen.phases))
    return 0


def replicated(result, kind):
    """Fit on pipelines, or on DDP's replicas, in float64; save what came of it in each process."""
    module = Foreign()
    # replicas of four images each either way
    if kind == "ddp":
        options = {"strategy": "ddp", "num_nodes": 2, "accumulate_grad_batches": 2}
        batch = 1
    else:
        options = {"strategy": EncoderDecoderStrategy(), "num_nodes": 4}
        batch = 2
    fit = trainer({}, max_epochs=2, precision="64-true", gradient_clip_val=0.1, **options)
    fit.fit(module, loader(8, batch, size=64), loader(5, 3))
    metrics = {name: float(value) for name, value in fit.callback_metrics.items()}
    saved = {"weights": module.state_dict(), "metrics": metrics}
    torch.save(saved, f"{result}-{fit.global_rank}.pt")
    return 0
