"""A LightningModule that knows nothing of radenhance, for the tests of strategies."""

import json
import os
from functools import partial
from pathlib import Path

import segmentation_models_pytorch as smp
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.plugins.precision import MixedPrecision
from narrow import NARROW
from torch.distributed.tensor import DTensor
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import MeanMetric, SumMetric

from radenhance.callbacks.memory_profiler import MemoryProfiler
from radenhance.dataset.field import OPAQUE
from radenhance.enhancer import ContrastEnhancer
from radenhance.errors import UsageError
from radenhance.memory.techniques import MemoryTechniques
from radenhance.strategies import EncoderDecoderStrategy

TECHNIQUES = {
    "none": {},
    "checkpointing": {"checkpointing": "unit"},
    "checkpointing by stages": {"checkpointing": "stage"},
    "offload": {"offload_mib": 16},
    "bands": {"band_rows": 8, "checkpointing": "unit"},
    "momentum": {"momentum": 0.9},
    "quantization": {"quantization": "qat"},
    "correction": {},
    "correction in bands": {"band_rows": 8, "checkpointing": "unit"},
}
CORRECTION = {"output": "correction", "l1_share": 0.16}


class Foreign(LightningModule):
    """An ordinary one: batches are tuples, metrics are logged as objects."""

    def __init__(self, overflow_at=None, **network):
        super().__init__()
        torch.manual_seed(0)
        options = {"encoder_name": NARROW, "encoder_weights": None} | network
        self.net = smp.Unet(in_channels=1, classes=2, **options)
        self.accuracy, self.count = MeanMetric(), SumMetric()
        self.overflow_at, self.batch_idx = overflow_at, None
        # found anew each time: parameters that are sharded have others in their place
        self.net.segmentation_head[0].register_forward_pre_hook(
            lambda head, _: head.weight.register_hook(self._overflow) and None
        )
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
        # in one decoder's process only: no other one ever has this gradient
        due = self.overflow_at is not None and self.batch_idx == self.overflow_at
        return gradient * float("inf") if due and self.trainer.global_rank == 0 else None

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.01, momentum=0.9)
        falls = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.9)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": falls, "interval": "step"}}


def loader(num, batch_size, size=32):
    """Random images of `size` pixels, the last batch smaller where it does not come out even."""
    generator = torch.Generator().manual_seed(num)
    x = torch.randn(num, 1, size, size, generator=generator)
    return DataLoader(TensorDataset(x, (x[:, 0] > 0).long()), batch_size)


def trainer(pipeline, **options):
    """A silent trainer of one device, or of two with a strategy or that with the options."""
    silent = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    if isinstance(pipeline, dict) and pipeline:
        pipeline = EncoderDecoderStrategy(**pipeline)
    two = {"strategy": pipeline, "num_nodes": 2} if pipeline else {}
    return Trainer(accelerator="cpu", devices=1, **{**silent, **two, **options})


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


def overflow(result, num):
    """Three steps in float16 with a gradient scaler, of which the second overflows."""
    # float16 takes a CPU long: a narrow network, and no oneDNN, which takes several times as long
    torch.backends.mkldnn.enabled = False
    narrow = {"encoder_name": "tu-test_resnet", "decoder_channels": (32, 32, 16, 16, 16)}
    module = Foreign(overflow_at=1, **narrow)
    plugin = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=4.0))
    strategy = EncoderDecoderStrategy(schedule="gpipe", sharded=num > 2)
    one_epoch = {"max_epochs": 1, "limit_val_batches": 0, "use_distributed_sampler": False}
    fit = trainer({}, strategy=strategy, num_nodes=num, plugins=[plugin], **one_epoch)
    fit.fit(module, loader(6, 2, size=64))
    state = {"scale": plugin.scaler.get_scale(), "weights": strategy.lightning_module_state_dict()}
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


REPLICAS = {
    "ddp": {"strategy": "ddp", "num_nodes": 2},
    "fully_sharded": {"strategy": "fully_sharded", "num_nodes": 2},
    "pipelines": {"strategy": EncoderDecoderStrategy, "num_nodes": 4},
    "sharded_pipelines": {
        "strategy": partial(EncoderDecoderStrategy, sharded=True),
        "num_nodes": 4,
    },
}


def replicated(result, kind):
    """Fit two replicas for two epochs in float64, but for DDP with a stop between; save it."""
    options = dict(REPLICAS[kind])
    pipeline = callable(options["strategy"])
    # four images a replica and two a step, either way
    batch, steps = (2, 1) if pipeline else (1, 2)
    resumed = None
    for max_epochs in (2,) if kind == "ddp" else (1, 2):
        if pipeline:
            options["strategy"] = REPLICAS[kind]["strategy"]()
        module = Foreign().double()  # Lightning restores weights before it converts them
        fit = trainer(
            {},
            max_epochs=max_epochs,
            precision="64-true",
            gradient_clip_val=0.1,
            accumulate_grad_batches=steps,
            **options,
        )
        data = loader(8, batch, size=64), loader(5, 3)
        fit.fit(module, *data, ckpt_path=resumed, weights_only=True)
        resumed = f"{result}-{max_epochs}.ckpt"
        fit.save_checkpoint(resumed)
    kept = [p for p in module.parameters() if p in fit.optimizers[0].state]
    shares = [p.to_local() if isinstance(p, DTensor) else p for p in kept]
    saved = {
        "metrics": {name: float(value) for name, value in fit.callback_metrics.items()},
        "num_kept": sum(share.numel() for share in shares),
        "weights": sum(p.numel() for p in module.parameters()),
    }
    torch.save(saved, f"{result}-{fit.global_rank}.pt")
    return 0


def some_of(tensor):
    """Up to about 10,000 values, spread over all: nine networks would be a gigabyte a process."""
    return tensor.flatten()[:: 1 + tensor.numel() // 10_000].clone()


def techniques(result, strategy):
    """Fit under each technique that plain training has too; save weights, or what refused it."""
    rank = int(os.environ.get("NODE_RANK", 0))
    saved = {}
    field = torch.full((1, 64, 64), OPAQUE, dtype=torch.uint8)
    field[:, :16] = 0
    for name, flags in TECHNIQUES.items():
        corrects = name.startswith("correction")
        generator = torch.Generator().manual_seed(1)
        images = [
            {half: torch.rand(1, 64, 64, generator=generator) for half in ("raw", "target")}
            | {"case": str(i)}
            | ({"field": field} if corrects else {})
            for i in range(4)
        ]
        # one device accumulates what two replicas see at once
        alone = strategy == "one"
        two = {"strategy": strategy, "num_nodes": 2}
        pipeline = strategy == "encoder_decoder"
        seen = images if alone or pipeline else images[rank::2]
        data = DataLoader(seen, 2 if pipeline else 1)
        torch.manual_seed(0)
        module = ContrastEnhancer(
            NARROW,
            num_scales="auto",
            optimizer=lambda params: torch.optim.SGD(params, lr=0.01),
            memory=MemoryTechniques(**flags),
            **(CORRECTION if corrects else {}),
        )
        fit = trainer(
            {},
            max_epochs=1,  # of two steps
            precision="64-true",
            limit_val_batches=0,
            use_distributed_sampler=False,
            **({"accumulate_grad_batches": 2} if alone else two),
        )
        try:
            fit.fit(module, data)
        except UsageError as error:
            saved[name] = str(error)
            continue
        state = fit.strategy.lightning_module_state_dict()
        saved[name] = {key: some_of(state[key]) for key, _ in module.named_parameters()}
    torch.save(saved, f"{result}-{rank}.pt")
    return 0
