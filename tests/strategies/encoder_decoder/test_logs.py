"""What micro-batches log is what one step logs, in either process."""

import pytest
import torch
from foreign import Foreign
from torchmetrics import MeanMetric

from radenhance.errors import RadenhanceError, UsageError
from radenhance.strategies.encoder_decoder.logs import capture_logs, combined, log_all
from radenhance.strategies.messages import encode


def captured(*steps):
    module = Foreign()
    with capture_logs(module) as entries:
        for step in steps:
            step(module)
    return module, entries


def test_what_is_logged_in_the_block_is_kept_and_nothing_after_it():
    module, entries = captured(lambda m: m.log("loss", torch.tensor(1.0), prog_bar=True))
    assert entries == [("loss", 1.0, {"prog_bar": True})]
    assert module.log.__func__ is type(module).log


def test_log_is_restored_where_the_step_fails():
    module = Foreign()
    with pytest.raises(ValueError, match="of the step"), capture_logs(module):
        raise ValueError("of the step")
    assert "log" not in vars(module)


def test_a_logged_loss_keeps_no_graph_alive():
    loss = torch.rand(1, requires_grad=True).sum()
    _, entries = captured(lambda m: m.log("loss", loss))
    assert not entries[0][1].requires_grad


@pytest.mark.parametrize(
    ("reduce_fx", "expected"),
    [("mean", 2), ("sum", 6), (torch.min, 1), ("max", 3), (torch.mean, 2), (torch.sum, 6)],
)
def test_values_of_micro_batches_are_reduced_as_lightning_reduces_steps(reduce_fx, expected):
    module, entries = captured(
        *(lambda m, v=v: m.log("x", torch.tensor(v), reduce_fx=reduce_fx) for v in (1.0, 2.0, 3.0))
    )
    ((name, value, _),) = combined(entries, module)
    assert (name, value) == ("x", expected)


def test_the_weight_of_a_batch_is_that_of_its_micro_batches_together():
    module, entries = captured(*(lambda m, n=n: m.log("x", 1.0, batch_size=n) for n in (2, 3)))
    ((_, _, options),) = combined(entries, module)
    assert options["batch_size"] == 5


def test_another_reduction_is_refused_by_name():
    module, entries = captured(lambda m: m.log("x", 1.0, reduce_fx=torch.median))
    with pytest.raises(UsageError, match="x is logged with reduce_fx=.*expected mean, sum"):
        combined(entries, module)


def test_a_metric_is_logged_by_the_other_process_as_its_own():
    here, entries = captured(lambda m: m.log("accuracy", m.accuracy))
    there = Foreign()
    logged = []
    there.log = lambda name, value, **_: logged.append((name, value))
    log_all(combined(entries, here), there)
    assert logged == [("accuracy", there.accuracy)]


def test_a_metric_that_is_made_in_the_step_is_refused():
    module, entries = captured(lambda m: m.log("loss", MeanMetric()))
    with pytest.raises(UsageError, match="loss is logged as a MeanMetric that is no attribute of"):
        combined(entries, module)


def test_what_is_logged_can_be_sent():
    module, entries = captured(
        lambda m: m.accuracy.update(torch.tensor([1.0, 0.0])),
        lambda m: m.log("accuracy", m.accuracy, reduce_fx=torch.median),
        lambda m: m.log("x", 1.0, reduce_fx=torch.max, batch_size=2),
    )
    ((_, state, of_metric), (_, value, of_number)) = combined(entries, module)
    assert (of_metric["reduce_fx"], of_number["reduce_fx"], value) == ("mean", "max", 1.0)
    assert encode([state, of_metric, of_number], [])


@pytest.mark.parametrize("named", ["net", "nothing", "__class__", "accuracy.compute"])
def test_nothing_but_a_metric_is_found_by_a_name_from_elsewhere(named):
    with pytest.raises(RadenhanceError, match="does not send: the name of no metric"):
        log_all([("accuracy", {"metric": named}, {})], Foreign())
