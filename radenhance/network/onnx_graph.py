"""A network as a graph in ONNX, and nothing of the machine on which it was made.

The exporter notes at each operation where it came from: the names of the program's files, which lie
in somebody's home folder, and lines of their code. A model is passed on, so they are left out.
"""

import onnx
import torch
from torch import nn

from radenhance.network.unet import DEEPEST_STRIDE


def exported(network: nn.Module) -> onnx.ModelProto:
    """Return the graph of a network from an image to an image.

    Args:
        network: Takes shape (1, 1, H, W), both sides multiples of 32, and gives the same shape; on
            the CPU, in evaluation.

    Returns:
        The model, whose only input and output have any numbers of rows and columns.
    """
    side = torch.export.Dim.DYNAMIC
    example = torch.zeros(1, 1, 2 * DEEPEST_STRIDE, 3 * DEEPEST_STRIDE)
    with torch.no_grad():
        program = torch.onnx.export(
            network, (example,), dynamo=True, dynamic_shapes=({2: side, 3: side},), verbose=False
        )
    assert program is not None
    model = program.model_proto
    graph = model.graph
    for noted in (graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        del noted.metadata_props[:]
        noted.doc_string = ""
    del graph.value_info[:], model.metadata_props[:]
    return model
