"""Values arrive as they were sent, and what no process sends is refused before it costs memory."""

import json
import random
from collections import OrderedDict, namedtuple
from pathlib import Path

import numpy as np
import pytest
import torch
from foreign import Foreign
from saved_files import allocating_few_bytes

from radenhance.errors import RadenhanceError, UsageError
from radenhance.strategies.leaves import leaves_in
from radenhance.strategies.messages import MAX_DEPTH, MAX_MESSAGE_BYTES, decode, encode
from radenhance.strategies.tensor_meta import DTYPES, TensorMeta

MESSAGE = encode({"raw": torch.zeros(2, 3), "case": ("cat", 1, None, [0.5, Path("a/b")])}, [])


def arrived(value):
    return decode(encode(value, []))


def drawn(random, depth=4):
    """A value of any kind that may be sent."""
    leaves = [
        None,
        random.random() < 0.5,
        random.randint(-(2**70), 2**70),
        random.uniform(-1e300, 1e300),
        "".join(chr(random.choice([0, 34, 92, 233, 0x1F408])) for _ in range(4)),
        Path("folder") / str(random.random()),
    ]
    kind = random.choice("ldtxxx") if depth else "x"
    items = [drawn(random, depth - 1) for _ in range(3)] if kind != "x" else []
    if kind == "d":
        return {("key", i, str(item)): item for i, item in enumerate(items)}
    return {"l": items, "t": tuple(items), "x": random.choice(leaves)}[kind]


def test_values_arrive_with_their_types():
    for seed in range(300):
        value = drawn(random.Random(seed))
        assert repr(arrived(value)) == repr(value), seed


def test_numbers_that_json_does_not_know_arrive():
    nan, *others = arrived([float("nan"), float("inf"), -float("inf"), np.float64(0.1)])
    assert nan != nan
    assert others == [float("inf"), -float("inf"), 0.1]


@pytest.mark.parametrize("dtype", DTYPES.values())
def test_of_a_tensor_its_description_arrives_and_the_tensor_is_handed_out(dtype):
    tensor, tensors = torch.zeros(2, 0, 5, dtype=dtype), []
    assert decode(encode(OrderedDict(raw=tensor), tensors)) == {"raw": TensorMeta((2, 0, 5), dtype)}
    assert tensors[0] is tensor


def test_descriptions_are_found_in_the_order_in_which_tensors_are_handed_out():
    value = {"b": torch.zeros(1), "a": [torch.zeros(2), (torch.zeros(3), {"c": torch.zeros(4)})]}
    tensors = []
    metas = leaves_in(decode(encode(value, tensors)), TensorMeta)
    assert (
        [meta.shape for meta in metas]
        == [tensor.shape for tensor in tensors]
        == [(size,) for size in (1, 2, 3, 4)]
    )


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (print, "builtin_function_or_method cannot be sent"),
        ([{"model": Foreign}], "type cannot be sent"),
        (namedtuple("Batch", "raw")(1), "Batch cannot be sent"),
        (b"bytes", "bytes cannot be sent"),
        ({1, 2}, "set cannot be sent"),
        (np.zeros(2), "ndarray cannot be sent"),
        (torch.zeros(1, dtype=torch.uint16), "a tensor of torch.uint16 cannot be sent"),
        ("x" * MAX_MESSAGE_BYTES, "bytes cannot be sent to another process, expected at most"),
    ],
)
def test_nothing_else_is_sent(value, what):
    with pytest.raises(UsageError, match=what):
        encode(value, [])


def test_a_value_within_itself_is_not_sent():
    value = []
    value.append(value)
    with pytest.raises(UsageError, match="nested without end"):
        encode(value, [])


def tensor_of(*shape, dtype="float32"):
    return json.dumps({"tensor": [shape, dtype, False]})


HOSTILE = {
    "nothing": "",
    "no text": b"\xff\xfe\x00",
    "a pickle": b"\x80\x04\x95\x1b\x00\x00\x00cos\nsystem\n",
    "half of a message": MESSAGE[: len(MESSAGE) // 2],
    "a bare list": "[1, 2]",
    "an object of no kind": "{}",
    "an object of two kinds": '{"list": [], "tuple": []}',
    "an unknown kind": '{"object": "os.system"}',
    "a list that is a number": '{"list": 3}',
    "a list that is a text": '{"list": "text"}',
    "a dict of three": '{"dict": [[1, 2, 3]]}',
    "a dict with a dict as key": '{"dict": [[{"dict": []}, 1]]}',
    "a path that is a number": '{"path": 3}',
    "a number of many digits": "9" * 10**6,
    "brackets": "[" * 10**6,
    "lists in lists": '{"list": [' * (MAX_DEPTH + 1) + "]}" * (MAX_DEPTH + 1),
    "a tensor without a type": '{"tensor": [[1]]}',
    "a tensor of an unknown type": tensor_of(1, dtype="load"),
    "a tensor of a negative size": tensor_of(-1),
    "a tensor of half a row": tensor_of(0.5),
    "a tensor of true rows": '{"tensor": [[true], "float32", false]}',
    "a tensor of many axes": tensor_of(*[1] * 17),
    "a tensor of a terabyte": tensor_of(2**38),
    "a tensor of more than there is": tensor_of(2**62, 2**62),
    "many tensors": '{"list": [' + ",".join([tensor_of(0)] * (2**16 + 1)) + "]}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_no_process_sends_is_refused_in_one_sentence(name):
    content = HOSTILE[name]
    content = content.encode() if isinstance(content, str) else content
    with pytest.raises(RadenhanceError, match="sent what radenhance does not send: .*; start all"):
        decode(content)


def test_a_terabyte_is_refused_before_it_is_allocated():
    with allocating_few_bytes(), pytest.raises(RadenhanceError, match="1099511627776 bytes"):
        decode(HOSTILE["a tensor of a terabyte"].encode())


def test_a_mutated_message_is_read_as_plain_data_or_refused():
    refused = 0
    for seed in range(2000):
        random_ = random.Random(seed)
        content = bytearray(MESSAGE)
        for _ in range(random_.randint(1, 4)):
            content[random_.randrange(len(content))] = random_.randrange(256)
        try:
            decode(bytes(content))
        except RadenhanceError:
            refused += 1
    assert 1000 < refused < 2000
