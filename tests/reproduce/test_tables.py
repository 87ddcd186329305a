"""Cells are what the runs logged, beside the paper's."""

from dataclasses import replace

import pytest

from radenhance import metric_names
from radenhance.reproduce.paper import COSTS, LOSSES
from radenhance.reproduce.results import Results
from radenhance.reproduce.tables import tables

BASE = (6.0, 6.2, 6.1)


def rows(scene, name):
    (found,) = [table for table in tables(Results(scene.study)) if table.name == name]
    return found.rows


def row(scene, name, recipe, what=None):
    (found,) = [r for r in rows(scene, name) if r[0] == recipe and what in (None, r[1])]
    return list(found)


def test_a_loss_is_the_mean_of_its_seeds_beside_the_papers_and_both_ratios(scene):
    scene.finish_all(original=BASE, amp=(9.0, 9.2, 9.1))
    cells = row(scene, "table_I_losses", "AMP")
    assert cells[6:] == ["9.1000", "9.0000 to 9.2000", "6.2515", "1.492", "1.040"]
    assert float(cells[8]) == LOSSES["amp"][1]


def test_a_cell_changes_with_the_log(scene):
    scene.finish_all(original=BASE, amp=(9.0, 9.2, 9.1))
    scene.finish("amp", 0, val=6.0)
    assert row(scene, "table_I_losses", "AMP")[6] == "8.1000"


def test_a_technique_that_the_paper_could_not_run_has_no_number_of_it(scene):
    scene.finish_all(original=BASE, amp_quant=BASE)
    cells = row(scene, "table_II_losses", "AMP+Quantization")
    assert [cells[3], cells[5], cells[8], cells[10]] == ["-"] * 4
    assert cells[6] == "6.1000"


def test_a_recipe_that_has_not_run_shows_the_paper_alone(scene):
    scene.finish_all(original=BASE)
    cells = row(scene, "table_IV_losses", "Dist")
    assert cells[6:9] == ["-", "-", "5.9778"]


def test_a_failed_run_is_shown_as_failed(scene):
    scene.finish_all(original=BASE)
    scene.fail("amp")
    assert row(scene, "table_I_losses", "AMP")[1] == "failed"


def test_each_technique_stands_against_the_original_seed_by_seed(scene):
    scene.finish_all(original=(5.0, 10.0, 15.0), amp=(5.0, 10.0, 15.0), amp_quant=(6.0, 9.0, 15.0))
    assert row(scene, "losses_by_seed", "AMP")[1:5] == [
        "+0.0%, +0.0%, +0.0%", "+0.0%", "+0.0% to +0.0%", "kept"
    ]  # fmt: skip
    cells = row(scene, "losses_by_seed", "AMP+Quantization")
    assert cells[1:3] == ["+10.0%, -10.0%, +0.0%", "+0.0%"]
    assert cells[4] == "not shown"
    assert row(scene, "losses_by_seed", "Original")[4] == "-"


def test_raw_image_and_lookup_table_are_rows_of_every_table_of_losses(scene):
    scene.finish_all(original=(5.0, 5.0, 5.0), amp=BASE, amp_quant=BASE, dist=BASE)
    for number in ("I", "II", "IV"):
        assert [cells[0] for cells in rows(scene, f"table_{number}_losses")[-2:]] == [
            "Raw image", "Lookup table"
        ]  # fmt: skip
    cells = row(scene, "table_I_losses", "Raw image")
    assert cells[1:] == ["-"] * 5 + ["10.0000", "-", "-", "2.000", "-"]


def test_whether_a_network_beats_the_baselines_stands_beside_its_interval(scene):
    scene.finish_all(original=(9.0, 9.0, 9.0), amp=(6.0, 9.0, 12.0), amp_quant=(12.0, 12.0, 12.0))
    beats = {name: row(scene, "losses_by_seed", name)[5:] for name in
             ("Original", "AMP", "AMP+Quantization")}  # fmt: skip
    assert beats["Original"] == ["yes: -10.0% to -10.0%", "WORSE: +12.5% to +12.5%"]
    assert beats["AMP"][0].startswith("not shown: -84.5% to +64.5%")
    assert beats["AMP+Quantization"][0] == "WORSE: +20.0% to +20.0%"


def test_recipes_for_use_stand_beside_the_original_in_measures_that_both_have(scene):
    scene.study = replace(scene.study, recipes=("original", "quickstart"))
    measures = {"val/ms_ssim": 0.95, "val/psnr": 25.0, "val/mae": 0.03}
    for seed in scene.study.seeds:
        scene.finish("original", seed, memory=measures)
        scene.finish("quickstart", seed, memory=measures | {"val/psnr": 26.0 + seed})
    table = rows(scene, "recipes_for_use")
    assert [cells[0] for cells in table] == [
        "Raw image", "Lookup table", "Original", "Quickstart"
    ]  # fmt: skip
    assert table[0][1:] == ("0.9000", "20.0", "0.0500")
    assert table[3][2] == "27.0 (26.0 to 28.0)"
    names = {table.name for table in tables(Results(scene.study))}
    assert "losses_by_seed" not in names  # a loss of another kind is compared with no other


def test_a_table_of_the_original_alone_is_left_out(scene):
    scene.finish_all(original=BASE)
    names = {table.name for table in tables(Results(scene.study))}
    assert "losses_by_seed" not in names
    assert "table_I_losses" in names  # amp is asked for, and has the paper's number


def test_every_row_has_as_many_cells_as_there_are_headings(scene):
    scene.finish_all(original=BASE, amp=BASE, dist=BASE)
    for table in tables(Results(scene.study)):
        assert {len(cells) for cells in table.rows} == {len(table.columns)}, table.name


@pytest.mark.parametrize("phase", ["forward", "backward", "total"])
def test_memory_stands_beside_the_papers_as_both_ratios(scene, phase):
    paper, original = COSTS["dist"], COSTS["original"]
    theirs = {
        "forward": (paper.forward_mib, original.forward_mib),
        "backward": (paper.backward_mib, original.backward_mib),
        "total": (
            paper.forward_mib + paper.backward_mib,
            original.forward_mib + original.backward_mib,
        ),
    }[phase]
    cells = row(scene, "table_V_cost_512px", "Dist", phase)
    assert cells[4:] == ["planned", f"{theirs[0]:.0f}", "0.500", f"{theirs[0] / theirs[1]:.3f}"]


def test_seconds_are_of_the_runs_and_never_planned(scene):
    scene.finish("original", seconds=8.0)
    scene.finish("dist", 0, seconds=9.0)
    scene.finish("dist", 1, seconds=11.0)
    cells = row(scene, "table_V_cost_512px", "Dist", "s / epoch")
    assert cells[2:5] == ["10.0", "9.0 to 11.0", "measured"]
    assert cells[6] == "1.250"
    assert row(scene, "table_III_cost_512px", "AMP", "s / epoch")[2:5] == ["-", "-", "-"]


def test_what_a_gpu_measured_is_called_measured(scene):
    stages = {"encoder": (100, 30), "decoder": (300, 50)}
    memory = {
        metric_names.memory(phase, metric_names.ALLOCATED, stage): values[i]
        for stage, values in stages.items()
        for i, phase in enumerate((metric_names.FORWARD, metric_names.BACKWARD))
    }
    scene.finish("dist", memory=memory)
    assert row(scene, "table_V_cost_512px", "Dist", "forward")[2:5] == ["200", "-", "measured"]
    original = row(scene, "table_V_cost_512px", "Original", "total")
    assert original[2:6] == ["100", "-", "planned", "1198"]
