"""Stages compiled by PyTorch: fewer kernels, and of what they keep no more than pays.

The compiler gets as much of the network as it can take at once, forward and backward pass in one
graph: BatchNorm, ReLU and additions become a part of the kernels beside them, and what it keeps for
the backward pass is chosen over all stages (`partition.py`). It computes the same function, up to
the rounding of sums, and updates statistics once.

Bands stay as they are, and the stages between them are compiled: a loop over bands would be a graph
of thousands of operators. With checkpointing, which recomputes what autograd runs, each unit is
compiled by itself and recomputed as a whole. Without gradient nothing is compiled: validation has
other sizes. The loss makes its gradient beside its value, and is not compiled.

Compiling takes minutes for a whole network, once for each size of images; what was made is kept in
the user's cache folder, or where TORCHINDUCTOR_CACHE_DIR says. On fake tensors, and so in plans,
its graphs run operator by operator.
"""

import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from itertools import groupby
from typing import Any, ClassVar, Literal, cast, get_args

import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn
from torch.func import functional_call
from typing_extensions import override

from radenhance.compat.torch import FakeTensor
from radenhance.errors import UsageError
from radenhance.folders import user_cache
from radenhance.memory.momentum import Momentum
from radenhance.memory.quantization.stages import Quantization
from radenhance.memory.technique import Technique, refuse_other_than
from radenhance.network.stages import NUM_LEVELS, Part, Stage, Unit, Upsampling, run_stages

CompileMode = Literal["none", "default", "auto"]

Function = Callable[..., Tensor | tuple[Tensor, ...]]

MOST_SIZES = 8
"""Sizes of images for which a process compiles a network."""


@dataclass(frozen=True)
class Compilation(Technique):
    """Let PyTorch compile what runs.

    Args:
        mode: default for the compiler's own choice of what is kept for the backward pass; auto for
            the one with the lowest planned use; none for no compiler.
        by_units: Whether units are compiled one by one, as is needed where they are recomputed.
    """

    mode: CompileMode = "none"
    by_units: bool = False

    parameter: ClassVar[str] = "MemoryTechniques.compile"
    excludes: ClassVar = {
        Momentum: "its layers run their blocks backwards, which a compiler does not see",
        Quantization: "it keeps activations as codes by itself",
    }
    reorders_sums: ClassVar[bool] = True
    examples: ClassVar = ({"compile": "default"},)

    def __post_init__(self) -> None:
        refuse_other_than(get_args(CompileMode), parameter=self.parameter, got=self.mode)

    @property
    @override
    def is_on(self) -> bool:
        return self.mode != "none"

    @override
    def running(self, stages: list[Stage]) -> list[Stage]:
        """Return the stages, those that follow each other and recompute nothing as one."""
        if self.by_units:
            return [replace(one, units=tuple(map(self._unit, one.units))) for one in stages]
        apart = [part for stage in stages for part in _without_bands(stage)]
        groups = groupby(apart, lambda one: any(unit.recomputes for unit in one.units))
        return [
            one
            for in_bands, group in groups
            for one in (group if in_bands else [_as_one(list(group), self.mode)])
        ]

    def _unit(self, unit: Unit) -> Unit:
        if unit.recomputes:
            return unit
        name = type(unit.modules[0]).__name__
        if _runs_bands_first(unit):
            return replace(unit, block=Compiled(unit.block, unit.modules, self.mode, name))
        return Unit(Compiled(unit, unit.modules, self.mode, name), unit.modules)


def _without_bands(stage: Stage) -> list[Stage]:
    """Return a stage without the bands that it begins with, after a stage of these."""
    first, *others = stage.units
    if first.recomputes or not _runs_bands_first(first):
        return [stage]
    assert first.before is not None
    bands = Unit(first.before, (), recomputes=True)
    units = (replace(first, before=None), *others)
    return [
        Stage(stage.name, (bands,), takes_skip=stage.takes_skip),
        replace(stage, units=units, takes_skip=False),
    ]


def _runs_bands_first(unit: Unit) -> bool:
    return not isinstance(unit.before, nn.Module | Upsampling | None)


@dataclass(frozen=True)
class CompiledStages(Stage):
    """Stages that follow each other, compiled as one.

    Args:
        num_taken: Number of open skips that they need.
    """

    num_taken: int = 0

    @override
    def run(self, features: Tensor, skips: list[Tensor]) -> Tensor:
        """Return the features after the last stage, and change the open skips as they do."""
        taken = [skips.pop() for _ in range(self.num_taken)]
        result = self(features, *taken)
        *given, features = result if isinstance(result, tuple) else (result,)
        skips.extend(given)
        if self.gives_skip:
            skips.append(features)
        return features


def _as_one(stages: list[Stage], mode: CompileMode) -> CompiledStages:
    name = f"{stages[0].name}-{stages[-1].name}"
    modules = tuple(module for stage in stages for module in stage.modules)
    gives_skip = stages[-1].gives_skip

    def run(features: Tensor, *taken: Tensor) -> tuple[Tensor, ...]:
        skips = list(reversed(taken))
        features = run_stages(stages, features, skips)
        return (*(skips[:-1] if gives_skip else skips), features)

    unit = Unit(Compiled(run, modules, mode, name), modules)
    return CompiledStages(name, (unit,), gives_skip=gives_skip, num_taken=_num_taken(stages))


