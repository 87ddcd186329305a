"""What a strategy needs of Lightning's loops and launchers, and no documented hook gives."""

import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from types import FrameType
from typing import Any

import torch
from lightning.fabric.connector import _convert_precision_to_unified_args
from lightning.fabric.plugins import ClusterEnvironment
from lightning.fabric.utilities.distributed import _init_dist_connection
from lightning.fabric.utilities.seed import pl_worker_init_function
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.overrides.distributed import _IndexBatchSamplerWrapper
from lightning.pytorch.strategies import ParallelStrategy
from lightning.pytorch.strategies.launchers.subprocess_script import _SubprocessScriptLauncher
from lightning.pytorch.trainer.connectors.signal_connector import _HandlersCompose
from torch import Tensor
from torch.distributed import Store
from torch.optim import Optimizer
from typing_extensions import override

_LOG_STEP = "update_train_step_metrics"


class LaunchingStrategy(ParallelStrategy):
    """A strategy that does something before it starts processes, which inherit its environment.

    Lightning has a hook before it makes the launcher, and it is private.
    """

    def before_launch(self) -> None:
        """Do what must be done before processes are started by this one."""

    @override
    def _configure_launcher(self) -> None:
        assert self.cluster_environment is not None
        if not self.cluster_environment.creates_processes_externally:
            self.before_launch()
        super()._configure_launcher()


class SubprocessStrategy(ParallelStrategy):
    """A strategy whose processes on a node are started by the command that started the first.

    Of Lightning's public strategies only whole ones do so, each with its way to hold the module;
    the hook in which a strategy names its launcher is private, and so is the launcher.
    """

    num_nodes: int

    @property
    def num_processes(self) -> int:
        """Processes of this node."""
        return len(self.parallel_devices or ())

    @override
    def _configure_launcher(self) -> None:
        assert self.cluster_environment is not None
        if not self.cluster_environment.creates_processes_externally:
            self._launcher = _SubprocessScriptLauncher(
                self.cluster_environment, self.num_processes, self.num_nodes
            )


def connect(
    environment: ClusterEnvironment,
    backend: str,
    *,
    store: Store,
    timeout: timedelta,
    device_id: torch.device | None,
) -> None:
    """Connect this process with the others, and disconnect it when it ends.

    `torch.distributed.init_process_group` does not know Lightning's environments, and NCCL warns
    unless somebody disconnects at exit, also after Ctrl+C.

    Args:
        environment: Address, ranks and number of the processes.
        backend: Name that torch.distributed has for it, nccl or gloo.
        store: Where the processes find each other.
        timeout: Time after which a process that waits for others gives up.
        device_id: GPU to connect at once, or None.

    Raises:
        RuntimeError: The others did not come.
    """
    _init_dist_connection(environment, backend, store=store, timeout=timeout, device_id=device_id)


def seed_workers(loader: Any, rank: int) -> None:
    """Seed a loader's workers by a rank, where `seed_everything(workers=True)` was called.

    Lightning does it by the global rank, which is not every strategy's.
    """
    is_wanted = int(os.environ.get("PL_SEED_WORKERS", 0)) != 0
    if is_wanted and getattr(loader, "worker_init_fn", pl_worker_init_function) is None:
        loader.worker_init_fn = partial(pl_worker_init_function, rank=rank)


def leave_out_backward(trainer: Trainer) -> None:
    """Let the fit loop run neither backward pass nor `zero_grad`: the strategy's step does both.

    Lightning's own StochasticWeightAveraging asks for it this way; `Strategy.backward` could be
    empty, but gradients would be set to zero after they were made.
    """
    trainer.fit_loop._skip_backward = True


def zero_gradients(trainer: Trainer, optimizer: Optimizer, batch_idx: int) -> None:
    """Set gradients to zero, with the hooks and the progress of `leave_out_backward`'s loop.

    The hooks have public names; their number is counted in the checkpoint's progress.
    """
    optimization = trainer.fit_loop.epoch_loop.automatic_optimization
    optimization._on_before_zero_grad(optimizer)
    optimization._optimizer_zero_grad(batch_idx, optimizer)


def is_accumulating(trainer: Trainer) -> bool:
    """Return whether the optimizer waits for more batches than the one that runs.

    The batch's number and `accumulate_grad_batches` do not tell: the last batch of an epoch, which
    a loader without length announces when it comes, steps too.
    """
    return bool(trainer.fit_loop._should_accumulate())


def callbacks_of(trainer: Trainer) -> list[Callback]:
    """Return the callbacks in the order in which they run; Lightning does not declare them."""
    callbacks: list[Callback] = vars(trainer)["callbacks"]
    return callbacks


def writes_within_epochs(callback: Callback) -> bool:
    """Return whether a callback writes a checkpoint within epochs, where Lightning does.

    A ModelCheckpoint tells of its arguments in the text of its `state_key` alone.
    """
    return isinstance(callback, ModelCheckpoint) and bool(
        callback._every_n_train_steps or callback._train_time_interval
    )


def validation_is_due(trainer: Trainer) -> bool:
    """Return whether a validation follows the training batch that ends now.

    By the trainer's settings it cannot be told: they are intervals of batches, epochs or minutes,
    and whether a batch is an epoch's last is known to the loop.
    """
    loop = trainer.fit_loop
    return loop._data_fetcher is not None and bool(
        loop.epoch_loop._should_check_val_fx(loop._data_fetcher)
    )


