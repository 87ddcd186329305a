"""The profiler inside real runs of Lightning, of steps whose memory is known."""

import threading
import time

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import Logger
from torch.utils.data import DataLoader

from radenhance import metric_names
from radenhance.callbacks import memory_profiler
from radenhance.callbacks.gauges import Reading
from radenhance.callbacks.memory_profiler import MemoryProfiler
from radenhance.errors import UsageError

MIB = 2**20


class Recorded(Logger):
    """Keeps what is logged, as (step, metrics)."""

    name, version = "recorded", 0

    def __init__(self):
        super().__init__()
        self.points = []

    def log_hyperparams(self, *args, **kwargs):
        pass

    def log_metrics(self, metrics, step=None):
        self.points.append((step, {k: v for k, v in metrics.items() if k.startswith("memory/")}))

    def of(self, phase, source=metric_names.PROCESS_RSS):
        name = metric_names.memory(phase, source)
        return [metrics[name] for _, metrics in self.points if name in metrics]


class ScriptedGauge:
    """Memory that is what the step says it is."""

    def __init__(self, **options):
        self.stopped = False
        self.level = self.highest = 1000 * MIB
        ScriptedGauge.latest = self

    def use(self, mib, *, peak=0):
        self.level = mib * MIB
        self.highest = max(self.highest, self.level, peak * MIB)

    def read(self):
        highest, self.highest = self.highest, self.level
        return {metric_names.PROCESS_RSS: Reading(self.level, highest)}

    def highest_sampled(self):
        highest, self.highest = self.highest, 0
        return {metric_names.PROCESS_RSS: highest}

    def stop(self):
        self.stopped = True


class Scripted(LightningModule):
    """Takes 300 MiB in forward, of which 200 stay; 50 more in backward; 20 in the optimizer."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch, batch_idx):
        ScriptedGauge.latest.use(1200, peak=1300)
        return self.layer(batch).sum()

    def on_after_backward(self):
        # Lightning calls it after the callbacks, and so in the optimizer's phase
        ScriptedGauge.latest.use(1010, peak=1030)

    def backward(self, loss):
        loss.backward()
        ScriptedGauge.latest.use(1010, peak=1250)

    def validation_step(self, batch, batch_idx):
        ScriptedGauge.latest.use(1000, peak=9000)

    def on_train_batch_end(self, *args):
        ScriptedGauge.latest.use(1000)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0)


@pytest.fixture
def scripted(monkeypatch):
    monkeypatch.setattr(memory_profiler, "ProcessGauge", ScriptedGauge)
    return Scripted()


def fit(model, profiler=None, *, num_batches=4, **options):
    logger = Recorded()
    options = {"max_epochs": 1, "log_every_n_steps": 1, "num_sanity_val_steps": 0} | options
    trainer = Trainer(
        accelerator="cpu",
        logger=logger,
        callbacks=[profiler or MemoryProfiler(period_ms=1)],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
    batches = DataLoader(torch.ones(num_batches, 1))
    trainer.fit(model, batches, DataLoader(torch.ones(1, 1)))
    return logger


def test_phases_are_those_of_the_step(scripted):
    logger = fit(scripted)
    assert logger.of("forward") == [300]
    assert logger.of("backward") == [50]
    assert logger.of("optimizer") == [20]
    assert logger.of("peak") == [1300] * 4
    assert logger.of("run_peak")[-1] == 1300  # and not the 9000 of the validations


def test_the_first_step_of_each_epoch_has_phases(scripted):
    assert len(fit(scripted, max_epochs=3).of("forward")) == 3
    assert len(fit(scripted, MemoryProfiler(release_cache=False)).of("forward")) == 0


def test_steps_between_two_points_of_the_log_are_not_lost(scripted):
    logger = fit(scripted, log_every_n_steps=100)
    assert logger.of("forward") == [300]
    assert logger.of("peak") == [1300]


@pytest.mark.parametrize("interval", [1, 3])
def test_accumulated_batches_are_one_step(scripted, interval):
    logger = fit(scripted, num_batches=6, accumulate_grad_batches=3, val_check_interval=interval)
    assert logger.of("forward") == [300]
    assert len(logger.of("peak")) == 2
    assert max(logger.of("peak")) == 1300  # without the validations between its batches


class Manual(Scripted):
    """Two optimizer steps in one batch, by hand."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch, batch_idx):
        for _ in range(2):
            loss = super().training_step(batch, batch_idx)
            self.manual_backward(loss)
            self.optimizers().step()


def test_manual_optimization_has_the_same_phases(scripted):
    logger = fit(Manual())
    assert (logger.of("forward"), logger.of("backward")) == ([300], [50])
    assert len(logger.of("peak")) == 4


class Real(LightningModule):
    """Takes 200 MiB in forward, which stay, and 100 MiB more in backward."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))

    def training_step(self, batch, batch_idx):
        self.kept = torch.ones(50 * MIB)  # of 4 bytes
        loss = self.weight * 2
        loss.register_hook(self._take)
        return loss

    def _take(self, gradient):
        block = torch.ones(25 * MIB)
        time.sleep(0.1)  # so that a sample sees it
        return gradient + 0 * block[0]

    def on_train_batch_end(self, *args):
        self.kept = None

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0)


def test_a_real_step_of_known_size_is_measured_on_the_process():
    logger = fit(Real(), num_batches=1, max_epochs=3)
    # the first epoch's step also loads what PyTorch loads when it is first used
    assert logger.of("forward")[1:] == pytest.approx([200] * 2, abs=10)
    assert logger.of("backward")[1:] == pytest.approx([100] * 2, abs=10)
    assert min(logger.of("peak")) > 300


class Failing(Real):
    """Fails in its first step."""

    def training_step(self, batch, batch_idx):
        raise RuntimeError("out of memory")


def test_a_failed_run_leaves_no_thread_behind():
    with pytest.raises(RuntimeError, match="out of memory"):
        fit(Failing())
    fit(Real(), num_batches=1)
    assert "memory gauge" not in [thread.name for thread in threading.enumerate()]


def test_ranks_are_labelled_by_their_stage(scripted, monkeypatch):
    def gathered(seen):
        _, figures = seen
        higher = {key: 2 * value for key, value in figures.items()}
        return [("encoder", figures), ("decoder", higher)]

    monkeypatch.setattr(memory_profiler, "gathered", gathered)
    logger = fit(scripted, num_batches=1)
    metrics = {name: value for _, point in logger.points for name, value in point.items()}
    assert metrics["memory/forward_mib/process_rss/encoder"] == 300
    assert metrics["memory/forward_mib/process_rss/decoder"] == 600
    assert metrics["memory/run_peak_mib/process_rss"] == 2600  # of the fullest


def test_a_period_that_is_none_is_refused():
    with pytest.raises(UsageError, match="period_ms"):
        MemoryProfiler(period_ms=0)
