"""A tensor's description says all but the values, and crosses as plain data."""

import torch

from radenhance.strategies.tensor_meta import TensorMeta


def test_a_description_comes_back_from_plain_data():
    meta = TensorMeta((2, 3), torch.bfloat16, requires_grad=True)
    assert meta.to_json() == [[2, 3], "bfloat16", True]
    assert TensorMeta.from_json(meta.to_json()) == meta


def test_a_description_makes_a_tensor_of_its_shape_and_no_content():
    meta = TensorMeta((2, 3), torch.float16, requires_grad=True)
    made = meta.on_meta()
    assert made.device.type == "meta"
    assert TensorMeta.of(made) == meta
