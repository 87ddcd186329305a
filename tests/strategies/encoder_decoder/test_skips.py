"""What is sent comes back as it was, and as few bytes as it can."""

import pytest
import torch

from radenhance.errors import RadenhanceError
from radenhance.strategies.encoder_decoder.skips import BatchSpec, SkipSpec
from radenhance.strategies.messages import decode, encode
from radenhance.strategies.tensor_meta import TensorMeta


def spec_of(tensors, **options):
    return SkipSpec(tuple(TensorMeta.of(tensor) for tensor in tensors), **options)


def test_bfloat16_halves_the_bytes_of_float32_and_comes_back_as_float32():
    tensor = torch.rand(1, 4, 8, 8)
    exact, short = spec_of([tensor]), spec_of([tensor], bfloat16=True)
    assert exact.num_bytes == 2 * short.num_bytes == 4 * tensor.numel()
    (back,) = short.unpack(short.pack([tensor]))
    assert torch.equal(back, tensor.bfloat16().float())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_types_are_never_shortened(dtype):
    tensor = torch.rand(2, 3).to(dtype)
    spec = spec_of([tensor], bfloat16=True)
    (back,) = spec.unpack(spec.pack([tensor]))
    assert back.dtype == dtype
    assert torch.equal(back, tensor)


def test_tensors_without_elements_are_not_sent_and_come_back_in_their_place():
    made = [torch.rand(1, 2), torch.empty(1, 0, 4), torch.rand(1, 3)]  # as some encoders' skips
    spec = spec_of(made)
    sent = spec.pack(made)
    assert [tuple(tensor.shape) for tensor in sent] == [(1, 2), (1, 3)]
    back = spec.unpack(sent)
    assert all(torch.equal(a, b) for a, b in zip(back, made, strict=True))


def test_channels_last_is_sent_in_the_order_that_the_receiver_reads():
    tensor = torch.rand(1, 3, 4, 5).to(memory_format=torch.channels_last)
    (sent,) = spec_of([tensor]).pack([tensor])
    assert sent.is_contiguous()
    assert torch.equal(sent, tensor)


def test_frozen_layers_get_no_gradient_bytes():
    spec = spec_of([torch.rand(4, requires_grad=True), torch.rand(16)])
    assert spec.num_bytes == 4 * 20
    assert spec.num_gradient_bytes == 4 * 4


def test_the_description_of_a_batch_comes_back_from_plain_data():
    image = TensorMeta((2, 1, 64, 64), torch.float32)
    skips = SkipSpec((TensorMeta((2, 0, 64, 64), torch.float16, requires_grad=True), image), True)
    spec = BatchSpec(image, skips, 3, trains=True)
    assert BatchSpec.from_json(decode(encode(spec.to_json(), []))) == spec


IMAGE = [[1, 1, 64, 64], "float32", False]


@pytest.mark.parametrize(
    "data",
    [
        None,
        "text",
        [[], False, 1, True],
        [[IMAGE], False, 0, True],
        [[IMAGE], False, 2**40, True],
        [[IMAGE], False, "1", True],
        [[IMAGE, [[-1], "float32", False]], False, 1, True],
        [[IMAGE, [[2**40], "float32", False]], False, 1, True],
        [[IMAGE] * 2**17, False, 1, True],
        [[IMAGE], False, 1, True, "more"],
    ],
)
def test_a_description_that_no_encoder_sends_is_refused(data):
    with pytest.raises(RadenhanceError, match="sent what radenhance does not send"):
        BatchSpec.from_json(data)
