"""Memory of each stage of `encoder_decoder`, planned on fake tensors.

Each device runs its own part of a step, with what crosses the cut made in place of what would be
received. Optimizer state and weights of the other stage are not on it.
"""

import gc
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from copy import copy
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from radenhance.loss.streamed_ms_ssim import streamed_ms_ssim_loss
from radenhance.memory.footprint import Footprint
from radenhance.network.unet import DEEPEST_STRIDE
from radenhance.planning.planned_run import PlannedRun, Size
from radenhance.planning.step_plan import CONTEXT_BYTES, WORKSPACE_SHARE
from radenhance.strategies import EncoderDecoderStrategy
from radenhance.strategies.encoder_decoder.network_split import FIRST_DECODER_STAGE, NetworkSplit
from radenhance.strategies.encoder_decoder.skips import SkipSpec, TensorMeta
from radenhance.strategies.encoder_decoder.strategy import AUTO_CUT

Device = Literal["one", "encoder", "decoder"]
STAGES: tuple[Device, ...] = ("encoder", "decoder")
Autocast = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True)
class StagePlan:
    """What one device needs.

    Args:
        forward_bytes: Highest rise of a forward phase above what is there before the step.
        backward_bytes: Highest rise of a backward phase above what is there when it begins.
        peak_bytes: Highest use of tensors.
    """

    forward_bytes: int
    backward_bytes: int
    peak_bytes: int

    @property
    def needed_bytes(self) -> int:
        """Bytes that a GPU must have free, allowances included as in `StepPlan`."""
        return round((1 + WORKSPACE_SHARE) * self.peak_bytes) + CONTEXT_BYTES


@dataclass(frozen=True)
class PipelinePlan:
    """What two devices need, and send each other in a step.

    Args:
        cut: First stage of the decoder's device.
        stages: Of encoder and decoder.
        features_bytes: From the encoder to the decoder.
        gradients_bytes: Back.
        batch_bytes: Images that the decoder's process reads and hands over.
    """

    cut: str
    stages: dict[Device, StagePlan]
    features_bytes: int
    gradients_bytes: int
    batch_bytes: int

    @property
    def sent_bytes(self) -> int:
        """All that crosses the network in a step."""
        return self.features_bytes + self.gradients_bytes + self.batch_bytes


def strategy_of(run: PlannedRun) -> EncoderDecoderStrategy | None:
    """Return the pipeline strategy of a run, None if it has another one."""
    chosen = run.settings.trainer.strategy
    if chosen == EncoderDecoderStrategy.strategy_name:
        return EncoderDecoderStrategy()
    path = getattr(chosen, "class_path", "")
    if not path.endswith(EncoderDecoderStrategy.__name__):
        return None
    return EncoderDecoderStrategy(**vars(chosen.init_args))


def padded(size: Size) -> Size:
    """Return the size that the network sees: rows and columns up to a multiple of 32."""
    rows, columns = (math.ceil(side / DEEPEST_STRIDE) * DEEPEST_STRIDE for side in size)
    return rows, columns


def plan_pipeline(run: PlannedRun, strategy: EncoderDecoderStrategy, size: Size) -> PipelinePlan:
    """Return the plan of a step on two devices.

    Args:
        run: Its batch is divided into micro-batches.
        strategy: Of the run; with the cut auto, the best one is taken.
        size: Rows and columns of the images in pixels, multiples of 32.
    """
    if strategy.options.cut == AUTO_CUT:
        strategy = copy(strategy)
        strategy.options = replace(strategy.options, cut=best_cut(run, strategy, size))
    step = PipelineStep(run, strategy, size)
    stages = {device: step.plan(device) for device in STAGES}
    crossing, num = step.crossing(), step.num_micro_batches
    back = sum(meta.on_meta().nbytes for meta in crossing.sent if meta.requires_grad)
    rows, columns = size
    batch = 2 * run.settings.data.batch_size * rows * columns * torch.float32.itemsize
    return PipelinePlan(strategy.options.cut, stages, num * crossing.num_bytes, num * back, batch)


