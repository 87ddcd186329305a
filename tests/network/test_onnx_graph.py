import onnxruntime
import pytest
import torch

from radenhance.network.onnx_graph import exported


class Halves(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = torch.nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, image):
        halved = torch.nn.functional.max_pool2d(self.convolution(image), 2)
        return torch.nn.functional.interpolate(halved, scale_factor=2.0, mode="nearest")


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return Halves().eval()


@pytest.fixture(scope="module")
def model(network):
    return exported(network)


def test_the_graph_computes_the_same_at_any_size(network, model):
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (name,) = (one.name for one in session.get_inputs())
    for rows, columns in ((64, 96), (32, 160)):
        image = torch.rand(1, 1, rows, columns)
        with torch.no_grad():
            expected = network(image)
        (found,) = session.run(None, {name: image.numpy()})
        assert torch.allclose(torch.from_numpy(found), expected, atol=1e-6)


def test_the_graph_names_no_file_and_no_line_of_code(model):
    content = model.SerializeToString()
    assert not any(trace in content for trace in (b"File ", b".py", b"self.convolution"))
    assert all(not node.metadata_props for node in model.graph.node)
