"""LightningModules that keep state, and fits of them in which two processes could drift apart."""

import os
import signal
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import segmentation_models_pytorch as smp
import torch
import torch.distributed as dist
from foreign import trainer
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.callbacks import (
    BasePredictionWriter,
    EarlyStopping,
    OnExceptionCheckpoint,
)
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import MeanMetric

from radenhance.errors import RadenhanceError
from radenhance.memory.techniques import MemoryTechniques
from radenhance.network.stages import Stage, Unit, run_stages
from radenhance.rows.share import WHOLE
from radenhance.strategies import EncoderDecoderStrategy, RowsStrategy

NARROW = {"encoder_name": "tu-test_resnet", "decoder_channels": (16, 8, 8, 8, 8)}
EPOCHS = 3


class Plain(LightningModule):
    """A U-Net and a loss; everything else is in the cases below."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = smp.Unet(encoder_weights=None, in_channels=1, classes=1, **NARROW)
        self.noted = []

    def forward(self, x):
        return self.net(x)

    def loss(self, x, y):
        return nn.functional.mse_loss(self(x), y)

    def training_step(self, batch, batch_idx):
        return self.loss(*batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9)

    def set_rate(self, rate):
        self.trainer.optimizers[0].param_groups[0]["lr"] = rate


class ByRows(Plain):
    """One that can be divided by rows; its loss is that of some rows, which is enough to end."""

    def __init__(self):
        super().__init__()
        self.memory, self.share = MemoryTechniques(), WHOLE

    def network(self, image):
        return self.memory.run(self.net, image)

    def forward(self, x):
        return self.network(x)

    def validation_step(self, batch, batch_idx):
        self.loss(*batch)


class PlateauOnEpochEnd(Plain):
    """A metric that is updated in the step, and computed in a hook, steers a schedule."""

    def __init__(self):
        super().__init__()
        self.metric = MeanMetric()

    def validation_step(self, batch, batch_idx):
        self.metric.update(self.loss(*batch))

    def on_validation_epoch_end(self):
        self.log("val_loss", self.metric.compute())
        self.metric.reset()

    def configure_optimizers(self):
        optimizer = super().configure_optimizers()
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=1e9)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": plateau, "monitor": "val_loss"},
        }


class KeepsLast(Plain):
    """An attribute that is set after the network's call steers the learning rate."""

    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        self.last = float(loss)
        return loss

    def on_train_epoch_end(self):
        self.set_rate(0.01 * self.last)


class Collects(Plain):
    """Outputs of an epoch are collected, as Lightning's guide to version 2 says."""

    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        self.noted.append(loss.detach())
        return {"loss": loss, "extra": batch[0].mean(), "name": f"batch {batch_idx}"}

    def on_train_batch_end(self, outputs, batch, batch_idx):
        assert outputs["name"] == f"batch {batch_idx}"
        assert outputs["extra"] == batch[0].mean()

    def on_train_epoch_end(self):
        self.log("train", torch.stack(self.noted).mean())
        self.noted.clear()


class MixesUp(Plain):
    """Random numbers from before the call are used after it."""

    def training_step(self, batch, batch_idx):
        x, y = batch
        share = torch.rand(())
        order = torch.randperm(len(x))
        mixed = self(share * x + (1 - share) * x[order])
        self.noted.append(float(share))
        return nn.functional.mse_loss(mixed, share * y + (1 - share) * y[order])


class CountsBefore(Plain):
    """What runs before the call counts, appends and normalizes."""

    def __init__(self):
        super().__init__()
        self.count = 0
        self.norm = nn.BatchNorm2d(1, affine=False)

    def training_step(self, batch, batch_idx):
        self.count += 1
        self.noted.append({"batch": batch_idx})
        return self.loss(self.norm(batch[0]), batch[1])


class Unfreezes(Plain):
    """The encoder, BatchNorm as well, is trained from the second epoch on."""

    def on_train_epoch_start(self):
        self.net.encoder.requires_grad_(self.current_epoch > 0)


class HeadBehind(Plain):
    """A layer behind the network is trained as well, and clipped with it."""

    def __init__(self):
        super().__init__()
        self.head = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x):
        return self.head(self.net(x))


