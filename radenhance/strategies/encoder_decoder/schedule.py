"""Micro-batches through two halves, over torch.distributed.pipelining.

What that library needs to be exact:

- Static metadata. Without it, it finds the shapes by a run on uninitialised memory, of which
  BatchNorm would keep the statistics. Here a run on fake tensors finds them.
- One schedule for each shape and mode: shapes are frozen in it, and it would take other ones for
  those it knows.
- No scaling of gradients: it would divide those of earlier steps of an accumulation again.
- 1F1B, which holds one or two micro-batches at a time, needs two of them; GPipe holds all.

The decoder is on the lower rank, where Lightning keeps logger, progress bar and checkpoints, so
that a step that logs images reaches them; the library is told so.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.distributed.pipelining import PipelineStage, Schedule1F1B, ScheduleGPipe
from torch.distributed.pipelining.schedules import PipelineScheduleSingle
from typing_extensions import override

from radenhance.compat.torch import FakeTensorMode
from radenhance.memory.checkpointing import unchanged_buffers
from radenhance.strategies.encoder_decoder.network_split import NetworkSplit
from radenhance.strategies.encoder_decoder.skips import SkipSpec, TensorMeta

StageName = Literal["encoder", "decoder"]
ScheduleName = Literal["auto", "gpipe", "1f1b"]
Phase = Literal["forward", "backward"]

GROUP_RANK: dict[StageName, int] = {"decoder": 0, "encoder": 1}
STAGE_INDEX: dict[StageName, int] = {"encoder": 0, "decoder": 1}


@dataclass(frozen=True)
class BatchSpec:
    """What the encoder says of a batch before it sends anything of it.

    Args:
        image: Of the network's input, one micro-batch.
        crossing: What will cross the cut for each.
        num_micro_batches: How many there are.
        trains: Whether gradients come back.
    """

    image: TensorMeta
    crossing: SkipSpec
    num_micro_batches: int
    trains: bool


def skip_specs(split: NetworkSplit, image: Tensor, *, trains: bool) -> tuple[TensorMeta, ...]:
    """Return what the first half would make of `image`, without running it.

    Args:
        split: On the device of `image`, under the autocast that they will run in.
        image: One micro-batch.
        trains: Whether with gradients.
    """
    # counters of BatchNorm count even in fake mode
    buffers = unchanged_buffers([split.unet])
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    fake_split = split.for_fake_tensors(mode, image.device)
    with buffers, mode, torch.set_grad_enabled(trains):
        made = fake_split.encode(mode.from_tensor(image))
        return tuple(TensorMeta.of(tensor) for tensor in made)


class Schedules:
    """Runs batches of micro-batches through this process's half.

    Args:
        split: Of the network.
        stage: Which of them runs here.
        name: auto is 1F1B where there are two micro-batches or more.
        group: The two processes of the pipeline, the decoder's first.
        device: Where the half is.
        autocast: Gives the context in which the half runs.
        phase_ended: Called in training where a forward phase ends and a backward phase begins, and
            the other way round; 1F1B alternates within a batch. The last backward phase ends with
            the batch.
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
        phase_ended: Callable[[Phase], None],
    ) -> None:
        self._split = split
        self._stage = stage
        self._name = name
        self._group = group
        self._device = device
        self._autocast = autocast
        self._phase_ended = phase_ended
        self._phase: Phase = "forward"
        # one of each mode is kept: before torch 2.15, the buffers of a schedule live as long as it
        self._kept: dict[bool, tuple[BatchSpec, PipelineScheduleSingle]] = {}
        self._finish: Callable[[Tensor, int], Tensor] = _nothing_to_finish

    def encode(self, announcement: BatchSpec, images: Sequence[Tensor]) -> None:
        """Run the first half on the network's inputs, one for each micro-batch."""
        run = self._run(announcement)
        run(torch.cat(list(images)), return_outputs=False)

    def decode(self, announcement: BatchSpec, finish: Callable[[Tensor, int], Tensor]) -> None:
        """Run the second half.

        Args:
            announcement: Of the encoder.
            finish: Makes of a micro-batch's output and number the loss to go back from; of no
                meaning where no gradients go back.
        """
        run = self._run(announcement)
        numbers = torch.arange(announcement.num_micro_batches)
        self._finish = finish
        try:
            run(target=numbers, losses=[], return_outputs=False)
        finally:
            self._finish = _nothing_to_finish

    def _run(self, announcement: BatchSpec) -> Callable[..., Any]:
        self._phase = "forward"
        schedule = self._schedule(announcement)
        return schedule.step if announcement.trains else schedule.eval

    def _enter(self, phase: Phase) -> None:
        if phase != self._phase:
            self._phase_ended(self._phase)
            self._phase = phase

    def _schedule(self, announcement: BatchSpec) -> PipelineScheduleSingle:
        kept = self._kept.get(announcement.trains)
        if kept is None or kept[0] != announcement:
            kept = announcement, self._make(announcement)
            self._kept[announcement.trains] = kept
        return kept[1]

    def _make(self, announcement: BatchSpec) -> PipelineScheduleSingle:
        sent = tuple(kind.on_meta() for kind in announcement.crossing.sent)
        loss = torch.empty((), device="meta", requires_grad=announcement.trains)
        encodes = self._stage == "encoder"
        stage = _Stage(
            self._enter,
            _Half(self._part(announcement.crossing)),
            STAGE_INDEX[self._stage],
            len(STAGE_INDEX),
            self._device,
            input_args=(announcement.image.on_meta(),) if encodes else sent,
            output_args=sent if encodes else (loss,),
            group=self._group,
        )
        stage.stage_index_to_group_rank = {STAGE_INDEX[s]: GROUP_RANK[s] for s in STAGE_INDEX}
        num = announcement.num_micro_batches
        alternates = announcement.trains and num >= len(STAGE_INDEX) and self._name != "gpipe"
        kind = Schedule1F1B if alternates else ScheduleGPipe
        return kind(stage, num, loss_fn=self._finish_one, scale_grads=False)

    def _part(self, crossing: SkipSpec) -> Callable[..., Tensor | tuple[Tensor, ...]]:
        def encode(image: Tensor) -> tuple[Tensor, ...]:
            with self._autocast():
                return crossing.pack(self._split.encode(image))

        def decode(*received: Tensor) -> Tensor:
            with self._autocast():
                return self._split.decode(crossing.unpack(received))

        return encode if self._stage == "encoder" else decode

    def _finish_one(self, output: Tensor, number: Tensor) -> Tensor:
        return self._finish(output, int(number))


class _Half(nn.Module):
    """What the library asks for: a module; the parameters stay where they are."""

    def __init__(self, run: Callable[..., Tensor | tuple[Tensor, ...]]) -> None:
        super().__init__()
        self.run = run

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Run the half on one micro-batch."""
        return self.run(*inputs)


class _Stage(PipelineStage):
    """One that says which phase it enters."""

    def __init__(self, enter: Callable[[Phase], None], *arguments: Any, **options: Any) -> None:
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
