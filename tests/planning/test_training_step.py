"""The step that is planned is the step that `fit` runs."""

import pytest
import torch
from foreign import trainer
from lightning.pytorch.plugins import DoublePrecision, HalfPrecision, Precision
from torch.utils.data import DataLoader

from radenhance.enhancer import ContrastEnhancer
from radenhance.errors import UsageError
from radenhance.planning.training_step import TrainingStep

ENCODER = "tu-mobilenetv3_small_050"


def module_of(optimizer=torch.optim.Adam):
    torch.manual_seed(0)
    return ContrastEnhancer(ENCODER, num_scales="auto", optimizer=lambda p: optimizer(p, lr=0.01))


def batch_of(num=2):
    generator = torch.Generator().manual_seed(1)
    raw, target = torch.rand(2, num, 1, 64, 64, generator=generator)
    return {"raw": raw, "target": target, "case": ["noise"] * num}


def test_its_weights_are_those_of_a_fit_to_the_bit():
    module, expected = module_of(), module_of()
    TrainingStep(module, Precision())(batch_of())
    images = [{"raw": r, "target": t, "case": "x"} for r, t in zip(*_images(), strict=True)]
    trainer({}, max_steps=1, limit_val_batches=0).fit(expected, DataLoader(images, 2))
    for name, tensor in expected.state_dict().items():
        assert torch.equal(module.state_dict()[name], tensor), name


def _images():
    batch = batch_of()
    return batch["raw"], batch["target"]


@pytest.mark.parametrize(("accumulates", "kept"), [(False, 0), (True, 1)])
def test_gradients_stay_where_more_batches_follow(accumulates, kept):
    step = TrainingStep(module_of(), Precision(), accumulates=accumulates)
    step(batch_of())
    with_gradient = [p for p in step.module.parameters() if p.grad is not None]
    assert bool(with_gradient) == bool(kept)


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [(HalfPrecision("bf16-true"), torch.bfloat16), (DoublePrecision(), torch.float64)],
)
def test_images_have_the_type_of_the_weights(precision, dtype):
    module = module_of()
    precision.convert_module(module)
    batch = TrainingStep(module, precision).converted(batch_of())
    assert batch["raw"].dtype == dtype == next(module.parameters()).dtype
    assert batch["case"] == ["noise"] * 2


def test_phases_end_in_their_order():
    heard = []
    step = TrainingStep(module_of(), Precision())
    step.pass_forth_and_back(batch_of(), heard.append)
    assert heard == ["forward"]
    assert all(p.grad is not None for p in step.module.parameters())


def test_averages_are_as_many_copies_and_buckets_as_large_as_gradients():
    step = TrainingStep(module_of(), Precision(), num_averages=2, has_buckets=True)
    weights = sum(tensor.nbytes for tensor in step.weights())
    trained = sum(p.nbytes for p in step.module.parameters())
    assert sum(tensor.nbytes for tensor in step.averages()) == 2 * weights
    assert sum(tensor.nbytes for tensor in step.buckets()) == trained
    plain = TrainingStep(module_of(), Precision())
    assert plain.averages() == plain.buckets() == []


def test_an_optimizer_that_repeats_the_step_is_refused():
    with pytest.raises(UsageError, match="LBFGS repeats a step as often as the data ask for"):
        TrainingStep(module_of(torch.optim.LBFGS), Precision())