class DecidesOnRankZero(Plain):
    """What only rank 0 logs and decides."""

    def on_train_epoch_end(self):
        if self.trainer.is_global_zero:
            self.set_rate(0.001)


class Gathers(Plain):
    """all_gather in a step, and a value of each process."""

    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        self.noted.append(self.all_gather(loss.detach()).mean().item())
        return loss


class DropsOut(Plain):
    """Random numbers within the network, and after it."""

    def __init__(self):
        super().__init__()
        self.net.segmentation_head.append(nn.Dropout(0.5))

    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        self.noted.append(float(torch.rand(())))
        return loss


class TwoLevels(nn.Module):
    """A network that names its stages itself."""

    stride = 2

    def __init__(self):
        super().__init__()
        self.wide, self.deep = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, 2, padding=1)
        self.up = nn.ConvTranspose2d(4, 4, 2, 2)
        self.last = nn.Conv2d(8, 1, 1)

    def stages(self):
        def join(features, skip):
            return self.last(torch.cat([self.up(features), skip], 1))

        return [
            Stage("wide", (Unit(self.wide, (self.wide,)),), gives_skip=True),
            Stage("deep", (Unit(self.deep, (self.deep,)),)),
            Stage("join", (Unit(join, (self.up, self.last)),), takes_skip=True),
        ]

    def forward(self, image):
        return run_stages(self.stages(), image)


class OfStages(Plain):
    """Another network than a U-Net of segmentation-models-pytorch."""

    def __init__(self):
        super().__init__()
        self.net = TwoLevels()


class OfResnet(Plain):
    """A U-Net whose first stage both devices can run."""

    def __init__(self):
        super().__init__()
        options = NARROW | {"encoder_name": "resnet18"}
        self.net = smp.Unet(encoder_weights=None, in_channels=1, classes=1, **options).double()


class StopsEarly(Plain):
    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        self.log("loss", loss, on_step=True, on_epoch=True)
        return loss

    def configure_callbacks(self):
        return [EarlyStopping("loss_epoch", min_delta=10, patience=1)]


RUNS = {
    "plateau on an epoch-end metric": PlateauOnEpochEnd,
    "attribute set after the call": KeepsLast,
    "outputs collected, extra keys": Collects,
    "mixup": MixesUp,
    "state from before the call": CountsBefore,
    "unfreezing during training": Unfreezes,
    "a trained layer behind the network": HeadBehind,
    "rank 0 alone decides": DecidesOnRankZero,
    "all_gather in a step": Gathers,
    "dropout": DropsOut,
    "early stopping": StopsEarly,
    "a network with stages": OfStages,
    "a stem on both": OfResnet,
}
OPTIONS_OF = {
    "a network with stages": {"cut": "join"},
    "a stem on both": {"stem_on_both": True},
}
NOT_EXACT = {
    "dropout",  # whose network draws from streams of its own
    "a stem on both",  # whose gradients are added in another order
}


class Backward(Plain):
    def backward(self, loss):
        loss.backward()


class Clips(Plain):
    def configure_gradient_clipping(self, optimizer, **_):
        nn.utils.clip_grad_norm_(self.parameters(), 1.0)


class Together(torch.optim.SGD):
    """Divides by the norm of all gradients."""

    def step(self, closure=None):
        loss = closure() if closure else None
        nn.utils.clip_grad_norm_(self.param_groups[0]["params"], 1e-3)
        super().step()
        return loss


class Chosen(Plain):
    """Other optimizers, schedules and monitors in each process, or the same in both."""

    def __init__(self, of_zero, of_one):
        super().__init__()
        self.chosen = (of_zero, of_one)

    def configure_optimizers(self):
        optimizer, *schedule = self.chosen[self.global_rank](self.parameters())
        return [optimizer], schedule


def sgd(parameters, lr=0.1):
    return [torch.optim.SGD(parameters, lr=lr)]


def falling(parameters):
    (optimizer,) = sgd(parameters)
    return [optimizer, torch.optim.lr_scheduler.StepLR(optimizer, 1)]


