"""What PyTorch's compiler has no public name for: how a joint graph is cut in two.

Imported by who compiles alone: the compiler takes seconds to import.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from copy import deepcopy
from inspect import getfile
from typing import Any, cast

import torch
from functorch.compile import (  # type: ignore[import-untyped]
    aot_function,
    min_cut_rematerialization_partition,
)

# No public name: DDP would have the graph cut along its buckets.
from torch._dynamo import config as dynamo_config
from torch._dynamo.exc import TorchDynamoException
from torch._functorch import config as functorch_config

# No public name: its decompositions need it, and do not import it.
from torch._inductor import lowering as _lowering  # noqa: F401

# No public name: the option of `torch.compile` takes an instance of this class.
from torch._inductor.custom_graph_pass import CustomPartitionerFn, get_hash_for_files
from torch._inductor.decomposition import select_decomp_table
from torch.fx import GraphModule, Interpreter

# No public name: a graph is traced beside the modes that count what runs.
from torch.utils._python_dispatch import _disable_current_modes
from typing_extensions import override

COMPILER_ERRORS: tuple[type[Exception], ...] = (TorchDynamoException,)
"""What goes wrong in the compiler, and not in what it compiled."""

Graphs = tuple[GraphModule, GraphModule]
Partition = Callable[..., Graphs]
"""Takes a joint graph, its inputs and settings; gives the graphs of the two passes."""


def partitioned(
    budget: float, joint: GraphModule, inputs: Sequence[Any], **settings: Any
) -> Graphs:
    """Return the graphs of the forward and the backward pass; the joint one stays as it is.

    Args:
        budget: Share of the activations that may be kept, in (0, 1], of those that would be.
        joint: Graph of both passes.
        inputs: Inputs of the joint graph.
        settings: What the compiler says of the graph.
    """
    # The budget is an option of the process alone.
    with functorch_config.patch(activation_memory_budget=budget):
        return cast(
            Graphs, min_cut_rematerialization_partition(deepcopy(joint), inputs, **settings)
        )


def without_modes() -> AbstractContextManager[None]:
    """Return a context in which no dispatch mode sees what runs."""
    return cast(AbstractContextManager[None], _disable_current_modes())


def run_freeing(graph: GraphModule, inputs: list[Any]) -> Any:
    """Run a graph, and let go of each value after its last use.

    Args:
        graph: The graph.
        inputs: Its inputs; the list is emptied, so that they can be let go of too.
    """
    return Interpreter(graph).boxed_run(inputs)


def traced(function: Callable[..., Any], partition: Partition) -> Callable[..., Any]:
    """Return a function that runs the graphs of the compiler operator by operator.

    It is the compiler's twin without its kernels, for fake tensors, and where there is no compiler.
    It is of one shape and one state of the process.

    Args:
        function: Function of tensors and dicts of them, all that it uses.
        partition: How the joint graph is cut.
    """

    def operator_by_operator(graph: GraphModule, inputs: Sequence[Any]) -> Callable[..., Any]:
        def run(arguments: list[Any]) -> Any:
            return run_freeing(graph, arguments)

        run._boxed_call = True  # type: ignore[attr-defined]
        return run

    return cast(
        Callable[..., Any],
        aot_function(
            function,
            fw_compiler=operator_by_operator,
            bw_compiler=operator_by_operator,
            partition_fn=partition,
            decompositions=select_decomp_table(),
        ),
    )


class _Partitioner(CustomPartitionerFn):
    def __init__(self, partition: Partition, name: str) -> None:
        self._partition = partition
        self._uuid = name, get_hash_for_files((__file__, getfile(partition)))

    @override
    def __call__(self, gm: GraphModule, joint_inputs: Sequence[Any], **kwargs: Any) -> Graphs:
        return self._partition(gm, joint_inputs, **kwargs)

    @override
    def uuid(self) -> Any:
        return self._uuid


def compiled(part: Callable[..., Any], partition: Partition, name: str) -> Callable[..., Any]:
    """Return a function that `torch.compile` turns into kernels as a whole, when first called.

    What was compiled is found again on disk, also by another process.

    Args:
        part: Function of tensors.
        partition: Function that cuts the joint graph, and depends on no other file of ours.
        name: What tells it apart from others in its file.
    """

    def run(*inputs: Any) -> Any:
        return part(*inputs)

    # the compiler keeps what it made, and counts how often, by the code of a function
    run.__code__ = run.__code__.replace()
    options: Any = {"custom_partitioner_fn": _Partitioner(partition, name)}
    result = torch.compile(run, fullgraph=True, dynamic=False, options=options)

    def run_compiled(*inputs: Any) -> Any:
        with dynamo_config.patch(optimize_ddp=False):
            return result(*inputs)

    return run_compiled