def best_cut(run: PlannedRun, strategy: EncoderDecoderStrategy, size: Size) -> str:
    """Return the cut with the lowest peak of the fuller GPU.

    From the decoder's first stage on it moves towards the fuller half as long as that helps.
    """
    names = NetworkSplit(run.module()).stage_names

    def peaks(index: int) -> list[int]:
        moved = copy(strategy)
        moved.options = replace(moved.options, cut=names[index])
        step = PipelineStep(run, moved, size)
        return [step.plan(device).peak_bytes for device in STAGES]

    best = names.index(FIRST_DECODER_STAGE)
    encoder, decoder = peaks(best)
    largest = max(encoder, decoder)
    direction = -1 if encoder > decoder else 1
    while 1 <= best + direction < len(names) - 1:
        next_largest = max(peaks(best + direction))
        if next_largest >= largest:
            break
        best, largest = best + direction, next_largest
    return names[best]


class PipelineStep:
    """A training step of a run on two devices, or on one that accumulates over as many images.

    Args:
        run: Network, techniques, precision and batch size.
        strategy: Cut, schedule and micro-batches.
        size: Rows and columns in pixels, multiples of 32.
    """

    def __init__(self, run: PlannedRun, strategy: EncoderDecoderStrategy, size: Size) -> None:
        self._run = run
        self._strategy = strategy
        self._size = size
        self.num_micro_batches = max(
            1, run.settings.data.batch_size // strategy.options.micro_batch_size
        )

    def crossing(self) -> SkipSpec:
        """Return what crosses the cut for a micro-batch."""
        with FakeTensorMode():
            return self._crossing(NetworkSplit(self._run.module(), self._strategy.options.cut))

    def plan(self, device: Device) -> StagePlan:
        """Return what a device needs in a step like all but the first."""
        watch = _Watch()
        with FakeTensorMode(), watch.footprint:
            module = self._run.module()
            split = NetworkSplit(module, self._strategy.options.cut)
            of_encoder = split.encoder_tensors()
            here, elsewhere = [], 0
            for parameter in split.unet.parameters():
                if device == "one" or (id(parameter) in of_encoder) == (device == "encoder"):
                    here.append(parameter)
                else:
                    elsewhere += parameter.nbytes
            crossing = self._crossing(split)
            optimizer = _optimizer_of(module, here)
            # two devices have the whole batch, raw and target, where one has a part of it
            num, size = self.num_micro_batches, self._strategy.options.micro_batch_size
            batch = torch.rand(2, 1 if device == "one" else num, size, 1, *self._size)
            images = [batch[0, i % batch.shape[1]] for i in range(num)]
            for _ in range(2):  # the optimizer makes its state in the first
                watch.start()
                self._steps()[device](split, crossing, images, watch)
                optimizer.step()
                optimizer.zero_grad()
        return watch.plan(elsewhere)

    def _steps(self) -> dict[Device, Callable[..., None]]:
        alternates = self._strategy.options.schedule != "gpipe" and self.num_micro_batches > 1
        under_way = 2 if alternates else self.num_micro_batches
        autocast = self._autocast
        return {
            "one": partial(_one_step, autocast=autocast),
            "encoder": partial(_encoder_step, autocast=autocast, under_way=under_way),
            "decoder": partial(
                _decoder_step, autocast=autocast, under_way=1 if alternates else under_way
            ),
        }

    @property
    def _autocast(self) -> Autocast:
        mixed = self._run.settings.trainer.precision in ("16-mixed", "bf16-mixed")
        return partial(torch.autocast, "cpu", torch.bfloat16, enabled=mixed)

    def _crossing(self, split: NetworkSplit) -> SkipSpec:
        image = torch.rand(self._strategy.options.micro_batch_size, 1, *self._size)
        with self._autocast():
            made = split.encode(image)
        kinds = tuple(TensorMeta.of(tensor) for tensor in made)
        return SkipSpec(kinds, self._strategy.options.bfloat16_transfer)


