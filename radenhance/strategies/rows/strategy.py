"""One image over several processes by rows, under an ordinary LightningModule.

    trainer = Trainer(strategy="rows", devices=2)

    rank 0   rows 0 ... of every map    |  the same weights, loss and step
    rank 1   the rows below             |  in each process

Each process reads the image and keeps its rows, asks its neighbours for the rows that a kernel
reaches, and sums what is of all rows: BatchNorm's statistics, the loss, and at the end of a step
the gradients (docs/explanation/rows.md). All of them then take the same step with the same numbers,
so that whatever Lightning decides - accumulation, clipping, float16's overflows, schedules, early
stopping - it decides alike everywhere, and checkpoints are those of one device.

With more processes than an image has, several images are trained at a time, as under DDP.
"""

import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.strategies import StrategyRegistry
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from typing_extensions import override

from radenhance.compat.lightning import (
    callbacks_of,
    is_accumulating,
    seed_workers,
    synchronizes_batchnorm,
)
from radenhance.errors import ParameterError, UsageError
from radenhance.rows.link import Link, ProcessLink
from radenhance.rows.share import WHOLE, Share
from radenhance.strategies.config_check import (
    check_agreement,
    settings_of,
    training_settings_of,
)
from radenhance.strategies.peers import PeerGroup
from radenhance.strategies.protocol import Passes, RehearsedRun
from radenhance.strategies.replicated import ReplicatedStrategy
from radenhance.strategies.rows.batches import (
    refuse_other_images,
    rows_of,
    share_of,
    whole_results,
)
from radenhance.strategies.rows.gradients import summed_gradients
from radenhance.strategies.rows.rehearsal import RowPasses
from radenhance.strategies.rows.steps import (
    SupportsRows,
    module_by_rows,
    refuse_if_unequal,
    refuse_unsupported,
)
from radenhance.strategies.sharding import broadcast_from_first
from radenhance.strategies.teams import EndTogether, TeamStrategy

NAME = "rows"


