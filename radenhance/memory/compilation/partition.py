"""Which activations a compiled network keeps: those with which its passes need the least memory.

PyTorch's compiler sees forward and backward pass as one graph and cuts it in two. What crosses the
cut is kept; a budget, the share of it that may stay, makes it recompute cheap things such as
BatchNorm and ReLU. A smaller budget keeps less, but what is recomputed is then there at once: below
about 0.3 the highest use of a U-Net rises again (pytorch/pytorch#197838). So a few budgets
are tried, and the bytes of both graphs counted.

    budget              1.0     0.6     0.5     0.4     0.35    0.3
    kept, GiB          17.2     8.9     8.5     6.4     5.5     4.7     ResNet-34, 4096 px
    highest use, GiB   18.6    11.2    10.9    10.1    11.4    11.8
"""

from collections.abc import Sequence
from typing import Any

from torch.fx import GraphModule, Node

from radenhance.compat.compiler import Graphs, partitioned
from radenhance.compat.torch import tensors_in

BUDGETS = (0.5, 0.4, 0.3)
"""Budgets that are tried first; then one on either side of the best."""

STEP = 0.05


def least_time(joint: GraphModule, inputs: Sequence[Any], **settings: Any) -> Graphs:
    """Return the graphs of the compiler's own cut, which recomputes little.

    Args:
        joint: Graph of both passes.
        inputs: Inputs of the joint graph.
        settings: What the compiler says of the graph.
    """
    return partitioned(1.0, joint, inputs, **settings)


def least_memory(joint: GraphModule, inputs: Sequence[Any], **settings: Any) -> Graphs:
    """Return the graphs of the passes that need the least memory, of several budgets.

    Args:
        joint: Graph of both passes.
        inputs: Inputs of the joint graph.
        settings: What the compiler says of the graph.
    """
    tried: dict[float, tuple[int, Graphs]] = {}

    def try_budget(budget: float) -> None:
        if budget not in tried:
            graphs = partitioned(budget, joint, inputs, **settings)
            tried[budget] = peak_bytes(*graphs, settings["num_fwd_outputs"]), graphs

    def best() -> float:
        return min(tried, key=lambda budget: (tried[budget][0], -budget))

    for budget in BUDGETS:
        try_budget(budget)
    middle = best()
    for budget in (middle - STEP, middle + STEP):
        try_budget(round(budget, 2))
    return tried[best()][1]


def peak_bytes(forward: GraphModule, backward: GraphModule, num_outputs: int) -> int:
    """Return the most bytes that two graphs make, if each value goes after its last use.

    Weights, buffers and images are not among them; what the loss makes in between is not either.

    Args:
        forward: Graph of the forward pass, whose nodes know their fake values.
        backward: Graph of the backward pass.
        num_outputs: Number of the first graph's outputs that are not for the second.
    """
    outputs: Any = forward.graph.output_node().args[0]
    own = {node.name for node in forward.graph.nodes if node.op == "placeholder"}
    kept = {node.name for node in outputs[num_outputs:] if node is not None} - own
    made = [n for n in backward.graph.nodes if n.name in kept or n.name.startswith("tangents")]
    return max(_highest(forward, []), _highest(backward, made))


def _highest(graph: GraphModule, made: Sequence[Node]) -> int:
    """Return the most bytes of a graph's values at once; of its inputs, those of `made` count."""
    nodes = list(graph.graph.nodes)
    last_use: dict[int, int] = {}
    for index, node in enumerate(nodes):
        for used in (node, *node.all_input_nodes):
            last_use |= dict.fromkeys(_storages(used), index)
    sizes = {key: 0 for node in graph.graph.find_nodes(op="placeholder") for key in _storages(node)}
    for node in made:
        sizes |= _storages(node)
    highest = live = sum(sizes.values())
    ends: list[list[int]] = [[] for _ in nodes]
    for key, index in last_use.items():
        ends[index].append(key)
    for node, over in zip(nodes, ends, strict=True):
        new = {key: size for key, size in _storages(node).items() if key not in sizes}
        sizes |= new
        live += sum(new.values())
        highest = max(highest, live)
        live -= sum(sizes[key] for key in over)
    return highest


def _storages(node: Node) -> dict[int, int]:
    """Return the bytes of the storages of a node's value, by what tells storages apart."""
    storages = [tensor.untyped_storage() for tensor in tensors_in(node.meta.get("val"))]
    return {id(storage): storage.nbytes() for storage in storages}
