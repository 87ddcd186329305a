"""What radenhance takes from PyTorch's compiler without a public name still is what it is for."""

import weakref

import pytest
import torch
from processes import run
from torch.fx.experimental.proxy_tensor import make_fx

from radenhance.compat.compiler import (
    COMPILER_ERRORS,
    compiled,
    partitioned,
    run_freeing,
    traced,
    without_modes,
)
from radenhance.compat.torch import FakeTensorMode
from radenhance.memory.footprint import Footprint


def test_a_graph_lets_go_of_inputs_and_values_after_their_last_use():
    graph = make_fx(lambda x: (x + 1).sin().sum())(torch.ones(3))
    inputs = [torch.ones(3)]
    gone = weakref.ref(inputs[0])
    assert torch.allclose(run_freeing(graph, inputs), 3 * torch.tensor(2.0).sin())
    assert inputs == []
    assert gone() is None


def test_no_mode_sees_what_runs_without_modes():
    with FakeTensorMode(), Footprint() as footprint:
        with without_modes():
            torch.empty(1024)
        assert footprint.peak_bytes == 0


def cut_with(budgets):
    """A partition that notes how many values the two graphs share, by budget."""

    def partition(joint, inputs, **settings):
        for budget in (1.0, 0.1):
            graphs = partitioned(budget, joint, inputs, **settings)
            budgets[budget] = len(graphs[0].graph.output_node().args[0])
        return graphs

    return partition


def test_a_smaller_budget_keeps_less_and_the_joint_graph_can_be_cut_again():
    kept = {}
    weight = torch.ones(8, 8, requires_grad=True)

    def function(w, x):
        for _ in range(3):
            x = (x @ w).sin().cos()
        return x

    result = traced(function, cut_with(kept))(weight, torch.ones(8, 8))
    result.sum().backward()
    ours, weight.grad = weight.grad, None
    function(weight, torch.ones(8, 8)).sum().backward()
    assert torch.allclose(ours, weight.grad)
    assert kept[0.1] < kept[1.0]


def ask_for_one_output():
    def partition(joint, inputs, **settings):
        raise ValueError(f"asked for {settings['num_fwd_outputs']} output")

    weight = torch.ones(4, requires_grad=True)
    function = compiled(lambda x: (x * weight).sin(), partition, "asked")
    with pytest.raises(COMPILER_ERRORS, match="asked for 1 output"):
        function(torch.ones(4))
    return 0


def test_the_compiler_asks_the_given_partition_and_what_goes_wrong_is_its_error(tmp_path):
    # where it fails, the compiler goes on to watch each frame of the process
    run(ask_for_one_output, folder=tmp_path / "run")
