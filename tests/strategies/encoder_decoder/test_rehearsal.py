"""A stage runs alone what it runs in a fit: the same phases, tensors and refusals."""

import pytest
import torch
import torch.distributed as dist
from foreign import Foreign
from lightning.pytorch.plugins import Precision

from radenhance.errors import ParameterError, UsageError
from radenhance.planning.fake_module import fake_copy, fake_mode
from radenhance.strategies import EncoderDecoderStrategy, FullyShardedStrategy
from radenhance.strategies.protocol import RehearsedRun, ignore_phase


@pytest.fixture(scope="module")
def module():
    return Foreign()


def batch_of(num):
    return torch.rand(num, 1, 64, 64), torch.zeros(num, 64, 64, dtype=torch.long)


def run_of(module, num, **options):
    mode = fake_mode()
    copy = fake_copy(module, mode)
    with mode:
        return RehearsedRun(copy, batch_of(num), mode, Precision(), **options)


def phases(module, strategy, stage, num):
    """Return the phases of a step of `num` images, the last one too."""
    run, heard = run_of(module, num), []
    with strategy.rehearse(run, stage) as passes, run.mode:
        passes.run(run.batch, heard.append)
    return [*heard, "backward"]


@pytest.mark.parametrize(
    ("schedule", "num", "of_decoder", "of_encoder"),
    [
        ("gpipe", 4, 1, 1),
        ("1f1b", 4, 4, 3),  # two micro-batches before the first gradient
        ("auto", 4, 4, 3),
        ("auto", 1, 1, 1),  # too few to alternate
    ],
)
def test_phases_alternate_as_in_a_fit(module, schedule, num, of_decoder, of_encoder):
    strategy = EncoderDecoderStrategy(schedule=schedule)
    both = ["forward", "backward"]
    assert phases(module, strategy, "decoder", num) == both * of_decoder
    assert phases(module, strategy, "encoder", num) == both * of_encoder


def test_every_tensor_is_on_one_device_and_what_is_outside_the_network_on_both(module):
    of_stage = {}
    for stage in EncoderDecoderStrategy.stages:
        run = run_of(module, 1)
        with EncoderDecoderStrategy().rehearse(run, stage) as passes:
            here = {id(tensor) for tensor in passes.tensors()}
        of_stage[stage] = {
            name for name, t in run.module.state_dict(keep_vars=True).items() if id(t) in here
        }
    everything = set(module.state_dict())
    assert of_stage["encoder"] | of_stage["decoder"] == everything
    shared = of_stage["encoder"] & of_stage["decoder"]
    assert not any(name.startswith("net.") for name in shared)


@pytest.mark.parametrize("stage", EncoderDecoderStrategy.stages)
def test_a_stage_leaves_gradients_of_its_own_parameters_alone(module, stage):
    run = run_of(module, 2)
    with EncoderDecoderStrategy().rehearse(run, stage) as passes, run.mode:
        passes.run(run.batch, ignore_phase)
        own = {id(tensor) for tensor in passes.tensors()}
    for name, parameter in run.module.named_parameters():
        assert (parameter.grad is not None) == (id(parameter) in own), name


def test_the_spec_says_what_is_sent(module):
    run = run_of(module, 6)
    strategy = EncoderDecoderStrategy(micro_batch_size=3, bfloat16_transfer=True)
    with strategy.rehearse(run, "decoder") as passes:
        assert passes.spec.num_micro_batches == 2
        assert passes.spec.trains
        assert passes.spec.image.shape == (3, 1, 64, 64)
        assert {meta.dtype for meta in passes.spec.skips.sent} == {torch.bfloat16}


@pytest.mark.parametrize("stage", EncoderDecoderStrategy.stages)
def test_a_batch_that_a_fit_refuses_is_refused(module, stage):
    strategy = EncoderDecoderStrategy(micro_batch_size=2)
    with (
        pytest.raises(UsageError, match="a batch of 3 images cannot be divided"),
        strategy.rehearse(run_of(module, 3), stage),
    ):
        pass
    assert not dist.is_initialized()


def test_a_cut_that_nobody_has_chosen_is_refused(module):
    strategy = EncoderDecoderStrategy(cut="auto")
    with (
        pytest.raises(ParameterError, match="expected the name of a stage"),
        strategy.rehearse(run_of(module, 1), "encoder"),
    ):
        pass


def test_another_cut_keeps_the_other_options():
    moved = EncoderDecoderStrategy(micro_batch_size=2, schedule="gpipe").cut_before("decoder2")
    assert (moved.options.cut, moved.options.micro_batch_size) == ("decoder2", 2)
    assert moved.options.schedule == "gpipe"


def test_a_sharded_network_runs_alone_too(module):
    run, heard = run_of(module, 2, num_processes=4), []
    with FullyShardedStrategy().rehearse(run, None) as passes, run.mode:
        passes.run(run.batch, heard.append)
        local = sum(p.to_local().numel() for p in passes.tensors() if p.requires_grad)
    assert heard == ["forward"]
    whole = sum(p.numel() for p in module.parameters())
    assert whole / 4 <= local < whole / 4 * 1.02  # rows are rounded up
