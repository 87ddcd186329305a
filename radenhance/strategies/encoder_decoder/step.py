"""One step of a LightningModule, done by two processes.

encoder   image <- step until it calls the network    announce shapes    encode    receive
decoder                             receive them    decode; finish the step of each    share
"""

from collections.abc import Callable, Sequence
from functools import partial
from math import gcd
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from radenhance.errors import ImageSizeError, UsageError
from radenhance.strategies.encoder_decoder.batches import joined, micro_batches, num_samples
from radenhance.strategies.encoder_decoder.loader import PeerGroup
from radenhance.strategies.encoder_decoder.logs import Entry, capture_logs, combined, log_all
from radenhance.strategies.encoder_decoder.network_split import NetworkSplit
from radenhance.strategies.encoder_decoder.schedule import (
    GROUP_RANK,
    BatchSpec,
    Schedules,
    skip_specs,
)
from radenhance.strategies.encoder_decoder.skips import SkipSpec, TensorMeta

if TYPE_CHECKING:
    from radenhance.strategies.encoder_decoder.strategy import EncoderDecoderStrategy


class SharedStep:
    """Runs the steps of a strategy's module.

    Args:
        strategy: Whose module, precision and flags they are.
        split: Of the module's network.
        peers: To the other process.
    """

    def __init__(
        self, strategy: "EncoderDecoderStrategy", split: NetworkSplit, peers: PeerGroup
    ) -> None:
        assert strategy.lightning_module is not None
        self._module: LightningModule = strategy.lightning_module
        self._strategy = strategy
        self._split = split
        self._peers = peers
        self._kinds: dict[tuple[TensorMeta, bool], tuple[TensorMeta, ...]] = {}
        self._schedules = Schedules(
            split,
            stage=strategy.stage_name,
            name=strategy.schedule,
            group=peers.group,
            device=peers.device,
            autocast=strategy.precision_plugin.forward_context,
            phase_ended=lambda phase: strategy.phase_ended(phase),
        )

    def train(self, batch: Any, *more: Any) -> Tensor:
        """Run all micro-batches forwards and backwards; return their mean loss.

        Raises:
            UsageError: Micro-batches do not divide the batch, or the step returns no loss.
        """
        size, num = self._strategy.micro_batch_size, num_samples(batch)
        if num % size:
            raise UsageError(
                f"a batch of {num} images cannot be divided into micro-batches of {size}; use a "
                f"batch size that can, and drop_last for the last one, or "
                f"--trainer.strategy.micro_batch_size 1"
            )
        losses: list[Tensor] = []
        self._run("training_step", micro_batches(batch, size), more, losses)
        mean = torch.stack(losses).mean() if losses else None
        shared: Tensor = self._peers.broadcast(mean, source=GROUP_RANK["decoder"])
        return shared

    def evaluate(self, hook: str, batch: Any, *more: Any) -> Any:
        """Run all micro-batches forwards; return what the steps return, as of one step.

        A batch that micro-batches do not divide has smaller ones: it makes no difference here.
        """
        size = gcd(self._strategy.micro_batch_size, num_samples(batch))
        results: list[Any] = []
        self._run(hook, micro_batches(batch, size), more, results)
        return self._peers.broadcast(
            joined(results) if results else None, source=GROUP_RANK["decoder"]
        )

    def _run(
        self, hook: str, parts: Sequence[Any], more: Sequence[Any], results: list[Any]
    ) -> None:
        steps = [partial(getattr(self._module, hook), part, *more) for part in parts]
        with capture_logs(self._module) as entries:
            if self._strategy.stage_name == "encoder":
                self._encode(steps, trains=hook == "training_step")
            else:
                self._decode(steps, results)
        self._log(entries)

    def _encode(self, steps: Sequence[Callable[[], Any]], *, trains: bool) -> None:
        with self._strategy.precision_plugin.forward_context():
            images = [self._split.input_of(step) for step in steps]
        if len({image.shape for image in images}) > 1:
            raise ImageSizeError("the images of one batch differ in size; use --data.batch_size 1")
        image = TensorMeta.of(images[0])
        crossing = SkipSpec(
            self._kinds_at_cut(images[0], trains=trains), self._strategy.bfloat16_transfer
        )
        announcement = BatchSpec(image, crossing, len(images), trains)
        self._peers.broadcast(announcement, source=GROUP_RANK["encoder"])
        self._schedules.encode(announcement, images)

    def _decode(self, steps: Sequence[Callable[[], Any]], results: list[Any]) -> None:
        announcement: BatchSpec = self._peers.broadcast(None, source=GROUP_RANK["encoder"])
        finish = self._loss if announcement.trains else self._result

        def finish_one(output: Tensor, number: int) -> Tensor:
            with self._strategy.precision_plugin.forward_context():
                result = self._split.with_output(output, steps[number])
            return finish(result, results, len(steps))

        self._schedules.decode(announcement, finish_one)

    def _loss(self, result: Any, losses: list[Any], num: int) -> Tensor:
        loss = result["loss"] if isinstance(result, dict) else result
        if not isinstance(loss, Tensor):
            raise UsageError(
                f"encoder_decoder: training_step must return a loss, returned {type(loss).__name__}"
            )
        losses.append(loss.detach())
        share = loss / (num * self._module.trainer.accumulate_grad_batches)
        return self._strategy.precision_plugin.pre_backward(share, self._module)

    def _result(self, result: Any, results: list[Any], num: int) -> Tensor:
        results.append(result)
        return torch.empty(())

    def _kinds_at_cut(self, image: Tensor, *, trains: bool) -> tuple[TensorMeta, ...]:
        key = TensorMeta.of(image), trains
        if key not in self._kinds:
            with self._strategy.precision_plugin.forward_context():
                self._kinds[key] = skip_specs(self._split, image, trains=trains)
        return self._kinds[key]

    def _log(self, caught_here: Sequence[Entry]) -> None:
        decodes = self._strategy.stage_name == "decoder"
        entries = combined(caught_here, self._module) if decodes else None
        log_all(self._peers.broadcast(entries, source=GROUP_RANK["decoder"]), self._module)
