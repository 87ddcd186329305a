"""One step of a LightningModule, done by two processes.

encoder   image <- step until it calls the network    send the spec    encode    receive results
decoder                              receive it    decode; finish the step of each    send results
"""

from collections.abc import Callable, Sequence
from functools import partial
from math import gcd
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.plugins.precision import Precision
from torch import Tensor

from radenhance.errors import ImageSizeError, UsageError
from radenhance.strategies.encoder_decoder.batches import joined, micro_batches, num_samples
from radenhance.strategies.encoder_decoder.groups import GROUP_RANK, StageName
from radenhance.strategies.encoder_decoder.logs import Entry, capture_logs, combined, log_all
from radenhance.strategies.encoder_decoder.network_split import NetworkSplit
from radenhance.strategies.encoder_decoder.options import PipelineOptions
from radenhance.strategies.encoder_decoder.schedule import Schedules, skip_specs
from radenhance.strategies.encoder_decoder.skips import BatchSpec, SkipSpec
from radenhance.strategies.peers import PeerGroup
from radenhance.strategies.protocol import PhaseEnded
from radenhance.strategies.tensor_meta import TensorMeta

Steps = Sequence[Callable[[], Any]]
"""The module's step on each micro-batch of a batch, to be called."""


class SharedStep:
    """Runs a module's steps in the two processes of a pipeline.

    Args:
        module: LightningModule whose steps are run.
        split: The module's network.
        stage: Name of the stage that runs here.
        peers: The two processes.
        options: Micro-batches, schedule and transfer.
        precision: Precision plugin of the run.
        pre_backward: Function that a loss goes through before its backward pass.
        phase_ended: Function that is called in training where forward and backward phases
            alternate.
    """

    def __init__(
        self,
        module: LightningModule,
        split: NetworkSplit,
        stage: StageName,
        peers: PeerGroup,
        *,
        options: PipelineOptions,
        precision: Precision,
        pre_backward: Callable[[Tensor], Tensor],
        phase_ended: PhaseEnded,
    ) -> None:
        self._module = module
        self._split = split
        self._stage = stage
        self._peers = peers
        self._options = options
        self._precision = precision
        self._pre_backward = pre_backward
        self._sent: dict[tuple[TensorMeta, bool], tuple[TensorMeta, ...]] = {}
        self._schedules = Schedules(
            split,
            stage=stage,
            name=options.schedule,
            group=peers.group,
            device=peers.device,
            autocast=precision.forward_context,
            phase_ended=phase_ended,
        )

    def train(self, batch: Any, *more: Any, num_accumulated: int = 1) -> Tensor:
        """Run all micro-batches forwards and backwards; return their mean loss.

        Args:
            batch: The whole batch, in both processes.
            more: Further arguments of `training_step`.
            num_accumulated: Batches whose gradients are averaged in one optimizer step.

        Raises:
            UsageError: Micro-batches do not divide the batch, or the step returns no loss.
        """
        with capture_logs(self._module) as entries:
            losses = self.pass_forth_and_back(batch, *more, num_accumulated=num_accumulated)
        self._log(entries)
        mean = torch.stack(losses).mean() if losses else None
        loss: Tensor = self._peers.broadcast(mean, source=GROUP_RANK["decoder"])
        return loss

    def pass_forth_and_back(self, batch: Any, *more: Any, num_accumulated: int = 1) -> list[Tensor]:
        """Run all micro-batches forwards and backwards; return the losses, none on the encoder.

        Args:
            batch: The whole batch, in both processes.
            more: Further arguments of `training_step`.
            num_accumulated: Batches whose gradients are averaged in one optimizer step.

        Raises:
            UsageError: Micro-batches do not divide the batch, or the step returns no loss.
        """
        parts = self._training_parts(batch)
        losses: list[Tensor] = []

        def finish(result: Any) -> Tensor:
            loss = _loss_of(result)
            losses.append(loss.detach())
            share = loss / (len(parts) * num_accumulated)
            return self._pre_backward(share)

        self._run(self._steps("training_step", parts, more), finish, trains=True)
        return losses

    def evaluate(self, hook: str, batch: Any, *more: Any) -> Any:
        """Run all micro-batches forwards; return what the steps return, as of one step.

        A batch that micro-batches do not divide has smaller ones, which changes no result here.

        Args:
            hook: Name of the module's step.
            batch: The whole batch, in both processes.
            more: Further arguments of the step.
        """
        size = gcd(self._options.micro_batch_size, num_samples(batch))
        results: list[Any] = []

        def finish(result: Any) -> Tensor:
            results.append(result)
            return torch.empty(())

        with capture_logs(self._module) as entries:
            self._run(self._steps(hook, micro_batches(batch, size), more), finish, trains=False)
        self._log(entries)
        result = joined(results) if results else None
        return self._peers.broadcast(result, source=GROUP_RANK["decoder"])

    def spec_of(self, batch: Any, *more: Any) -> BatchSpec:
        """Return what the encoder tells the decoder of a batch in training.

        Args:
            batch: The whole batch.
            more: Further arguments of `training_step`.
        """
        steps = self._steps("training_step", self._training_parts(batch), more)
        spec, _ = self._spec(steps, trains=True)
        return spec

    def _spec(self, steps: Steps, *, trains: bool) -> tuple[BatchSpec, list[Tensor]]:
        with self._precision.forward_context():
            images = [self._split.input_of(step) for step in steps]
        if len({image.shape for image in images}) > 1:
            raise ImageSizeError(
                "the images of one batch differ in size; use RadiographDataModule(batch_size=1)"
            )
        skips = SkipSpec(self._sent_of(images[0], trains), self._options.bfloat16_transfer)
        return BatchSpec(TensorMeta.of(images[0]), skips, len(images), trains), images

    def _training_parts(self, batch: Any) -> list[Any]:
        size, num = self._options.micro_batch_size, num_samples(batch)
        if num % size:
            raise UsageError(
                f"a batch of {num} images cannot be divided into micro-batches of {size}; use a "
                f"batch size that can, and drop_last for the last batch, or "
                f"EncoderDecoderStrategy(micro_batch_size=1)"
            )
        return micro_batches(batch, size)

    def _steps(self, hook: str, parts: Sequence[Any], more: Sequence[Any]) -> Steps:
        return [partial(getattr(self._module, hook), part, *more) for part in parts]

    def _run(self, steps: Steps, finish: Callable[[Any], Tensor], *, trains: bool) -> None:
        source = GROUP_RANK["encoder"]
        if self._stage == "encoder":
            spec, images = self._spec(steps, trains=trains)
            self._peers.broadcast(spec.to_json(), source=source)
            self._schedules.encode(spec, images)
            return

        def finish_one(output: Tensor, number: int) -> Tensor:
            with self._precision.forward_context():
                result = self._split.with_output(output, steps[number])
            return finish(result)

        spec = BatchSpec.from_json(self._peers.broadcast(None, source=source))
        self._schedules.decode(spec, finish_one)

    def _sent_of(self, image: Tensor, trains: bool) -> tuple[TensorMeta, ...]:
        key = TensorMeta.of(image), trains
        if key not in self._sent:
            with self._precision.forward_context():
                self._sent[key] = skip_specs(self._split, image, trains=trains)
        return self._sent[key]

    def _log(self, captured: Sequence[Entry]) -> None:
        entries = combined(captured, self._module) if self._stage == "decoder" else None
        log_all(self._peers.broadcast(entries, source=GROUP_RANK["decoder"]), self._module)


def _loss_of(result: Any) -> Tensor:
    loss = result["loss"] if isinstance(result, dict) else result
    if not isinstance(loss, Tensor):
        raise UsageError(
            f"training_step returned {type(loss).__name__}, expected a loss under the strategy "
            f"encoder_decoder"
        )
    return loss