@dataclass
class _Watch:
    """Rises of forward and backward phases."""

    footprint: Footprint = field(default_factory=Footprint)
    level: int = 0
    peak: int = 0
    rises: dict[str, int] = field(default_factory=dict)

    def start(self) -> None:
        gc.collect()  # cycles that building the module has left
        self.footprint.reset_peak()
        self.level = self.peak = self.footprint.live_bytes
        self.rises = {"forward": 0, "backward": 0}

    @contextmanager
    def phase(self, name: Literal["forward", "backward"]) -> Iterator[None]:
        self.peak = max(self.peak, self.footprint.peak_bytes)
        self.footprint.reset_peak()
        base = self.level if name == "forward" else self.footprint.live_bytes
        yield
        self.rises[name] = max(self.rises[name], self.footprint.peak_bytes - base)
        self.peak = max(self.peak, self.footprint.peak_bytes)

    def plan(self, elsewhere: int) -> StagePlan:
        peak = max(self.peak, self.footprint.peak_bytes) - elsewhere
        return StagePlan(self.rises["forward"], self.rises["backward"], peak)


def encode(
    split: NetworkSplit, crossing: SkipSpec, image: Tensor, autocast: Autocast
) -> Callable[[], None]:
    """Run the encoder forwards on a micro-batch; return what runs it backwards."""
    with autocast():
        made = crossing.pack(split.encode(image))
    sent = [tensor for tensor in made if tensor.requires_grad]
    del made

    def backward() -> None:
        torch.autograd.backward(sent, [torch.zeros_like(tensor) for tensor in sent])
        sent.clear()

    return backward


def decode(
    split: NetworkSplit, crossing: SkipSpec, target: Tensor, autocast: Autocast
) -> Callable[[], None]:
    """Run the decoder and the loss forwards on a micro-batch; return what runs them backwards."""
    received = [
        torch.zeros(kind.shape, dtype=kind.dtype, requires_grad=kind.requires_grad)
        for kind in crossing.sent
    ]
    with autocast():
        output = split.decode(crossing.unpack(received))
    losses = [streamed_ms_ssim_loss(output, target, num_scales="auto")]

    def backward() -> None:
        losses.pop().backward()  # type: ignore[no-untyped-call]
        received.clear()

    return backward


def _one_step(
    split: NetworkSplit,
    crossing: SkipSpec,
    images: Sequence[Tensor],
    watch: _Watch,
    autocast: Autocast,
) -> None:
    """Run the whole network on one micro-batch after the other."""
    for image in images:
        with watch.phase("forward"):
            with autocast():
                output = split.techniques.run(split.unet, image)
            losses = [streamed_ms_ssim_loss(output, image, num_scales="auto")]
            del output
        with watch.phase("backward"):
            losses.pop().backward()  # type: ignore[no-untyped-call]


def _encoder_step(
    split: NetworkSplit,
    crossing: SkipSpec,
    images: Sequence[Tensor],
    watch: _Watch,
    autocast: Autocast,
    under_way: int,
) -> None:
    """Run the encoder's part: so many micro-batches are under way."""
    _in_turns(partial(encode, split, crossing, autocast=autocast), images, watch, under_way)


def _decoder_step(
    split: NetworkSplit,
    crossing: SkipSpec,
    images: Sequence[Tensor],
    watch: _Watch,
    autocast: Autocast,
    under_way: int,
) -> None:
    """Run the decoder's part."""
    _in_turns(partial(decode, split, crossing, autocast=autocast), images, watch, under_way)


def _in_turns(
    forward: Callable[[Tensor], Callable[[], None]],
    images: Sequence[Tensor],
    watch: _Watch,
    under_way: int,
) -> None:
    waiting: list[Callable[[], None]] = []
    for image in images:
        with watch.phase("forward"):
            waiting.append(forward(image))
        if len(waiting) == under_way:
            with watch.phase("backward"):
                waiting.pop(0)()
    while waiting:
        with watch.phase("backward"):
            waiting.pop(0)()


def _optimizer_of(module: LightningModule, parameters: Sequence[Any]) -> torch.optim.Optimizer:
    """Return the module's optimizer for some of its parameters."""
    configured: Any = module.configure_optimizers()
    whole = configured["optimizer"] if isinstance(configured, dict) else configured
    optimizer: torch.optim.Optimizer = type(whole)(parameters, **whole.defaults)
    return optimizer
