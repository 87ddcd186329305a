"""Lightning's loops, launcher and loggers do what a strategy takes them for."""

import socket
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch.utils.data import DataLoader, TensorDataset

from radenhance.compat.lightning import (
    SubprocessStrategy,
    connect,
    is_accumulating,
    is_restoring,
    leave_out_backward,
    logged_step,
    seed_workers,
    zero_gradients,
)


class Line(LightningModule):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.zeroed = []

    def training_step(self, batch, batch_idx):
        loss = (self.weight * batch[0]).sum()
        self.log("loss", loss)
        return loss

    def optimizer_zero_grad(self, epoch, batch_idx, optimizer):
        self.zeroed.append(batch_idx)
        super().optimizer_zero_grad(epoch, batch_idx, optimizer)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1.0)


class Watching(Callback):
    """What the functions say at the end of each batch, and which hooks were called."""

    def __init__(self):
        self.accumulating, self.steps, self.hooks = [], [], 0

    def on_before_zero_grad(self, trainer, module, optimizer):
        self.hooks += 1

    def on_train_batch_end(self, trainer, *args):
        self.accumulating.append(is_accumulating(trainer))
        self.steps.append(logged_step(trainer))


def fit(tmp_path, num_batches=3, accumulate=1, strategy="auto", **options):
    module, watching = Line(), Watching()
    trainer = Trainer(
        default_root_dir=tmp_path,
        accelerator="cpu",
        devices=1,
        max_epochs=1,
        accumulate_grad_batches=accumulate,
        strategy=strategy,
        callbacks=[watching],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        **{"logger": False, **options},
    )
    trainer.fit(module, DataLoader(TensorDataset(torch.ones(num_batches, 1)), batch_size=1))
    return trainer, module, watching


def test_the_last_batch_of_an_epoch_does_not_wait_for_more(tmp_path):
    _, module, watching = fit(tmp_path, num_batches=3, accumulate=2)
    assert watching.accumulating == [True, False, False]
    assert module.weight.item() == pytest.approx(-(1 + 0.5))


def test_loggers_log_at_the_step_that_is_said(tmp_path):
    logged = []

    class Logger(TensorBoardLogger):
        def log_metrics(self, metrics, step=None):
            logged.append(step)

    _, _, watching = fit(tmp_path, logger=Logger(tmp_path), log_every_n_steps=1)
    assert watching.steps == logged == [0, 1, 2]


class BackwardInStep(SingleDeviceStrategy):
    """As encoder_decoder does it: a step that runs backwards itself."""

    def setup(self, trainer):
        super().setup(trainer)
        leave_out_backward(trainer)

    def training_step(self, batch, batch_idx):
        trainer = self.lightning_module.trainer
        zero_gradients(trainer, trainer.optimizers[0], batch_idx)
        loss = super().training_step(batch, batch_idx)
        loss.backward()
        return loss.detach()


def test_a_step_that_runs_backwards_itself_trains_as_the_loop_does(tmp_path):
    plain, module, watching = fit(tmp_path)
    trainer, other, others = fit(tmp_path, strategy=BackwardInStep(torch.device("cpu")))
    assert other.weight.item() == module.weight.item() == -3
    assert other.zeroed == module.zeroed == [0, 1, 2]
    assert others.hooks == watching.hooks == 3
    state = [t.fit_loop.epoch_loop.automatic_optimization.state_dict() for t in (plain, trainer)]
    assert state[0] == state[1]


class InTwo(SubprocessStrategy):
    num_nodes = 1

    @property
    def root_device(self):
        return torch.device("cpu")

    def _unused(self, *args, **kwargs):
        raise NotImplementedError

    all_gather = barrier = broadcast = model_to_device = reduce = _unused


def test_the_trainer_gets_a_launcher_for_the_processes_of_this_node(monkeypatch):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    trainer = Trainer(accelerator="cpu", devices=2, strategy=InTwo(), logger=False)
    launcher = trainer.strategy.launcher
    assert (launcher.num_processes, launcher.num_nodes, launcher.procs) == (2, 1, [])


def test_processes_that_others_start_get_none(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "0")
    trainer = Trainer(accelerator="cpu", devices=2, strategy=InTwo(), logger=False)
    assert trainer.strategy.launcher is None


def test_a_process_connects_at_the_address_of_its_environment(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(port))
    limit = timedelta(seconds=30)
    store = dist.TCPStore("127.0.0.1", port, is_master=True, timeout=limit)
    connect(LightningEnvironment(), "gloo", store=store, timeout=limit, device_id=None)
    try:
        assert (dist.get_rank(), dist.get_world_size()) == (0, 1)
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize(("wanted", "is_seeded"), [("1", True), ("0", False)])
def test_workers_are_seeded_by_the_rank_where_that_was_asked_for(monkeypatch, wanted, is_seeded):
    monkeypatch.setenv("PL_SEED_WORKERS", wanted)
    loader = DataLoader([1, 2])
    seed_workers(loader, 3)
    assert (loader.worker_init_fn is not None) == is_seeded
    if is_seeded:
        assert loader.worker_init_fn.keywords == {"rank": 3}


def test_a_loader_that_seeds_its_own_workers_keeps_its_way(monkeypatch):
    monkeypatch.setenv("PL_SEED_WORKERS", "1")
    loader = DataLoader([1, 2], worker_init_fn=print)
    seed_workers(loader, 3)
    assert loader.worker_init_fn is print


class Restored(Callback):
    def __init__(self):
        self.seen = []

    def state_dict(self):
        return {"a": 1}

    def load_state_dict(self, state):
        self.seen.append(is_restoring(self.trainer))

    def setup(self, trainer, pl_module, stage):
        self.trainer = trainer

    def on_train_start(self, trainer, pl_module):
        self.seen.append(is_restoring(trainer))


def test_a_trainer_restores_until_all_parts_have_their_state():
    silent = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False}
    silent |= {"enable_model_summary": False, "enable_checkpointing": False}
    data = DataLoader(TensorDataset(torch.ones(1, 1)))
    first = Trainer(max_epochs=1, callbacks=[Restored()], **silent)
    first.fit(Line(), data)
    first.save_checkpoint("x.ckpt")
    restored = Restored()
    Trainer(max_epochs=2, callbacks=[restored], **silent).fit(Line(), data, ckpt_path="x.ckpt")
    assert restored.seen == [True, False]
