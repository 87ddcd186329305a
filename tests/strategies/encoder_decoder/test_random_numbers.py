"""Random numbers of one process go on in another; a network's do not disturb them."""

import random

import numpy as np
import pytest
import torch

from radenhance.errors import RadenhanceError
from radenhance.strategies.encoder_decoder.random_numbers import (
    OwnStream,
    random_state,
    set_random_state,
)
from radenhance.strategies.leaves import map_leaves
from radenhance.strategies.messages import encode

CPU = torch.device("cpu")


def drawn():
    return random.random(), random.gauss(), float(np.random.normal()), float(torch.rand(()))


def test_a_state_that_was_sent_gives_the_same_numbers():
    drawn()  # half of a pair of normal numbers is kept for the next time
    state = random_state(CPU)
    assert encode(state, [])
    expected = [drawn() for _ in range(3)]
    set_random_state(map_leaves(lambda leaf: leaf, state), CPU)
    assert [drawn() for _ in range(3)] == expected


@pytest.mark.parametrize("part", ["torch", "numpy", "python"])
def test_anything_else_is_refused(part):
    for wrong in (None, [], [1, torch.zeros(3), None], [torch.zeros(2)]):
        with pytest.raises(RadenhanceError, match="it is no state of random numbers"):
            set_random_state(random_state(CPU) | {part: wrong}, CPU)


def test_the_networks_numbers_are_its_own_and_go_on():
    torch.manual_seed(3)
    expected = drawn()[3:]
    torch.manual_seed(3)
    stream, other = OwnStream(CPU, 0), OwnStream(CPU, 1)
    of_network = []
    for one in (stream, stream, other):
        with one.drawn():
            of_network.append(float(torch.rand(())))
    assert drawn()[3:] == expected
    assert len({*of_network, *expected}) == 4
