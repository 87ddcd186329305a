"""Plans of runs whose images are divided by rows."""

import pytest

from radenhance.planning.planned_run import PlanError, PlannedRun
from radenhance.planning.report import Answer, as_dict, as_text
from radenhance.planning.step_plan import LATENCY_S, Wire

FLAGS = ["--model.encoder=tu-mobilenetv3_small_050", "--model.num_scales=auto"]
SIZE = (512, 128)


@pytest.fixture(scope="module")
def plans():
    by_rows = [*FLAGS, "--trainer.strategy=rows", "--trainer.devices=2"]
    return [PlannedRun(flags).plan(SIZE) for flags in (FLAGS, by_rows)]


def test_two_processes_need_about_half_of_the_activations_each(plans):
    assert plans[1].kinds["input"] * 2 == plans[0].kinds["input"]
    # by rows, the kernels of fused upsampling are kept, which are as large in each process
    flags = [*FLAGS, "--model.memory.fused_upsampling=false"]
    by_rows = [*flags, "--trainer.strategy=rows", "--trainer.devices=2"]
    one, two = (
        plan.peak_bytes - plan.level
        for plan in (PlannedRun(of_one).plan(SIZE) for of_one in (flags, by_rows))
    )
    assert 0.45 < two / one < 0.6


def test_a_plan_says_what_is_sent(plans):
    one, two = plans
    assert one.wire is None
    assert two.wire.num_processes == 2
    assert 0 < two.wire.rows_bytes < two.wire.sent_bytes
    answer = Answer(SIZE, two, None)
    assert "by rows over 2 processes, each sends in a step: rows" in as_text(answer, "title")
    assert as_dict(answer)["wire"]["num_messages"] == two.wire.num_messages


def test_sums_cross_the_wire_in_a_ring():
    wire = Wire(num_processes=4, rows_bytes=1000, sums_bytes=4000, num_messages=3)
    assert wire.sent_bytes == 1000 + 6000
    assert wire.seconds(0.001) == pytest.approx(7000 * 8 / 1e6 + 3 * LATENCY_S)


def test_an_image_of_too_few_rows_is_said(plans):
    run = PlannedRun([*FLAGS, "--trainer.strategy=rows", "--trainer.devices=4"])
    with pytest.raises(PlanError, match="cannot be divided by rows over 4 processes"):
        run.plan((96, 96))
