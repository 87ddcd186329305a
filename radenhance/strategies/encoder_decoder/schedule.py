"""Micro-batches through two stages, over torch.distributed.pipelining.

What that library needs to be exact:

- Static metadata. Without it, it infers shapes by a run on uninitialized memory, whose statistics
  BatchNorm would keep. Here a run on fake tensors finds them.
- One schedule for each shape and mode: a schedule's shapes are frozen, and it takes tensors of
  other shapes without a word.
- No scaling of gradients, which would divide those of earlier steps of an accumulation again.
- 1F1B, which holds one or two micro-batches at a time, needs two of them; GPipe holds all.

The decoder has the lower rank of the two (`groups.py`), which the library is told.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import count
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.distributed.pipelining import Schedule1F1B, ScheduleGPipe
from torch.distributed.pipelining.schedules import PipelineScheduleSingle
from typing_extensions import override

from radenhance.compat.pipelining import StageOfAnyOutput
from radenhance.compat.torch import FakeTensor, FakeTensorMode
from radenhance.memory.checkpointing import unchanged_buffers
from radenhance.strategies.encoder_decoder.groups import GROUP_RANK, STAGES, StageName
from radenhance.strategies.encoder_decoder.network_split import NetworkSplit
from radenhance.strategies.encoder_decoder.options import ScheduleName
from radenhance.strategies.encoder_decoder.skips import BatchSpec, SkipSpec
from radenhance.strategies.protocol import Phase, PhaseEnded
from radenhance.strategies.tensor_meta import TensorMeta


def skip_specs(split: NetworkSplit, image: Tensor, *, trains: bool) -> tuple[TensorMeta, ...]:
    """Return what the encoder would make of `image`, without running it.

    Args:
        split: Network on the device of `image`, under the autocast in which it will run.
        image: One micro-batch.
        trains: Whether with gradients.
    """
    # BatchNorm's counters count in fake mode too
    buffers = unchanged_buffers([split.network])
    mode, fake = _as_fake(image)
    fake_split = split.for_fake_tensors(mode, image.device)
    with buffers, mode, torch.set_grad_enabled(trains):
        made = fake_split.encode(fake)
        return tuple(TensorMeta.of(tensor) for tensor in made)


def _as_fake(image: Tensor) -> tuple[FakeTensorMode, Tensor]:
    if isinstance(image, FakeTensor):  # where a step is planned, all tensors are fake
        return image.fake_mode, image
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    return mode, mode.from_tensor(image)


class Schedules:
    """Runs this process's stage on all micro-batches of a batch.

    Args:
        split: The network.
        stage: Name of the stage that runs here.
        name: Schedule; auto is 1F1B where there are two micro-batches or more.
        group: The two processes of the pipeline, the decoder's first.
        device: Device of the stage.
        autocast: Function that makes the context in which the stage runs.
        phase_ended: Function that is called in training where a forward phase ends and a backward
            phase begins, and the other way round; 1F1B alternates within a batch. The last backward
            phase ends with the batch.
    """

    def __init__(
        self,
        split: NetworkSplit,
        *,
        stage: StageName,
        name: ScheduleName,
        group: ProcessGroup,
        device: torch.device,
        autocast: Callable[[], AbstractContextManager[None]],
        phase_ended: PhaseEnded,
    ) -> None:
        self._split = split
        self._stage = stage
        self._name = name
        self._group = group
        self._device = device
        # gloo sends nothing that is on a GPU
        gloo = dist.get_backend(group) == dist.Backend.GLOO
        self._wire = torch.device("cpu") if gloo else device
        self._autocast = autocast
        self._phase_ended = phase_ended
        self._phase: Phase = "forward"
        # one of each mode is kept: before torch 2.15, a schedule holds its buffers while it lives
        self._kept: dict[bool, tuple[BatchSpec, PipelineScheduleSingle]] = {}
        self._finish: Callable[[Tensor, int], Tensor] = _nothing_to_finish
        self._numbers: Iterator[int] = count()
        self._images: Iterator[Tensor] = iter(())

    def encode(self, spec: BatchSpec, images: Sequence[Tensor]) -> None:
        """Run the encoder on the network's inputs, one for each micro-batch."""
        run = self._run(spec)
        run(torch.cat(list(images)), return_outputs=False)

    def decode(
        self,
        spec: BatchSpec,
        finish: Callable[[Tensor, int], Tensor],
        images: Sequence[Tensor] = (),
    ) -> None:
        """Run the decoder.

        Args:
            spec: The encoder's description of the batch.
            images: The network's inputs, for a stem on both devices.
            finish: Function from a micro-batch's output and number to its loss; its result is
                ignored where no gradients go back.
        """
        run = self._run(spec)
        targets = torch.arange(spec.num_micro_batches)
        self._finish, self._numbers, self._images = finish, count(), iter(images)
        try:
            run(target=targets, losses=[], return_outputs=False)
        finally:
            self._finish, self._images = _nothing_to_finish, iter(())

    def _run(self, spec: BatchSpec) -> Callable[..., Any]:
        self._phase = "forward"
        schedule = self._schedule(spec)
        return schedule.step if spec.trains else schedule.eval

    def _enter(self, phase: Phase) -> None:
        if phase != self._phase:
            self._phase_ended(self._phase)
            self._phase = phase

    def _schedule(self, spec: BatchSpec) -> PipelineScheduleSingle:
        kept = self._kept.get(spec.trains)
        if kept is None or kept[0] != spec:
            kept = spec, self._make(spec)
            self._kept[spec.trains] = kept
        return kept[1]

    def _make(self, spec: BatchSpec) -> PipelineScheduleSingle:
        sent = tuple(meta.on_meta() for meta in spec.skips.sent)
        loss = torch.empty((), device="meta", requires_grad=spec.trains)
        encodes = self._stage == "encoder"
        stage = _Stage(
            self._enter,
            _StageModule(self._part(spec.skips)),
            STAGES.index(self._stage),
            len(STAGES),
            self._wire,
            input_args=(spec.image.on_meta(),) if encodes else sent,
            output_args=sent if encodes else (loss,),
            group=self._group,
        )
        stage.stage_index_to_group_rank = {i: GROUP_RANK[name] for i, name in enumerate(STAGES)}
        num = spec.num_micro_batches
        alternates = spec.trains and num >= len(STAGES) and self._name != "gpipe"
        kind = Schedule1F1B if alternates else ScheduleGPipe
        return kind(stage, num, loss_fn=self._finish_one, scale_grads=False)

    def _part(self, skips: SkipSpec) -> Callable[..., Tensor | tuple[Tensor, ...]]:
        def encode(image: Tensor) -> tuple[Tensor, ...]:
            with self._autocast():
                made = skips.pack(self._split.encode(image))
            return tuple(tensor.to(self._wire) for tensor in made)

        def decode(*received: Tensor) -> Tensor:
            received = tuple(tensor.to(self._device) for tensor in received)
            with self._autocast():
                # micro-batches come in order
                return self._split.decode(skips.unpack(received), next(self._images, None))

        return encode if self._stage == "encoder" else decode

    def _finish_one(self, output: Tensor, target: Tensor) -> Tensor:
        # both schedules take micro-batches in order; the number is not read from `target`, which
        # has no value where a step is planned on fake tensors
        return self._finish(output, next(self._numbers))


class _StageModule(nn.Module):
    """The module that the library asks for; the parameters stay where they are."""

    def __init__(self, run: Callable[..., Tensor | tuple[Tensor, ...]]) -> None:
        super().__init__()
        self.run = run

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Run the stage on one micro-batch."""
        return self.run(*inputs)


class _Stage(StageOfAnyOutput):
    """A stage that reports the phase it enters."""

    def __init__(self, enter: PhaseEnded, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._enter = enter

    @override
    def forward_one_chunk(self, *arguments: Any, **options: Any) -> Any:
        self._enter("forward")
        return super().forward_one_chunk(*arguments, **options)

    @override
    def backward_one_chunk(self, *arguments: Any, **options: Any) -> Any:
        self._enter("backward")
        return super().backward_one_chunk(*arguments, **options)


def _nothing_to_finish(output: Tensor, number: int) -> Tensor:
    raise AssertionError("a schedule ran outside decode")