def begin_next_epoch(trainer: Trainer) -> None:
    """Let a run that resumes at the end of an epoch begin with the next one, in `on_train_start`.

    The fit loop does so by itself unless `max_steps` is set. Then it takes every resumed run for
    one that stopped within its epoch, ends that epoch again, and leaves the next one out; its
    public attribute `restarting` cannot be set to anything else.
    """
    vars(trainer._logger_connector).pop(_LOG_STEP, None)  # of a run that ended right there
    loop = trainer.fit_loop
    if loop.restarted_on_epoch_end:
        loop.reset_restart_stage()
        loop._restarting = False
        loop.epoch_loop.restarting = False
        loop.epoch_loop.reset_restart_stage()
        loop.epoch_progress.increment_completed()


def logged_step(trainer: Trainer) -> int:
    """Return where on the step axis Lightning logs now.

    `global_step` counts the steps of every optimizer; loggers count the batches that had any. What
    an epoch ends with is logged at its last step, though the count has gone on by then.
    """
    return int(trainer.fit_loop.epoch_loop._batches_that_stepped) - _ends_epoch(trainer)


def _ends_epoch(trainer: Trainer) -> bool:
    """Return whether `on_train_epoch_end` runs."""
    progress: Any = trainer.fit_loop.epoch_progress.current
    return bool(progress.processed > progress.completed)


def log_what_ended(trainer: Trainer) -> None:
    """Log the step or epoch whose end a callback is told of, which the fit loop does afterwards.

    A checkpoint that is written in between is that of a run that has logged the step; whoever goes
    on from it never would. What the module logs in a hook of its own that follows comes too late.
    """
    connector, loop = trainer._logger_connector, trainer.fit_loop.epoch_loop
    batches: Any = loop.batch_progress.current
    if _ends_epoch(trainer):
        connector.on_epoch_end()
        loop._batches_that_stepped -= 1
        connector.update_train_epoch_metrics()  # which leaves nothing for the loop's own call
        loop._batches_that_stepped += 1
    elif batches.processed > batches.completed:
        connector.on_batch_end()
        connector.update_train_step_metrics()
        setattr(connector, _LOG_STEP, lambda: vars(connector).pop(_LOG_STEP))  # the loop's own call


def epoch_sums(trainer: Trainer) -> dict[str, list[float]]:
    """Return what the running epoch's means are made of: a sum and a count for each key.

    Lightning keeps them in no checkpoint.
    """
    return {
        key: [float(metric.value), int(metric.cumulated_batch_size)]
        for key, metric in _means(trainer)
        if not metric.has_reset
    }


def add_epoch_sums(trainer: Trainer, sums: Mapping[str, Sequence[float]]) -> None:
    """Add to the means of an epoch what a run that resumes within it had seen of it.

    It belongs after the first batch: there are no means before it.

    Args:
        trainer: Of the run that goes on.
        sums: What `epoch_sums` returned.
    """
    for key, metric in _means(trainer):
        value, count = sums.get(key, (0.0, 0))
        metric.value = metric.value + value
        metric.cumulated_batch_size = metric.cumulated_batch_size + int(count)


def _means(trainer: Trainer) -> Iterator[tuple[str, Any]]:
    for key, metric in trainer.fit_loop.epoch_loop._results.items():
        if metric.is_tensor and metric.meta.on_epoch and metric.meta.is_mean_reduction:
            yield key, metric


def is_restoring(trainer: Trainer) -> bool:
    """Return whether the trainer hands the content of a checkpoint to the parts of a run.

    No hook comes after the last of them has been restored, and errors of theirs have no class.
    """
    return bool(trainer._checkpoint_connector._loaded_checkpoint)


def unified_precision(name: str | int | None) -> str:
    """Return the one name of a precision that `Trainer(precision=...)` takes by several.

    The trainer alone knows them, and tells only what plugin it makes of one.
    """
    return str(_convert_precision_to_unified_args(name or "32-true"))  # type: ignore[arg-type]


def synchronizes_batchnorm(trainer: Trainer) -> bool:
    """Return whether `Trainer(sync_batchnorm=True)` was given, which its strategy alone knows."""
    return getattr(trainer.strategy, "_layer_sync", None) is not None


def note_sigterm(trainer: Trainer, note: Callable[[int, FrameType | None], None]) -> None:
    """Let SIGTERM call `note` in place of Lightning's notice, besides all handlers that there are.

    Lightning's own handler broadcasts within the signal, which waits for a process that got none.
    It is put in place after the strategy's setup; another handler that has replaced it stays.
    """
    handler = signal.getsignal(signal.SIGTERM)
    if isinstance(handler, _HandlersCompose):
        own = trainer._signal_connector._sigterm_notifier_fn
        handler.signal_handlers = [note if one == own else one for one in handler.signal_handlers]


def take_metrics(trainer: Trainer, told: Mapping[str, Tensor]) -> None:
    """Let monitors and progress bars see values of another process's `trainer.callback_metrics`.

    That property is computed from what was logged, each time it is read.
    """
    connector, results = trainer._logger_connector, trainer._results
    if results is not None:
        for metric in results.values():
            _, name = results._forked_name(metric, on_step=False)
            if name in told and metric._computed is not None:
                metric._computed = told[name]
    connector._callback_metrics.update(told)
    logged = connector._logged_metrics
    logged.update({name: told[name] for name in logged.keys() & told.keys()})


def samples_seen(loader: Any) -> list[list[int]] | None:
    """Return the list in which Lightning notes each batch's samples for prediction writers.

    It wraps the loader's sampler for that, in predictions alone, and makes the list when the loader
    is read. None in other runs.
    """
    sampler = getattr(loader, "batch_sampler", None)
    if not isinstance(sampler, _IndexBatchSamplerWrapper):
        return None
    seen: list[list[int]] = vars(sampler).setdefault("seen_batch_indices", [])
    return seen
