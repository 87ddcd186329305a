"""What a plan says, as text and as JSON."""

import json

import pytest

from radenhance.planning.pipeline import PipelinePlan
from radenhance.planning.report import Answer, as_dict, as_text, breakdown_in_a_line, verdict
from radenhance.planning.search import Candidate
from radenhance.planning.step_plan import CONTEXT_BYTES, KINDS, StepPlan
from radenhance.units import MIB


def plan_of(peak_mib, host_mib=0, seconds=1.0):
    kinds = dict.fromkeys(KINDS, 0) | {"weights": 40 * MIB, "activations": (peak_mib - 40) * MIB}
    return StepPlan(
        {"forward": 60 * MIB, "backward": peak_mib * MIB, "optimizer": 50 * MIB},
        kinds,
        level=40 * MIB,
        forward_end=55 * MIB,
        forward_bytes=20 * MIB,
        backward_bytes=(peak_mib - 55) * MIB,
        host_bytes=host_mib * MIB,
        seconds=seconds,
    )


ONE = plan_of(100)
TWO = PipelinePlan("decoder1", {"encoder": ONE, "decoder": plan_of(200)}, 30, 20, 10, 0, 1)
NEEDED = 105 * MIB + CONTEXT_BYTES


def test_one_device_has_a_column_with_rises_beside_it():
    text = as_text(Answer((64, 96), ONE, None), "resnet18")
    assert text.startswith("resnet18, 64 x 96 px\n")
    assert "  forward                           60 MiB   rise 20 MiB" in text
    assert "  backward                         100 MiB   rise 45 MiB" in text
    assert "needed                           555 MiB" in text
    assert "host memory" not in text
    assert "fits" not in text


def test_two_devices_have_a_column_each_and_what_they_send():
    text = as_text(Answer((64, 64), TWO, None, network_gbit=1e-9), "resnet18")
    assert "resnet18, cut before decoder1, 64 x 64 px" in text
    assert f"{'encoder':>42}{'decoder':>12}" in text
    assert f"  backward{'100 MiB':>32}{'200 MiB':>12}" in text
    assert f"  rise in the backward phase{'45 MiB':>14}{'145 MiB':>12}" in text
    assert "480.00 s at 1e-09 Gbit/s" in text


def test_a_slow_network_is_warned_of_with_what_sends_less():
    slow = as_text(Answer((64, 64), TWO, None, network_gbit=60 * 8 / 1.5e9), "resnet18")
    assert "waiting for the network: 1500 of about 3500 ms a step (a card of 10 TFLOP/s)" in slow
    assert "--trainer.strategy.stem_on_both true" in slow
    quick = as_text(Answer((64, 64), TWO, None, network_gbit=60 * 8 / 0.9e9), "resnet18")
    assert "waiting" not in quick


def test_each_device_gets_its_verdict():
    lines = as_text(Answer((64, 64), TWO, NEEDED), "resnet18").splitlines()
    assert "the encoder fits in 555 MiB, 0 MiB to spare" in lines
    assert "the decoder does not fit in 555 MiB: 105 MiB too much" in lines


@pytest.mark.parametrize(
    ("limit", "expected"), [(NEEDED, "fits in 555 MiB"), (NEEDED - 1, "does not fit in 555 MiB")]
)
def test_a_step_fits_to_the_byte(limit, expected):
    assert verdict(ONE, limit).startswith(expected)


def test_memory_of_the_host_is_named_where_it_is_used():
    assert "waits in host memory" in as_text(Answer((64, 64), plan_of(100, host_mib=8), None), "x")


def test_a_message_names_the_largest_kinds_of_the_fuller_device():
    assert breakdown_in_a_line(ONE) == (
        "555 MiB planned: activations 60 MiB, weights and statistics 40 MiB"
    )
    assert "activations 160 MiB" in breakdown_in_a_line(TWO)


def test_json_has_bytes_of_one_device():
    plan = json.loads(json.dumps(as_dict(Answer((64, 64), ONE, NEEDED))))
    assert plan["size"] == [64, 64]
    assert plan["fits"] is True
    assert plan["needed_bytes"] == NEEDED
    assert plan["phases"]["backward"] == plan["peak_bytes"] == 100 * MIB
    assert plan["search"] == []


def test_json_has_the_same_figures_of_each_of_two_devices():
    answer = as_dict(Answer((64, 64), TWO, NEEDED))
    assert (answer["cut"], answer["sent_bytes"]) == ("decoder1", 60)
    assert answer["needed_bytes"] == answer["stages"]["decoder"]["needed_bytes"] > NEEDED
    assert [plan["fits"] for plan in answer["stages"].values()] == [True, False]
    one = as_dict(Answer((64, 64), ONE, NEEDED))
    assert answer["stages"]["encoder"].keys() == one.keys() - {"size", "limit_bytes", "search"}


def test_what_was_searched_is_a_table_with_times_and_verdicts():
    found = [
        Candidate("amp.yaml", {}, plan_of(100, seconds=2.0), False),
        Candidate("mom.yaml", {}, plan_of(300, seconds=3.0), True),
    ]
    lines = as_text(Answer((64, 64), ONE, NEEDED, found), "x").splitlines()[-3:]
    assert lines[0].split() == ["--config", "needed", "time"]
    assert lines[1].split() == ["amp.yaml", "555", "MiB", "1.00", "fits"]
    assert lines[2].endswith("1.50  does not fit, another function of the weights")