def made_by(kind, parameters):
    return [kind(parameters, lr=0.1)]


def unequal(other):
    return partial(Chosen, sgd, other)


def alike(kind):
    return partial(Chosen, *[partial(made_by, kind)] * 2)


REFUSED = {
    "LBFGS": (alike(torch.optim.LBFGS), "LBFGS computes with all gradients together"),
    "a norm over all": (alike(Together), "Together computes with all gradients together"),
    "backward override": (Backward, "Backward overrides backward"),
    "clipping override": (Clips, "Clips overrides configure_gradient_clipping"),
    "BatchNorm over processes": (Plain, "Trainer(sync_batchnorm=True) is not for the strategy"),
    "another optimizer": (
        unequal(partial(made_by, torch.optim.AdamW)),
        "rank 0 has optimizer 0 SGD, rank 1 has AdamW",
    ),
    "another learning rate": (unequal(partial(sgd, lr=0.2)), "] lr 0.1, rank 1 has 0.2"),
    "another schedule": (unequal(falling), "rank 0 has lr_scheduler StepLR"),
}


OPTIONS = {"BatchNorm over processes": {"sync_batchnorm": True}}


class WholeState(Callback):
    """Notes all that a fit has decided so far, before each epoch and after the last one."""

    def __init__(self):
        self.noted = []

    def on_train_epoch_start(self, trainer, pl_module):
        self._note(trainer, pl_module)

    def on_fit_end(self, trainer, pl_module):
        self._note(trainer, pl_module)

    def _note(self, trainer, module):
        (optimizer,) = trainer.optimizers
        states = [config.scheduler.state_dict() for config in trainer.lr_scheduler_configs]
        others = {one.state_key: one.state_dict() for one in trainer.callbacks if one is not self}
        self.noted.append(
            {
                "groups": [{**group, "params": None} for group in optimizer.param_groups],
                "schedulers": states,
                "callbacks": {name: state for name, state in others.items() if state},
                "metrics": {name: float(v) for name, v in trainer.callback_metrics.items()},
                "should_stop": trainer.should_stop,
                "module": [*module.noted, vars(module).get("count"), vars(module).get("last")],
                "random": torch.get_rng_state().tolist(),
            }
        )


def fitted(make, pipeline, side=32, **options):
    """Return the states of a fit, its weights, and what the module says of itself in the end."""
    whole = WholeState()
    data = [
        DataLoader(TensorDataset(*torch.rand(2, 4, 1, side, side).unbind()), 2, shuffle=shuffle)
        for shuffle in (True, False)
    ]
    module = make()
    fit = trainer(pipeline, max_epochs=EPOCHS, callbacks=[whole], gradient_clip_val=0.5, **options)
    torch.manual_seed(1)
    fit.fit(module, *(data if hasattr(module, "on_validation_epoch_end") else data[:1]))
    return {"states": whole.noted, "weights": module.state_dict()}


class Writes(BasePredictionWriter):
    """Notes what Lightning lets it write."""

    def __init__(self):
        super().__init__("batch_and_epoch")
        self.written = []

    def write_on_batch_end(self, trainer, module, prediction, batch_indices, *_):
        self.written.append([batch_indices, prediction.total])

    def write_on_epoch_end(self, trainer, module, predictions, batch_indices):
        self.written.append([batch_indices, [one.total for one in predictions]])


@dataclass
class Prediction:
    """What a user's own class holds of a batch."""

    total: float


class Predicts(Plain):
    def predict_step(self, batch, batch_idx):
        return Prediction(float(self(batch[0]).sum()))


def predicted(pipeline):
    """Return what predictions come back, and what a writer gets of them."""
    writer = Writes()
    torch.manual_seed(3)
    loader = DataLoader(TensorDataset(torch.rand(5, 1, 32, 32)), 2)
    found = trainer(pipeline, callbacks=[writer]).predict(Predicts(), loader)
    return {"predictions": [one.total for one in found], "written": writer.written}


