"""A network in two halves, found inside an ordinary LightningModule.

What a LightningModule must be like:

1. One of its modules is a `smp.Unet`.
2. Each of its steps runs that network once, on images that depend on the batch alone.
3. Parameters outside the network are used after it, if at all.

The step itself stays whole. On the encoder's side it runs until it calls the network, which gives
the network's input; on the decoder's side it runs with the network's output in place of the call,
so that whatever it does before (padding) and after (cropping, loss, metrics, logging) is done as
ever. A module that trains under memory techniques has them in `memory`, and calls
`network(image)`, which runs `memory.run(unet, image)`; any other calls its U-Net.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy, deepcopy
from dataclasses import replace
from typing import Any

import segmentation_models_pytorch as smp
import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from radenhance.compat.torch import FakeTensorMode
from radenhance.errors import ImageSizeError, UsageError
from radenhance.memory.techniques import MemoryTechniques
from radenhance.network.stages import Stage
from radenhance.network.unet import DEEPEST_STRIDE

FIRST_DECODER_STAGE = "decoder0"


class NetworkSplit:
    """The two halves of a LightningModule's network.

    Args:
        module: Keeps its network whole; the halves are functions over its parts.
        cut: Name of the first stage of the second half, such as decoder0.

    Raises:
        UsageError: The module has not exactly one U-Net, or no such stage to cut at.
    """

    def __init__(self, module: LightningModule, cut: str = FIRST_DECODER_STAGE) -> None:
        unets = [part for part in module.modules() if isinstance(part, smp.Unet)]
        if len(unets) != 1:
            raise UsageError(
                f"encoder_decoder needs a LightningModule with one smp.Unet, "
                f"{type(module).__name__} has {len(unets)}; use --trainer.strategy auto or ddp"
            )
        self.unet = unets[0]
        memory = getattr(module, "memory", None)
        self.techniques = memory if isinstance(memory, MemoryTechniques) else MemoryTechniques()
        self._called: tuple[nn.Module, str] = (
            (module, "network") if isinstance(memory, MemoryTechniques) else (self.unet, "forward")
        )
        names = self.stage_names
        if cut not in names[1:]:
            raise UsageError(
                f"--trainer.strategy.cut {cut} is not a stage of this network to cut before; use "
                f"one of {', '.join(names[1:])}"
            )
        self._cut = names.index(cut)
        self._shapes: smp.Unet | None = None

    @property
    def stage_names(self) -> list[str]:
        """Names of the network's stages, in the order in which they run."""
        return [stage.name for stage in self._stages()]

    def keep_shapes(self) -> None:
        """Remember the network's shapes before its parameters are shared out, for fake tensors."""
        self._shapes = deepcopy(self.unet).to("meta")

    def for_fake_tensors(self, mode: FakeTensorMode, device: torch.device) -> "NetworkSplit":
        """Return the halves without what must not meet fake tensors: kept memory, other processes.

        Args:
            mode: Of the tensors; not on.
            device: Of the tensors.
        """
        split = copy(self)
        split.techniques = replace(self.techniques, offload_mib=0)
        if self._shapes is not None:
            split.unet = deepcopy(self._shapes)
            for copied, module in zip(split.unet.modules(), self.unet.modules(), strict=True):
                copied.training = module.training
            with mode:
                split.unet.to_empty(device=device)
        return split

    def encode(self, image: Tensor) -> list[Tensor]:
        """Return what crosses the cut: the open skips, the deepest last, and the features.

        Args:
            image: Shape (N, 1, H, W), both sides multiples of 32.
        """
        stages = self._stages()
        skips: list[Tensor] = []
        features = self.techniques.run_stages(stages[: self._cut], image, skips)
        return skips if self._ends_with_skip(stages) else [*skips, features]

    def decode(self, crossing: list[Tensor]) -> Tensor:
        """Return the network's output, shape (N, 1, H, W), of what `encode` gave."""
        stages = self._stages()
        features = crossing[-1]
        skips = crossing if self._ends_with_skip(stages) else crossing[:-1]
        return self.techniques.run_stages(stages[self._cut :], features, list(skips))

    def encoder_tensors(self) -> set[int]:
        """Return the ids of the parameters and buffers that only the first half uses."""
        first, second = self._tensors(slice(0, self._cut)), self._tensors(slice(self._cut, None))
        return first - second

    def input_of(self, step: Callable[[], Any]) -> Tensor:
        """Return the image with which `step` calls the network; the step goes no further.

        Raises:
            UsageError: It does not call it.
            ImageSizeError: Both sides must be multiples of 32.
        """

        def reached(image: Tensor) -> Tensor:
            raise _ReachedError(image)

        try:
            with self._in_place_of_network(reached):
                step()
        except _ReachedError as call:
            rows, columns = call.image.shape[-2:]
            if rows % DEEPEST_STRIDE or columns % DEEPEST_STRIDE:
                raise ImageSizeError(
                    f"the network's input must be a multiple of {DEEPEST_STRIDE} a side, got "
                    f"{rows} x {columns}; pad it before the network"
                ) from None
            return call.image
        raise UsageError("encoder_decoder: the step never called the network; it must call it once")

    def with_output(self, output: Tensor, step: Callable[[], Any]) -> Any:
        """Return what `step` returns when the network gives `output`.

        Raises:
            UsageError: It calls the network more than once.
        """
        outputs = [output]

        def network(image: Tensor) -> Tensor:
            if not outputs:
                raise UsageError("encoder_decoder: the step called the network more than once")
            return outputs.pop()

        with self._in_place_of_network(network):
            return step()

    def _stages(self) -> list[Stage]:
        return self.techniques.stages_of(self.unet)

    def _ends_with_skip(self, stages: list[Stage]) -> bool:
        """Whether the features at the cut are themselves the deepest skip, and are sent once."""
        return stages[self._cut - 1].gives_skip

    def _tensors(self, stages: slice) -> set[int]:
        modules = [
            m for stage in self._stages()[stages] for unit in stage.units for m in unit.modules
        ]
        return {id(t) for m in modules for t in (*m.parameters(), *m.buffers())}

    @contextmanager
    def _in_place_of_network(self, function: Callable[[Tensor], Tensor]) -> Iterator[None]:
        owner, name = self._called
        setattr(owner, name, function)  # hides the class's method on this one object
        try:
            yield
        finally:
            delattr(owner, name)


class _ReachedError(BaseException):
    """The step has called the network; not an Exception, which a step may catch."""

    def __init__(self, image: Tensor) -> None:
        self.image = image
