"""One step of a LightningModule, done by two processes, which both run all of it.

encoder   image <- step up to the network    send the spec    encode    receive output; step to end
decoder                              receive it    decode; step to its end    send output, results

Only the network is divided. What a step counts, collects, logs and returns is therefore in both
processes, and so is what hooks make of it. Where the decoder's numbers could differ in the last
bits from the encoder's, whose device may be another one, the decoder's are taken by both.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
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
from radenhance.strategies.encoder_decoder.module_state import undone
from radenhance.strategies.encoder_decoder.network_split import NetworkSplit
from radenhance.strategies.encoder_decoder.options import PipelineOptions
from radenhance.strategies.encoder_decoder.random_numbers import (
    OwnStream,
    random_state,
    set_random_state,
)
from radenhance.strategies.encoder_decoder.schedule import Schedules, skip_specs
from radenhance.strategies.encoder_decoder.skips import BatchSpec, SkipSpec
from radenhance.strategies.leaves import map_leaves
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

    stream: OwnStream | None = None
    """Random numbers of the network; None on fake tensors, where none are drawn."""

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
        self._sent: dict[tuple[Any, ...], tuple[TensorMeta, ...]] = {}
        self._schedules = Schedules(
            split,
            stage=stage,
            name=options.schedule,
            group=peers.group,
            device=peers.device,
            autocast=self._network_context,
            phase_ended=phase_ended,
        )

    def train(self, batch: Any, *more: Any, num_accumulated: int = 1) -> Any:
        """Run all micro-batches forwards and backwards; return what the step returns.

        Args:
            batch: The whole batch, in both processes.
            more: Further arguments of `training_step`.
            num_accumulated: Batches whose gradients are averaged in one optimizer step.

        Returns:
            The mean loss, in a dict with all that the step's own dict has.

        Raises:
            UsageError: Micro-batches do not divide the batch, or the step returns no loss.
        """
        parts = self._training_parts(batch)
        steps = self._steps("training_step", parts, more)
        results: list[Any] = []
        finish = self._finish_training(len(parts) * num_accumulated, results)
        with capture_logs(self._module) as entries:
            outputs = self._run(steps, finish, trains=True)
            losses = [_loss_of(result) for result in results]
            mean = torch.stack(losses).mean() if losses else None
            told = self._told(outputs, entries, mean, self._gradients_outside())
            self._follow(steps, told[0], finish)
        _, logged, loss, gradients = told
        log_all(logged, self._module)
        for parameter, gradient in zip(self._outside(), gradients, strict=True):
            parameter.grad = gradient
        result = joined(results)
        return {**result, "loss": loss} if isinstance(result, dict) else loss

    def pass_forth_and_back(self, batch: Any, *more: Any, num_accumulated: int = 1) -> list[Tensor]:
        """Run all micro-batches forwards and backwards; return the losses, none on the encoder.

        It is the part of `train` that a plan needs.

        Args:
            batch: The whole batch, in both processes.
            more: Further arguments of `training_step`.
            num_accumulated: Batches whose gradients are averaged in one optimizer step.

        Raises:
            UsageError: Micro-batches do not divide the batch, or the step returns no loss.
        """
        parts = self._training_parts(batch)
        results: list[Any] = []
        finish = self._finish_training(len(parts) * num_accumulated, results)
        self._run(self._steps("training_step", parts, more), finish, trains=True)
        return [_loss_of(result) for result in results]

    def evaluate(self, hook: str, batch: Any, *more: Any) -> Any:
        """Run all micro-batches forwards; return what the steps return, as of one step.

        A batch that micro-batches do not divide has smaller ones, which changes no result here.

        Args:
            hook: Name of the module's step.
            batch: The whole batch, in both processes.
            more: Further arguments of the step.
        """
        size = gcd(self._options.micro_batch_size, num_samples(batch))
        steps = self._steps(hook, micro_batches(batch, size), more)
        results: list[Any] = []

        def finish(result: Any) -> Tensor:
            results.append(result)
            return torch.empty(())

        with capture_logs(self._module) as entries:
            outputs = self._run(steps, finish, trains=False)
            output, logged, *_ = self._told(outputs, entries)
            self._follow(steps, output, finish)
        log_all(logged, self._module)
        return joined(results)

    def spec_of(self, batch: Any, *more: Any) -> BatchSpec:
        """Return what the encoder tells the decoder of a batch in training.

        Args:
            batch: The whole batch.
            more: Further arguments of `training_step`.
        """
        steps = self._steps("training_step", self._training_parts(batch), more)
        spec, _ = self._spec(steps, trains=True)
        return spec

    def _finish_training(self, share_of: int, results: list[Any]) -> Callable[[Any], Tensor]:
        def finish(result: Any) -> Tensor:
            loss = _loss_of(result)
            results.append(map_leaves(_detached, result))
            return self._pre_backward(loss / share_of)

        return finish

    def _spec(self, steps: Steps, *, trains: bool) -> tuple[BatchSpec, list[Tensor]]:
        with self._precision.forward_context():
            images = [self._split.input_of(step) for step in steps]
        if len({image.shape for image in images}) > 1:
            raise ImageSizeError(
                "the images of one batch differ in size; use RadiographDataModule(batch_size=1)"
            )
        if trains and images[0].requires_grad:
            raise UsageError(
                f"the network's input in {type(self._module).__name__} has a gradient, expected "
                f"none under the strategy encoder_decoder; freeze the layers before the network, "
                f"or move them behind it"
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

    def _run(self, steps: Steps, finish: Callable[[Any], Tensor], *, trains: bool) -> list[Tensor]:
        """Run the network; return its outputs, and finish the steps, on the decoder alone."""
        source = GROUP_RANK["encoder"]
        outputs: list[Tensor] = []
        images: list[Tensor] = []
        if self._stage == "encoder":
            with self._tried():
                spec, images = self._spec(steps, trains=trains)
            self._peers.broadcast(spec.to_json(), source=source)
            self._schedules.encode(spec, images)
            return outputs

        def finish_one(output: Tensor, number: int) -> Tensor:
            outputs.append(output.detach().clone())  # a step may work in place
            return finish(self._result(steps[number], output))

        if self._split.stem_on_both:
            with self._tried(), self._precision.forward_context():
                images = [self._split.input_of(step) for step in steps]
        spec = BatchSpec.from_json(self._peers.broadcast(None, source=source))
        self._schedules.decode(spec, finish_one, images)
        return outputs

    def _follow(self, steps: Steps, output: Tensor, finish: Callable[[Any], Tensor]) -> None:
        """Run the steps in the encoder's process, to their ends."""
        if self._stage == "decoder":
            return
        with torch.no_grad():  # the gradients have come back already
            for step, part in zip(steps, output.chunk(len(steps)), strict=True):
                finish(self._result(step, part))

    def _result(self, step: Callable[[], Any], output: Tensor) -> Any:
        with self._precision.forward_context():
            return self._split.with_output(output, step)

    def _told(
        self,
        outputs: Sequence[Tensor],
        entries: Sequence[Entry],
        loss: Tensor | None = None,
        gradients: Sequence[Tensor | None] = (),
    ) -> Any:
        """Return what the decoder tells the encoder of a batch, in both processes."""
        told = None
        if self._stage == "decoder":
            logged = combined(entries, self._module)
            told = [torch.cat(list(outputs)), logged, loss, list(gradients)]
        return self._peers.broadcast(told, source=GROUP_RANK["decoder"])

    def _outside(self) -> list[torch.nn.Parameter]:
        """Return the parameters outside the network, whose gradients the decoder has."""
        inside = {id(parameter) for parameter in self._split.network.parameters()}
        return [p for p in self._module.parameters() if p.requires_grad and id(p) not in inside]

    def _gradients_outside(self) -> list[Tensor | None]:
        return [parameter.grad for parameter in self._outside()]

    @contextmanager
    def _tried(self) -> Iterator[None]:
        """Take back what steps leave that are run up to the network, and run again."""
        if self.stream is None:  # a plan runs nothing again
            yield
            return
        before = random_state(self._peers.device)
        with undone(self._module, self._split.network):
            yield
        set_random_state(before, self._peers.device)

    @contextmanager
    def _network_context(self) -> Iterator[None]:
        with ExitStack() as stack:
            if self.stream is not None:
                stack.enter_context(self.stream.drawn())
            stack.enter_context(self._precision.forward_context())
            yield

    def _sent_of(self, image: Tensor, trains: bool) -> tuple[TensorMeta, ...]:
        # which gradients come back depends on what is frozen, and that may change
        trained = tuple(parameter.requires_grad for parameter in self._split.network.parameters())
        key = TensorMeta.of(image), trains, trained
        if key not in self._sent:
            with self._precision.forward_context():
                self._sent[key] = skip_specs(self._split, image, trains=trains)
        return self._sent[key]


def _loss_of(result: Any) -> Tensor:
    loss = result.get("loss") if isinstance(result, dict) else result
    if not isinstance(loss, Tensor):
        raise UsageError(
            f"training_step returned {type(loss).__name__}, expected a loss: with several "
            f"processes a batch cannot be skipped, under no strategy; return a loss of 0 times the "
            f"network's output instead"
        )
    return loss


def _detached(leaf: Any) -> Any:
    return leaf.detach() if isinstance(leaf, Tensor) else leaf