def all_runs(result, pipeline, names):
    """Fit every case, in one process or in one of two, and predict."""
    saved = {"predict": predicted(pipeline)}
    for name in names:
        torch.manual_seed(2)
        options = OPTIONS_OF.get(name, {}) if pipeline else {}
        # on two values of 32 px a BatchNorm makes 1e-4 of 1e-16 within six steps
        exact = {"precision": "64-true", "side": 64} if name == "a stem on both" else {}
        saved[name] = fitted(RUNS[name], pipeline | options, **exact)
    torch.save(saved, f"{result}-{os.environ.get('NODE_RANK', '0')}.pt")
    return 0


class Signalled(Callback):
    """Sends SIGTERM to one process in the third batch of a hook."""

    def __init__(self, rank, hook):
        self.rank, self.hook, self.num = rank, hook, 0

    def on_train_batch_start(self, trainer, *_):
        self._count(trainer, "train")

    def on_validation_batch_start(self, trainer, *_):
        self._count(trainer, "validation")

    def _count(self, trainer, hook):
        self.num += hook == self.hook
        if self.num == 3 and trainer.global_rank == self.rank:
            self.num += 1
            os.kill(os.getpid(), signal.SIGTERM)


def in_two(name, timeout_s):
    """Return a strategy of two processes, a module for it, and data."""
    data = DataLoader(TensorDataset(*torch.rand(2, 4, 1, 64, 64).unbind()), 2)
    if name == "rows":
        return RowsStrategy(timeout_s=timeout_s), ByRows(), data
    strategy = EncoderDecoderStrategy(micro_batch_size=2, timeout_s=timeout_s)
    return strategy, PlateauOnEpochEnd(), data


def all_signals(name, result):
    """Send SIGTERM to one process at a time; save how both ended, and what was written."""
    ended = {}
    for rank, hook in ((0, "train"), (1, "train"), (1, "validation")):
        folder = Path(f"{result}-{rank}-{hook}")
        callbacks = [Signalled(rank, hook), OnExceptionCheckpoint(folder)]
        strategy, module, data = in_two(name, timeout_s=20.0)
        options = {"callbacks": callbacks, "enable_checkpointing": True}
        fit = trainer(strategy, max_epochs=1000, **options)
        since = time.monotonic()
        try:
            fit.fit(module, data, data)
        except SIGTERMException:
            ended[f"{rank} in {hook}"] = [time.monotonic() - since, fit.global_step]
    torch.save(ended, f"{result}-{os.environ['NODE_RANK']}.pt")
    return 0


class Writes8Seconds(Callback):
    """As a checkpoint on a slow disk does, in one process; the other waits for a message of it."""

    def on_train_epoch_end(self, trainer, *_):
        group, number = trainer.strategy._groups.team, torch.zeros(1)
        if trainer.is_global_zero:
            time.sleep(8)
            dist.send(number, group=group, group_dst=1)
        else:
            dist.recv(number, group=group, group_src=0)


def slow(name):
    """Fit with a callback that takes longer than the time-out."""
    strategy, module, data = in_two(name, timeout_s=6.0)
    trainer(strategy, callbacks=[Writes8Seconds()], max_epochs=1).fit(module, data, data)
    return 0


class FailsOnRankZero(Callback):
    def on_train_batch_end(self, trainer, *_):
        if trainer.is_global_zero:
            raise ValueError("\n  \nboom in a callback")


def failing(name, folder):
    """Fail in one process, under a callback that writes a checkpoint then."""
    callbacks = [FailsOnRankZero(), OnExceptionCheckpoint(folder)]
    strategy, module, data = in_two(name, timeout_s=30.0)
    fit = trainer(strategy, callbacks=callbacks, enable_checkpointing=True)
    try:
        fit.fit(module, data)
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        Path(f"{folder}-{fit.global_rank}.txt").write_text(said)
        return 1
    return 0


def all_refusals(result):
    """Save what each case is refused with, before anything is trained."""
    said = {}
    for name, (make, _) in REFUSED.items():
        try:
            fitted(make, {"micro_batch_size": 2, "timeout_s": 20.0}, **OPTIONS.get(name, {}))
        except RadenhanceError as error:
            said[name] = f"{type(error).__name__}: {error}"
    torch.save(said, f"{result}-{os.environ['NODE_RANK']}.pt")
    return 0