def _num_taken(stages: Sequence[Stage]) -> int:
    """Return how many skips from outside the stages need."""
    num_open = lowest = 0
    for stage in stages:
        num_open += stage.gives_skip - stage.takes_skip
        if stage.name == "encoder":  # one of the library, which gives all skips at once
            num_open += NUM_LEVELS - 1
        lowest = min(lowest, num_open)
    return -lowest


@dataclass(frozen=True)
class Compiled:
    """A part of a network that runs compiled where its gradient is wanted.

    What was compiled is kept with the part's first module, and not copied with it.

    Args:
        part: The part.
        modules: The modules that it runs.
        mode: default or auto, as of `Compilation`.
        name: What it is, for who waits for the compiler.
    """

    part: Part
    modules: tuple[nn.Module, ...]
    mode: CompileMode
    name: str

    def __call__(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Return the part's output.

        Raises:
            UsageError: There is no compiler, or it failed.
        """
        if not torch.is_grad_enabled():
            return self.part(*inputs)
        known = _known(self.modules[0])
        key = self._key(inputs)
        if key in known.functions:
            return known.functions[key](*inputs)
        return self._first(known, key, inputs)

    def _key(self, inputs: Sequence[Tensor]) -> tuple[object, ...]:
        """Return what a compiled function depends on."""
        of_inputs = [(t.shape, t.dtype, t.device, t.requires_grad) for t in inputs]
        submodules = [one for module in self.modules for one in module.modules()]
        device = inputs[0].device.type
        autocast = torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device)
        training = [one.training for one in submodules]
        return (self.mode, *of_inputs, autocast, *map(id, submodules), *training)

    def _first(
        self, known: "_Known", key: tuple[object, ...], inputs: Sequence[Tensor]
    ) -> Tensor | tuple[Tensor, ...]:
        """Compile the part, and return its output."""
        known.refuse_another_size(inputs[0].shape)
        as_graph = runs_as_graph(inputs[0])
        function = _traced(self) if as_graph else _compiled(self, inputs[0].device.type)
        if isinstance(inputs[0], FakeTensor):
            from radenhance.compat.compiler import without_modes

            with without_modes():  # the compiler works on tensors that nobody is to count
                function(*inputs)
        began = time.perf_counter()
        result = function(*inputs)
        known.functions[key] = function
        if not as_graph:
            took, (rows, columns) = time.perf_counter() - began, inputs[0].shape[-2:]
            rank_zero_info(f"Compiled {self.name} for {rows} x {columns} px in {took:.0f} s.")
        return result


def runs_as_graph(tensor: Tensor) -> bool:
    """Return whether graphs run operator by operator, and not as kernels."""
    return isinstance(tensor, FakeTensor)


def _traced(one: Compiled) -> Function:
    """Return a function that runs the compiler's graphs operator by operator."""
    from radenhance.compat.compiler import traced

    module = _Module(one.part, one.modules)
    tensors = dict(module.named_parameters()) | dict(module.named_buffers())
    function = traced(partial(functional_call, module), _partition(one.mode))

    def run(*inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        result = function(tensors, inputs)
        return result if isinstance(result, Tensor) else tuple(result)

    return run


class _Module(nn.Module):
    """A part of a network as a module, whose parameters a compiler can exchange."""

    def __init__(self, part: Part, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        self.part = part
        self.modules_of_part = nn.ModuleList(modules)

    @override
    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Return the part's output."""
        return self.part(*inputs)


def _compiled(one: Compiled, device_type: str) -> Function:
    """Return a function that is compiled when it is first called.

    Raises:
        UsageError: There is no compiler for these tensors.
    """
    _refuse_without_compiler(device_type)
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(user_cache() / "compiled"))
    from radenhance.compat.compiler import COMPILER_ERRORS, compiled

    function = compiled(one.part, _partition(one.mode), one.mode)

    def run(*inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        try:
            return cast(Tensor, function(*inputs))
        except COMPILER_ERRORS as error:
            raise UsageError(
                f"{one.name} could not be compiled: {' '.join(str(error).split())[:300]}; leave "
                f"{Compilation.parameter} out"
            ) from error

    return run


def _partition(mode: CompileMode) -> Callable[..., Any]:
    from radenhance.memory.compilation.partition import least_memory, least_time

    return least_memory if mode == "auto" else least_time


def _refuse_without_compiler(device_type: str) -> None:
    if device_type == "cpu":
        name = os.environ.get("CXX", "g++")
        missing = None if shutil.which(name) else f"a C++ compiler ({name}, or what CXX names)"
    else:
        missing = None if find_spec("triton") else "Triton (the package triton)"
    if missing:
        raise UsageError(
            f"{Compilation.parameter} needs {missing}, and there is none; install it, or leave "
            f"{Compilation.parameter} out"
        )


@dataclass
class _Known:
    """What was compiled of a part. A copy of its module, which has other weights, knows nothing."""

    functions: dict[tuple[object, ...], Function] = field(default_factory=dict)
    sizes: set[torch.Size] = field(default_factory=set)

    def refuse_another_size(self, size: torch.Size) -> None:
        self.sizes.add(size)
        if len(self.sizes) > MOST_SIZES:
            raise UsageError(
                f"{Compilation.parameter} takes minutes for each size of images, and got the "
                f"{len(self.sizes)}th; give all images one size (RadiographDataModule.image_size, "
                f"RadiographDataModule.crop_size), or leave {Compilation.parameter} out"
            )

    def __reduce__(self) -> tuple[type["_Known"], tuple[()]]:
        return _Known, ()


def _known(module: nn.Module) -> _Known:
    known = vars(module).setdefault("_radenhance_compiled", _Known())
    return cast(_Known, known)
