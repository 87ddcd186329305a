"""What a fit would train, planned under every optimizer, precision and encoder that it can have."""

import pytest
import torch
from narrow import NARROW

from radenhance.planning.planned_run import PlanError, PlannedRun, num_devices, reason
from radenhance.planning.training_step import TrainingStep

TINY = [f"--model.encoder={NARROW}", "--model.num_scales=auto"]
SIZE = (64, 64)
OPTIMIZERS = "Adam AdamW SGD Adafactor ASGD RMSprop NAdam RAdam Adamax Rprop Adadelta Adagrad"
FAMILIES = "mit_b0 tu-convnext_atto tu-pvt_v2_b0 tu-fastvit_t8 tu-mobilevit_xxs efficientnet-b0"


@pytest.mark.parametrize("name", OPTIMIZERS.split())
def test_the_state_of_an_optimizer_has_its_real_bytes(name):
    run = PlannedRun([*TINY, f"--model.optimizer=torch.optim.{name}"])
    step = run.step()
    step.make_gradients()
    step.optimize()
    state = [value for of_one in step._optimizer.state.values() for value in of_one.values()]
    num_bytes = sum(value.nbytes for value in state if isinstance(value, torch.Tensor))
    weights = sum(tensor.nbytes for tensor in step.weights())
    images = sum(t.nbytes for t in run.batch(SIZE).values() if isinstance(t, torch.Tensor))
    assert run.plan(SIZE).level == weights + num_bytes + images


@pytest.mark.parametrize("name", ["LBFGS", "SparseAdam", "Muon"])
def test_an_optimizer_that_cannot_be_planned_is_one_line(name):
    with pytest.raises(PlanError) as refused:
        PlannedRun([*TINY, f"--model.optimizer=torch.optim.{name}"]).plan(SIZE)
    assert str(refused.value).startswith("64 x 64 px could not be planned: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("precision", "size"),
    [("16-mixed", 4), ("bf16-mixed", 4), ("16-true", 2), ("bf16-true", 2), ("64-true", 8)],
)
def test_a_precision_stores_weights_in_its_type(precision, size):
    # so that the peak is in the backward pass, where gradients are
    plain = "--model.memory.fused_upsampling=false"
    run = PlannedRun([*TINY, plain, f"--trainer.precision={precision}"])
    plan = run.plan(SIZE)
    weights = sum(size * p.numel() for p in run.real_module.parameters())
    assert plan.kinds["gradients"] > 0
    assert plan.kinds["weights"] == pytest.approx(weights, rel=0.01)
    assert plan.kinds["optimizer"] > weights


@pytest.mark.parametrize("encoder", FAMILIES.split())
def test_encoders_that_read_numbers_while_they_are_built_are_planned(encoder):
    run = PlannedRun([f"--model.encoder={encoder}", "--model.num_scales=auto"])
    plan = run.plan(SIZE)
    assert plan.kinds["weights"] == sum(
        tensor.nbytes for tensor in TrainingStep(run.real_module, None).weights()
    )
    assert plan.phases["forward"] > plan.level


def test_an_encoder_that_refuses_a_size_says_so_in_one_line():
    flags = ["--model.encoder=tu-maxvit_pico_rw_256", "--model.num_scales=auto"]
    with pytest.raises(PlanError, match=r"could not be planned: .*height \(4\) must"):
        PlannedRun(flags).plan(SIZE)


def test_two_plans_of_a_run_are_equal_and_its_module_is_made_once():
    run = PlannedRun(TINY)
    first, module = run.plan(SIZE), run.real_module
    assert run.plan(SIZE) == first
    assert run.real_module is module


def test_a_plan_leaves_no_values_and_no_process_group_behind():
    run = PlannedRun([*TINY, "--trainer.strategy=fsdp", "--trainer.num_nodes=2"])
    before = {name: t.clone() for name, t in run.real_module.state_dict().items()}
    run.plan(SIZE)
    assert not torch.distributed.is_initialized()
    assert all(torch.equal(t, before[name]) for name, t in run.real_module.state_dict().items())
    assert type(torch.rand(1)) is torch.Tensor


@pytest.mark.parametrize(
    ("devices", "num"),
    [(2, 2), ("2", 2), ([0, 3], 2), ("0,3", 2), ("1,", 1), ("auto", 1), (-1, 1)],
)
def test_devices_are_counted_as_lightning_counts_them(monkeypatch, devices, num):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert num_devices(devices) == num


def test_all_devices_of_this_machine_are_meant_by_auto(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert num_devices("auto") == num_devices("-1") == 3


def test_a_reason_is_one_line_and_names_the_kind_of_error():
    assert reason(ValueError("first\n  second")) == "ValueError: first second"
    assert reason(PlanError("as it is")) == "as it is"
    assert reason(KeyError()) == "KeyError: no reason given"


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        (["--trainer.strategy=encoder_decoder"], "encoder_decoder"),
        (["--trainer.strategy=fsdp"], "fully_sharded"),
        (["--trainer.strategy=radenhance.strategies.FullyShardedStrategy"], "fully_sharded"),
        (["--trainer.num_nodes=2", "--trainer.devices=1"], "encoder_decoder"),
        (["--trainer.strategy=ddp"], None),
        ([], None),
    ],
)
def test_a_strategy_of_ours_is_known_by_any_of_its_names(flags, name):
    strategy = PlannedRun([*TINY, *flags]).strategy()
    assert (strategy and strategy.strategy_name) == name


def test_a_strategys_own_options_reach_it():
    path = "--trainer.strategy=radenhance.strategies.EncoderDecoderStrategy"
    strategy = PlannedRun([*TINY, path, "--trainer.strategy.micro_batch_size=3"]).strategy()
    assert strategy.options.micro_batch_size == 3
