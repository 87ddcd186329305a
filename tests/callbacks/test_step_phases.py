"""Phases from readings that are written down."""

from radenhance.callbacks.gauges import Reading
from radenhance.callbacks.step_phases import StepPhases


def at(level, highest, source="nvml_device"):
    return {source: Reading(level, highest)}


def phases_of(*parts, before=100, **options):
    step = StepPhases(at(before, before), **options)
    for phase, level, highest in parts:
        step.add(phase, at(level, highest))
    return {phase: value for (phase, _), value in step.figures.items()}


def test_each_phase_is_its_highest_less_the_level_that_its_definition_says():
    figures = phases_of(("forward", 160, 170), ("backward", 130, 190), ("optimizer", 110, 150))
    assert figures == {"forward": 70, "backward": 30, "optimizer": 20, "peak": 190}


def test_a_backward_phase_below_the_end_of_forward_is_0():
    assert phases_of(("forward", 200, 200), ("backward", 120, 180))["backward"] == 0


def test_accumulated_batches_are_one_step_from_the_level_before_it():
    figures = phases_of(
        ("forward", 150, 150),
        ("backward", 120, 155),
        ("optimizer", 120, 120),
        ("forward", 170, 175),  # 20 of gradients lie there now
        ("backward", 120, 200),
        ("optimizer", 105, 125),
    )
    assert figures == {"forward": 75, "backward": 30, "optimizer": 5, "peak": 200}


def test_a_source_whose_levels_mean_nothing_has_a_peak_only():
    figures = phases_of(("forward", 160, 170), peaks_only=["nvml_device"])
    assert figures == {"peak": 170}


def test_a_source_that_falls_silent_in_the_middle_keeps_what_it_said():
    step = StepPhases(at(100, 100) | at(10, 10, "allocated"))
    step.add("forward", at(150, 160) | at(20, 30, "allocated"))
    step.add("backward", at(15, 40, "allocated"))
    step.add("optimizer", at(15, 15, "allocated"))
    assert step.figures[("forward", "nvml_device")] == 60
    assert ("backward", "nvml_device") not in step.figures
    assert step.figures[("backward", "allocated")] == 20
