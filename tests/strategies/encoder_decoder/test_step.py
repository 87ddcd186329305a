"""What a module's step may return, and what becomes of it, where nothing is really sent."""

import pytest
import torch
import torch.distributed as dist
from foreign import Foreign
from lightning.pytorch.plugins import Precision

from radenhance.compat.fake_process_group import fake_processes
from radenhance.errors import ImageSizeError, UsageError
from radenhance.strategies.encoder_decoder.groups import GROUP_RANK
from radenhance.strategies.encoder_decoder.network_split import NetworkSplit
from radenhance.strategies.encoder_decoder.options import PipelineOptions
from radenhance.strategies.encoder_decoder.rehearsal import DEVICE, LoopbackPeers
from radenhance.strategies.encoder_decoder.step import SharedStep
from radenhance.strategies.protocol import ignore_phase


class Peers(LoopbackPeers):
    """The decoder's, who knows the spec and keeps its own results."""

    def broadcast(self, value, *, source):
        return value if source == GROUP_RANK["decoder"] else self.specs[-1].to_json()


@pytest.fixture
def alone():
    with fake_processes(GROUP_RANK["decoder"], 2):
        yield


def step_of(module, **options):
    peers = Peers(dist.group.WORLD, DEVICE)
    step = SharedStep(
        module,
        NetworkSplit(module),
        "decoder",
        peers,
        options=PipelineOptions(**options),
        precision=Precision(),
        pre_backward=lambda loss: loss,
        phase_ended=ignore_phase,
    )
    return step, peers


def images(num, size=64):
    return torch.rand(num, 1, size, size), torch.zeros(num, size, size, dtype=torch.long)


def with_spec(step, peers, hook, batch, size, *, trains):
    """Let the decoder know what the encoder would tell it."""
    parts = [tuple(tensor[i : i + size] for tensor in batch) for i in range(0, len(batch[0]), size)]
    spec, _ = step._spec(step._steps(hook, parts, [0]), trains=trains)
    peers.specs.append(spec)


def test_the_loss_of_each_micro_batch_is_found_in_a_dict_too(alone):
    module = Foreign()
    # what arrives has no value here
    module.training_step = lambda batch, _: {
        "loss": (0 * module(batch[0])).nan_to_num().sum() + len(batch[0])
    }
    step, peers = step_of(module, micro_batch_size=2)
    batch = images(4)
    with_spec(step, peers, "training_step", batch, 2, trains=True)
    assert step.pass_forth_and_back(batch, 0) == [2, 2]


def test_gradients_of_an_accumulation_are_averaged(alone):
    module = Foreign()
    bias = module.net.segmentation_head[0].bias
    module.training_step = lambda batch, _: module(batch[0]).sum()
    step, peers = step_of(module)
    batch = images(2)
    with_spec(step, peers, "training_step", batch, 1, trains=True)
    step.pass_forth_and_back(batch, 0)
    alone_gradient, bias.grad = bias.grad.clone(), None
    assert torch.allclose(alone_gradient, torch.tensor(64.0**2))  # the mean of two images
    step.pass_forth_and_back(batch, 0, num_accumulated=4)
    assert torch.allclose(bias.grad, alone_gradient / 4)


def test_a_step_without_a_loss_is_refused(alone):
    module = Foreign()
    module.training_step = lambda batch, _: (module(batch[0]), None)[1]
    step, peers = step_of(module)
    batch = images(1)
    with_spec(step, peers, "training_step", batch, 1, trains=True)
    with pytest.raises(UsageError, match="training_step returned NoneType, expected a loss"):
        step.pass_forth_and_back(batch, 0)


def test_predictions_of_micro_batches_come_back_as_one_batch(alone):
    module = Foreign()
    step, peers = step_of(module, micro_batch_size=2)
    batch = images(4)
    with_spec(step, peers, "predict_step", batch, 2, trains=False)
    step._log = lambda entries: None
    assert step.evaluate("predict_step", batch, 0).shape == (4, 2, 64, 64)


def test_a_last_batch_that_does_not_divide_is_evaluated_in_smaller_parts(alone):
    module = Foreign()
    step, peers = step_of(module, micro_batch_size=2)
    batch = images(3)
    with_spec(step, peers, "predict_step", batch, 1, trains=False)
    step._log = lambda entries: None
    assert len(step.evaluate("predict_step", batch, 0)) == 3


def test_images_of_different_sizes_are_refused(alone):
    module = Foreign()
    step, _ = step_of(module)
    steps = [lambda size=size: module(images(1, size)[0]) for size in (32, 64)]
    with pytest.raises(ImageSizeError, match=r"differ in size; use .*batch_size=1"):
        step._spec(steps, trains=True)


def test_layers_that_are_trained_before_the_network_are_refused(alone):
    module = Foreign()
    before = torch.nn.Conv2d(1, 1, 1)
    step, _ = step_of(module)
    steps = [lambda: module(before(images(1)[0]))]
    with pytest.raises(UsageError, match="freeze the layers before the network, or move them"):
        step._spec(steps, trains=True)


def test_what_is_trained_may_change_between_steps(alone):
    module = Foreign()
    step, _ = step_of(module)
    batch = images(1)
    module.net.encoder.requires_grad_(False)
    assert step.spec_of(batch, 0).skips.num_gradient_bytes == 0
    module.net.encoder.requires_grad_(True)
    assert step.spec_of(batch, 0).skips.num_gradient_bytes > 0
