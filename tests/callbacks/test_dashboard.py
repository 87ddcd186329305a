"""What a run writes for TensorBoard, read back with TensorBoard's own reader."""

import json
import re
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from radenhance import metric_names
from radenhance.callbacks.dashboard import (
    GPU_SOURCES,
    SHORT,
    SHOWN_FIRST,
    card,
    in_short,
    layout,
    row,
)
from radenhance.cli import main
from radenhance.memory.techniques import MemoryTechniques
from radenhance.planning.advice import plan_of
from radenhance.planning.planned_run import PlannedRun


@pytest.fixture
def run(tiny_flags):
    """The events of a run of two epochs."""
    flags = ["--model.memory.checkpointing=unit", "--config=quickstart.yaml", *tiny_flags]
    assert main(["fit", *flags, "--trainer.max_epochs=2", "--trainer.log_every_n_steps=1"]) == 0
    events = EventAccumulator("lightning_logs/quickstart_64_0", size_guidance={"images": 0})
    return events.Reload()


def hparams_of(events, tag):
    return HParamsPluginData.FromString(events.PluginTagToContent("hparams")[tag])


def test_every_chart_of_the_pages_has_a_curve(run):
    text = run.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0]
    pages = {page.title: page.chart for page in Layout.FromString(text).category}
    assert list(pages) == ["Memory", "Loss"]
    for chart in (*pages["Memory"], *pages["Loss"]):
        patterns = [re.compile(pattern) for pattern in chart.multiline.tag]
        curves = [t for t in run.Tags()["scalars"] for p in patterns if p.match(t)]
        assert curves, chart.title
        assert all(len(run.Scalars(curve)) == 2 for curve in curves if "peak" not in curve)


def test_the_baseline_is_a_line_at_one_height(run):
    points = run.Scalars(metric_names.IDENTITY_MS_SSIM)
    assert [point.step for point in points] == [
        p.step for p in run.Scalars(metric_names.VAL_MS_SSIM)
    ]
    assert len({point.value for point in points}) == 1


def test_the_table_compares_techniques_by_figures_that_are_logged(run):
    flags = hparams_of(run, "_hparams_/session_start_info").session_start_info.hparams
    assert flags["recipe"].string_value == "quickstart"
    assert flags["techniques"].string_value == "chkp"
    assert flags["memory.checkpointing"].string_value == "unit"
    assert flags["data.image_size"].number_value == 64
    assert flags["trainer.precision"].string_value
    columns = hparams_of(run, "_hparams_/experiment").experiment.metric_infos
    names = [column.name.tag for column in columns]
    assert {metric_names.VAL_LOSS, "memory/run_peak_mib/process_rss", metric_names.EPOCH_S} <= set(
        names[:5]
    )
    assert set(names[:5]) <= set(run.Tags()["scalars"])


def test_the_table_shows_five_flags_before_all_others(run):
    infos = hparams_of(run, "_hparams_/experiment").experiment.hparam_infos
    assert {info.name for info in infos if info.differs} == set(SHOWN_FIRST)


def test_times_are_logged_and_a_step_takes_no_longer_than_its_epoch(run):
    assert len(run.Scalars(metric_names.STEP_S)) == 6
    assert len(run.Scalars(metric_names.EPOCH_S)) == 2
    for epoch, point in enumerate(run.Scalars(metric_names.EPOCH_S)):
        steps = [step.value for step in run.Scalars(metric_names.STEP_S)][3 * epoch : 3 * epoch + 3]
        assert 0 < sum(steps) < point.value


def test_the_best_and_the_worst_image_of_each_epoch_are_there(run):
    for name in ("validation/best", "validation/worst"):
        assert len(run.Images(name)) == 2


def test_the_card_has_command_versions_and_plan():
    text = card("radenhance fit", torch.device("cpu"), plan="It fits.")
    assert "radenhance fit" in text
    assert torch.__version__ in text
    assert text.endswith("It fits.")


def test_a_run_on_two_stages_has_a_chart_for_each():
    charts = layout(["decoder", "encoder"], GPU_SOURCES)["Memory"]
    (patterns,) = [chart[1] for title, chart in charts.items() if title.startswith("peak of enc")]
    wanted = metric_names.memory(metric_names.PEAK, metric_names.NVML_DEVICE, "encoder")
    assert any(re.match(pattern, wanted) for pattern in patterns)
    assert not any(
        re.match(p, metric_names.memory(metric_names.PEAK, metric_names.NVML_DEVICE))
        for p in patterns
    )


def test_a_run_without_a_gpu_shows_what_its_step_would_take_on_one(tiny_flags):
    flags = [*tiny_flags, "--trainer.max_epochs=2", "--memory_profiler.plan=true"]
    assert main(["fit", *flags]) == 0
    folder = Path("lightning_logs/fit_64_0")
    run = EventAccumulator(str(folder)).Reload()
    planned = plan_of(PlannedRun(flags), (64, 64))
    for phase, expected in (
        (metric_names.FORWARD, planned.forward_bytes),
        (metric_names.BACKWARD, planned.backward_bytes),
        (metric_names.PEAK, planned.peak_bytes),
    ):
        points = run.Scalars(metric_names.memory(phase, metric_names.PLANNED))
        assert [point.value for point in points] == pytest.approx([expected / 2**20] * 2)
    assert not any("process_rss" in name for name in run.Tags()["scalars"])
    report = json.loads((folder / "run.json").read_text())
    assert report["peak_mib"] == {metric_names.PLANNED: planned.peak_bytes / 2**20}
    text = run.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0]
    (memory, _) = Layout.FromString(text).category
    assert [chart.title for chart in memory.chart] == [
        "forward, MiB (planned)",
        "backward, MiB (planned)",
        "peak, MiB (planned)",
    ]


def test_three_techniques_have_room_in_a_column_of_the_table():
    assert {*SHORT} == {*vars(MemoryTechniques())}
    text = "checkpointing unit, offload_mib 64, band_rows 16"
    assert in_short(text) == "chkp+off+bands"
    assert len(in_short(text)) <= 15
    assert in_short("none") == "none"


def test_flags_are_numbers_or_words():
    assert row({"a": True, "b": 3, "c": 0.5, "d": "native"}) == {
        "a": "true",
        "b": 3,
        "c": 0.5,
        "d": "native",
    }
