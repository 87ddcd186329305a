"""A network split into two stages, found inside an ordinary LightningModule.

What the LightningModule has to meet:

1. One module that it trains is a network with stages (`network.stages`), such as a U-Net of
   segmentation-models-pytorch; one that is frozen runs in every process.
2. Each of its steps runs that network once, on images that depend on the batch alone.
3. Parameters outside the network that are trained are used after it, if at all.

The step itself stays whole. In the encoder's process it runs until it calls the network, which
gives the network's input; in the decoder's process it runs with the network's output in place of
the call, so that whatever it does before (padding) and after (cropping, loss, metrics, logging) is
done as on one device. A module that trains under memory techniques is one that
`SupportsMemoryTechniques`; any other calls its U-Net.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy, deepcopy
from dataclasses import replace
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from radenhance.compat.torch import FakeTensorMode
from radenhance.errors import ImageSizeError, ParameterError, UsageError
from radenhance.memory.techniques import MemoryTechniques
from radenhance.network.stages import Stage, networks_in, stride_of
from radenhance.strategies.encoder_decoder.groups import StageName
from radenhance.strategies.encoder_decoder.options import FIRST_DECODER_STAGE
from radenhance.strategies.protocol import SupportsMemoryTechniques


class NetworkSplit:
    """A LightningModule's network as an encoder stage and a decoder stage.

    Args:
        module: LightningModule that keeps its network whole; both stages run parts of it.
        split_point: Name of the first stage of the second device, such as decoder0.
        stem_on_both: Whether both devices run the first stage, whose skip is then not sent.

    Raises:
        UsageError: The module has not exactly one network, no such stage to split at, or none that
            both devices could run.
    """

    def __init__(
        self,
        module: LightningModule,
        split_point: str = FIRST_DECODER_STAGE,
        *,
        stem_on_both: bool = False,
    ) -> None:
        networks = networks_in(module)
        if len(networks) != 1:
            raise UsageError(
                f"{type(module).__name__} trains {len(networks)} networks with stages, such as a "
                f"U-Net of segmentation-models-pytorch, expected one under the strategies "
                f"encoder_decoder and fully_sharded; give yours the method `stages`, or use "
                f'Trainer(strategy="auto") or Trainer(strategy="ddp")'
            )
        self.network = networks[0]
        # a module that knows of none computes what it does on one device, to the last bit
        self.techniques = MemoryTechniques(fused_upsampling=False)
        self._called: tuple[nn.Module, str] = (self.network, "forward")
        if isinstance(module, SupportsMemoryTechniques) and isinstance(
            module.memory, MemoryTechniques
        ):
            self.techniques = module.memory
            self._called = (module, "network")
        names = self.stage_names
        if split_point not in names[1:]:
            raise ParameterError(
                "EncoderDecoderStrategy.cut",
                got=split_point,
                expected=f"a stage of this network but the first: {', '.join(names[1:])}",
            )
        self._index = names.index(split_point)
        self.stem_on_both = stem_on_both
        if stem_on_both and not (self._stages()[0].gives_skip and self._index > 1):
            raise ParameterError(
                "EncoderDecoderStrategy.stem_on_both",
                got=True,
                expected=f"False for this network, whose first device runs "
                f"{', '.join(names[: self._index])}",
                remedy="the first stage must give a skip, as that of a ResNet, and be followed by "
                "others there",
            )
        self._shapes: nn.Module | None = None

    @property
    def stage_names(self) -> list[str]:
        """Names of the network's stages, in the order in which they run."""
        return [stage.name for stage in self._stages()]

    def keep_shapes(self) -> None:
        """Copy the network's shapes for fake tensors, before its parameters are sharded."""
        self._shapes = deepcopy(self.network).to("meta")

    def for_fake_tensors(self, mode: FakeTensorMode, device: torch.device) -> "NetworkSplit":
        """Return the split without what fake tensors must not reach: host memory, other processes.

        Args:
            mode: Mode of the tensors, not entered.
            device: Device of the tensors.
        """
        split = copy(self)
        split.techniques = replace(self.techniques, offload_mib=0)
        if self._shapes is not None:
            split.network = deepcopy(self._shapes)
            for copied, module in zip(split.network.modules(), self.network.modules(), strict=True):
                copied.training = module.training
            with mode:
                split.network.to_empty(device=device)
        return split

    def encode(self, image: Tensor) -> list[Tensor]:
        """Return what the encoder sends: the open skips, the deepest last, and the features.

        Args:
            image: Shape (N, C, H, W), both sides multiples of the network's stride.
        """
        stages = self._stages()
        skips: list[Tensor] = []
        features = self.techniques.run_stages(stages[: self._index], image, skips)
        if self.stem_on_both:
            del skips[0]
        return skips if self._ends_with_skip(stages) else [*skips, features]

    def decode(self, received: list[Tensor], image: Tensor | None = None) -> Tensor:
        """Return the network's output, shape (N, C, H, W).

        Args:
            received: What `encode` returned.
            image: The network's input, for a stem on both devices.
        """
        stages = self._stages()
        features = received[-1]
        skips = list(received if self._ends_with_skip(stages) else received[:-1])
        if self.stem_on_both:
            assert image is not None
            skips.insert(0, self.techniques.run_stages(stages[:1], image, []))
        return self.techniques.run_stages(stages[self._index :], features, skips)

    def encoder_tensors(self) -> set[int]:
        """Return the ids of the parameters and buffers that only the encoder uses."""
        encoder = self._tensors(slice(0, self._index))
        return encoder - self._tensors(slice(self._index, None)) - self.tensors_of_both()

    def tensors_of_both(self) -> set[int]:
        """Return the ids of the parameters and buffers of the stage that both devices run."""
        return self._tensors(slice(0, 1)) if self.stem_on_both else set()

    def tensors_elsewhere(self, stage: StageName) -> set[int]:
        """Return the ids of the parameters and buffers that only the other stage uses."""
        encoder = self.encoder_tensors()
        if stage == "decoder":
            return encoder
        every = {id(t) for t in (*self.network.parameters(), *self.network.buffers())}
        return every - encoder - self.tensors_of_both()

    def input_of(self, step: Callable[[], Any]) -> Tensor:
        """Return the image with which `step` calls the network; the step goes no further.

        Raises:
            UsageError: The step does not call the network.
            ImageSizeError: A side of the image is no multiple of the network's stride.
        """

        def stop(image: Tensor) -> Tensor:
            raise _ReachedError(image)

        try:
            with self._in_place_of_network(stop):
                returned = step()
        except _ReachedError as call:
            (rows, columns), stride = call.image.shape[-2:], stride_of(self.network)
            if rows % stride or columns % stride:
                raise ImageSizeError(
                    f"the network's input is {rows} x {columns}, expected multiples of "
                    f"{stride}; pad it before the network"
                ) from None
            return call.image
        raise UsageError(
            f"a step returned {type(returned).__name__} and never called the network, expected one "
            f"call under the strategy encoder_decoder: with several processes a batch cannot be "
            f"skipped; leave it out of the dataset"
        )

    def with_output(self, output: Tensor, step: Callable[[], Any]) -> Any:
        """Return what `step` returns when the network's output is `output`.

        Raises:
            UsageError: The step calls the network more than once.
        """
        outputs = [output]

        def network(image: Tensor) -> Tensor:
            if not outputs:
                raise UsageError(
                    "the step called the network more than once, expected one call under the "
                    "strategy encoder_decoder"
                )
            return outputs.pop()

        with self._in_place_of_network(network):
            return step()

    def _stages(self) -> list[Stage]:
        return self.techniques.stages_of(self.network)

    def _ends_with_skip(self, stages: list[Stage]) -> bool:
        """Return whether the last features are the deepest skip too, so that they are sent once."""
        return stages[self._index - 1].gives_skip

    def _tensors(self, stages: slice) -> set[int]:
        modules = [
            m for stage in self._stages()[stages] for unit in stage.units for m in unit.modules
        ]
        return {id(t) for m in modules for t in (*m.parameters(), *m.buffers())}

    @contextmanager
    def _in_place_of_network(self, function: Callable[[Tensor], Tensor]) -> Iterator[None]:
        owner, name = self._called
        # PyTorch has no hook that skips a forward pass, and the step is the user's own code: the
        # function hides the class's method on this one object while the step runs.
        setattr(owner, name, function)
        try:
            yield
        finally:
            delattr(owner, name)


class _ReachedError(BaseException):
    """The step has called the network; no Exception, which a step may catch."""

    def __init__(self, image: Tensor) -> None:
        self.image = image
