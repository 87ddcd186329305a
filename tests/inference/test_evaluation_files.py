"""What an evaluation writes."""

import csv
import json
from pathlib import Path

import cv2
import pytest
from evaluated import evaluated, write_network, write_pairs

from radenhance.datamodule import RadiographDataModule
from radenhance.inference.evaluation import RAW, evaluate
from radenhance.inference.evaluation_files import (
    chosen_cases,
    write_csv,
    write_json,
    write_sheet,
)
from radenhance.inference.model import open_enhancer

FIGURES = {RAW: 0.5, "CLAHE": 0.7, "network": 0.8}


def test_the_csv_has_a_line_per_radiograph_and_method():
    write_csv(Path("x.csv"), evaluated(FIGURES, species=("=cat()", "dog")))
    rows = list(csv.DictReader(Path("x.csv").read_text().splitlines()))
    assert len(rows) == 8 * 4
    assert rows[0]["case"] == "case 1"
    assert rows[0]["species"] == "'=cat()"  # no formula
    assert float(rows[0]["ms_ssim"]) == 0.5
    of_target = [row for row in rows if row["method"] == "target"]
    assert {row["ms_ssim"] for row in of_target} == {""}
    assert {float(row["eme"]) for row in of_target} == {1}


def test_the_json_has_means_claims_groups_cases_versions_and_hashes():
    write_json(Path("x.json"), evaluated(FIGURES), {"split": "test"})
    content = json.loads(Path("x.json").read_text())
    assert content["asked"] == {"split": "test"}
    assert content["networks"]["network"]["sha256"] == "0" * 64
    assert {"radenhance", "python", "torch"} == content["versions"].keys()
    low, high = content["means"]["network"]["ssim"]["interval"]
    assert low < content["means"]["network"]["ssim"]["value"] < high
    claims = {(d["measure"], d["minus"]): d for d in content["differences"]}
    assert claims["ms_ssim", RAW]["verdict"] == "beats"
    assert claims["ms_ssim", "CLAHE"]["is_best_baseline"]
    assert claims["mae", RAW]["verdict"] == "is worse than"
    assert content["by"]["species"]["cat"]["radiographs"] == 4
    assert content["by"]["species"]["cat"]["means"]["network"]["ssim"]["interval"] is None
    assert content["by"]["body_part"] == {}
    assert content["cases"][7]["measures"]["CLAHE"]["psnr"] == pytest.approx(0.7, abs=0.05)


def test_best_median_and_worst_are_three_of_many_and_no_case_is_shown_twice():
    found = evaluated(FIGURES, num_cases=9)
    chosen = chosen_cases(found)
    values = found.values["network"]["ms_ssim"]
    assert list(chosen) == ["best", "median", "worst"]
    assert sorted(values)[::4] == [values[i] for i in reversed(chosen.values())]
    assert [*chosen_cases(evaluated(FIGURES, num_cases=2))] == ["best", "worst"]
    assert [*chosen_cases(evaluated(FIGURES, num_cases=1))] == ["best"]


def test_the_sheet_shows_raw_target_and_network():
    root = write_pairs(Path("d"), ["test", "test"])
    data = RadiographDataModule(root, image_size=64, num_workers=0, cache=False)
    data.setup("evaluate")
    dataset = data.whole_images("test")
    network = open_enhancer(write_network(Path("x.ckpt")))
    found = evaluate(dataset, {"network": network}, trained_on=None)
    write_sheet(Path("x.png"), found, dataset)
    sheet = cv2.imread("x.png", cv2.IMREAD_GRAYSCALE)
    rows, columns = sheet.shape
    assert (rows // 420, columns // 368) == (2, 3)
    assert all(part.std() > 10 for part in (sheet[:, :360], sheet[:, 380:730], sheet[:, 740:]))