class RowsStrategy(TeamStrategy, ReplicatedStrategy):
    """Divides each image by rows over several processes.

    Args:
        processes_per_image: Processes that share an image; by default (null) all of them. With
            fewer, the others train on other images at the same time, as under DDP.
        process_group_backend: nccl or gloo, or null for the one that suits the device.
        timeout_s: Seconds without a sign of life of another process after which a run ends.
    """

    strategy_name = NAME

    def __init__(
        self,
        processes_per_image: int | None = None,
        process_group_backend: str | None = None,
        timeout_s: float = 600.0,
    ) -> None:
        super().__init__(
            timeout_s,
            process_group_backend=process_group_backend,
            timeout=timedelta(seconds=timeout_s),
        )
        self.processes_per_image = processes_per_image
        self._share: Share = WHOLE
        self._whole: Any = None

    # the processes

    @property
    @override
    def team_size(self) -> int:
        """Number of processes that share an image."""
        return num_per_image(self.processes_per_image, self.world_size)

    @override
    def setup_distributed(self) -> None:
        self.set_world_ranks()
        self._connect()
        self._link: Link = ProcessLink(self._groups.team)

    @override
    def _meet(self) -> None:
        _ = self.team_size  # refused before anybody is waited for
        super().setup_distributed()

    @property
    @override
    def writes_results(self) -> bool:
        """Whether it is the first process of its image; all of them have the same results."""
        return self._link.rank == 0

    # before a run

    @override
    def setup(self, trainer: Trainer) -> None:
        module = self._module
        refuse_unsupported(module)
        assert isinstance(module, SupportsRows)
        if synchronizes_batchnorm(trainer):
            raise UsageError(
                "Trainer(sync_batchnorm=True) is not for the strategy rows, whose BatchNorm sees "
                "all rows of an image as it is; leave it out"
            )
        everyone = PeerGroup.of_all(self.root_device)
        options = {"processes_per_image": self._link.num_processes}
        with self.watching():
            settings = settings_of(options, module.memory, trainer, module)
            check_agreement(everyone.gather(settings))
            super().setup(trainer)
            if trainer.state.fn == TrainerFn.FITTING:
                check_agreement(everyone.gather(training_settings_of(trainer)))
            refuse_if_unequal(self._module, self._link, self.root_device)
        callbacks_of(trainer).insert(0, EndTogether(self.fail))
        if self.num_replicas == 1:  # what is logged is the same in all processes
            warnings.filterwarnings("ignore", message="It is recommended to use `self.log")

    @override
    def configure_ddp(self) -> None:
        """Let all processes begin with the same module, instead of wrapping it."""
        for tensor in (*self._module.parameters(), *self._module.buffers()):
            dist.broadcast(tensor.data, 0)

    @property
    def _module(self) -> LightningModule:
        assert self.lightning_module is not None
        return self.lightning_module

    # data

    @override
    def process_dataloader(self, dataloader: object) -> object:
        seed_workers(dataloader, self.replica)  # Lightning would seed by rank
        return super().process_dataloader(dataloader)

    @override
    def batch_to_device(
        self, batch: Any, device: torch.device | None = None, dataloader_idx: int = 0
    ) -> Any:
        """Keep this process's rows of a batch, and move those."""
        with self.watching():
            refuse_other_images(batch, self._link, self.root_device)
        self._whole, self._share = batch, share_of(batch, self._link)
        return super().batch_to_device(rows_of(batch, self._share), device, dataloader_idx)

    # steps

    @override
    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        self._doing = f"training batch {args[1]} of epoch {self._module.trainer.current_epoch}"
        self._whole = None
        with self.watching(), module_by_rows(self._module, self._share):
            return super().training_step(*args, **kwargs)

    @override
    def backward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Go backward, and sum the gradients as they come where the optimizer is to step."""
        parameters = list(self._module.parameters())
        is_due = not is_accumulating(self._module.trainer)
        summing = summed_gradients(parameters, self.num_replicas) if is_due else nullcontext()
        with self.watching(), summing:
            return super().backward(*args, **kwargs)

    @override
    def validation_step(self, *args: Any, **kwargs: Any) -> Any:
        with self._evaluating("validation", args):
            results = super().validation_step(*args, **kwargs)
        return self._completed(results, args[0])

    @override
    def test_step(self, *args: Any, **kwargs: Any) -> Any:
        with self._evaluating("test", args):
            results = super().test_step(*args, **kwargs)
        return self._completed(results, args[0])

    @override
    def predict_step(self, *args: Any, **kwargs: Any) -> Any:
        with self._evaluating("predict", args):
            results = super().predict_step(*args, **kwargs)
        return self._completed(results, args[0])

    @contextmanager
    def _evaluating(self, kind: str, args: tuple[Any, ...]) -> Iterator[None]:
        self._doing = f"{kind} batch {args[1]}"
        with self.watching(), module_by_rows(self._module, self._share):
            yield

    def _completed(self, results: Any, batch: Any) -> Any:
        """Return whole results, and give callbacks the whole batch."""
        with self.watching():
            results = whole_results(results, self._share)
        if isinstance(batch, dict) and not self._share.is_whole:
            batch.update(self._whole)
        self._whole = None
        return results

    @override
    def on_validation_start(self) -> None:
        """Make buffers equal, so that the network is validated that a checkpoint contains."""
        if self.num_replicas > 1:
            with self.watching():
                broadcast_from_first(self._module.buffers(), self._groups.replicas)

    @override
    def lightning_module_state_dict(self) -> dict[str, Any]:
        self.on_validation_start()
        return super().lightning_module_state_dict()

    @override
    def gradient_norm(self) -> Tensor:
        """Return the 2-norm of the gradient, which is the same in all processes."""
        gradients = [p.grad for p in self._module.parameters() if p.grad is not None]
        return torch.nn.utils.get_total_norm(gradients)

    # plans

    @override
    def rehearse(self, run: RehearsedRun, stage: str | None) -> AbstractContextManager[Passes]:
        """Return the passes of the process that needs most; its `link` says what is sent."""
        refuse_unsupported(run.module)
        per_image = num_per_image(self.processes_per_image, run.num_processes)
        return nullcontext(RowPasses(run, per_image))


def num_per_image(wanted: int | None, num_processes: int) -> int:
    """Return the number of processes that share an image.

    Args:
        wanted: Number that a user asked for, None for all.
        num_processes: Number of processes.

    Raises:
        ParameterError: The processes cannot be divided so.
    """
    per_image = num_processes if wanted is None else wanted
    if per_image < 2 or num_processes % per_image:
        raise ParameterError(
            "RowsStrategy.processes_per_image",
            got=wanted,
            expected=f"2 or more, of which the {num_processes} processes of the run are a multiple",
            remedy="use Trainer(devices=2) or Trainer(num_nodes=2), or more of them",
        )
    return per_image


StrategyRegistry.register(NAME, RowsStrategy, description="each image by rows on several devices")
