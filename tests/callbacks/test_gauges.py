"""Gauges against memory that is known to be taken."""

import resource
import time

import pytest
import torch

from radenhance.callbacks.gauges import (
    AllocatorGauge,
    ProcessGauge,
    SampledGauge,
    release_cache,
)

MIB = 2**20


def wait_until(condition):
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_peak_between_two_readings_is_seen():
    level = {"nvml_device": 10}
    num_samples = 0

    def levels():
        nonlocal num_samples
        num_samples += 1
        return dict(level)

    gauge = SampledGauge(levels, period_s=0.001)
    gauge.read()
    level["nvml_device"] = 50
    seen = num_samples
    wait_until(lambda: num_samples > seen + 1)
    level["nvml_device"] = 20
    reading = gauge.read()["nvml_device"]
    gauge.stop()
    assert (reading.level, reading.highest) == (20, 50)


def test_a_slow_source_is_read_less_often_than_its_period_says():
    def slow():
        calls.append(time.thread_time())
        time.sleep(0.01)
        return {}

    calls = []
    gauge = SampledGauge(slow, period_s=0.0001)
    time.sleep(0.3)
    gauge.stop()
    assert len(calls) == 1  # a read of 10 ms every 2 seconds


def test_a_stopped_gauge_takes_no_more_samples():
    calls = []
    gauge = SampledGauge(lambda: calls.append(0) or {}, period_s=0.001)
    gauge.stop()
    num_calls = len(calls)
    time.sleep(0.02)
    assert len(calls) == num_calls


def test_the_process_is_seen_to_take_and_to_give_back_200_mib():
    release_cache(torch.device("cpu"))  # else the block may lie in what was freed before
    gauge = ProcessGauge(period_s=0.002)
    before = gauge.read()["process_rss"]
    block = torch.ones(200 * MIB, dtype=torch.uint8)
    taken = gauge.read()["process_rss"]
    del block
    release_cache(torch.device("cpu"))
    after = gauge.read()["process_rss"]
    gauge.stop()
    assert taken.level - before.level == pytest.approx(200 * MIB, rel=0.05)
    assert taken.highest >= taken.level
    assert after.level - before.level < 20 * MIB


def test_a_record_that_no_sample_saw_comes_from_the_high_water_mark():
    release_cache(torch.device("cpu"))
    gauge = ProcessGauge(period_s=60)
    before = gauge.read()["process_rss"].level
    gauge.highest_sampled()
    highest_yet = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    block = torch.ones(highest_yet - before + 500 * MIB, dtype=torch.uint8)
    del block
    assert gauge.read()["process_rss"].highest - highest_yet > 400 * MIB
    gauge.stop()


def test_the_allocator_says_allocated_and_reserved_and_starts_a_new_peak(monkeypatch):
    stats = {
        "allocated_bytes": {"all": {"current": 3, "peak": 7}},
        "reserved_bytes": {"all": {"current": 10, "peak": 20}},
    }
    resets = []
    monkeypatch.setattr(torch.cuda, "memory_stats_as_nested_dict", lambda device: stats)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", resets.append)
    gauge = AllocatorGauge(torch.device("cuda", 1))
    readings = gauge.read()
    assert (readings["allocated"].level, readings["allocated"].highest) == (3, 7)
    assert (readings["reserved"].level, readings["reserved"].highest) == (10, 20)
    assert resets == [torch.device("cuda", 1)] * 2
