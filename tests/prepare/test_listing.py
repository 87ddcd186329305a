import csv
from pathlib import Path

import pytest
import yaml

from radenhance.dataset.manifest import listed_pairs
from radenhance.dataset.pair import Pair
from radenhance.prepare.listing import nothing_came_out, report, write_lists
from radenhance.prepare.source import Rejected

ROOT = Path("set")


def pair(case, *, species="cat", algorithm="", suffix=".dcm", **more):
    return Pair(
        case,
        f"patient of {case}",
        f"raw/{case}{suffix}",
        f"target/{case}.png",
        more.pop("split", "train"),
        species=species,
        target_algo=algorithm,
        **more,
    )


PAIRS = [
    pair("cat0001"),
    pair("dog0001", species="dog", algorithm="laplacian-power/1 default", split="val"),
    pair("other0001", species=""),
]


@pytest.fixture(autouse=True)
def _root():
    ROOT.mkdir()


def test_rejected_files_are_a_table_with_commas_and_quotes_kept():
    files = [Rejected('a, "b".dcm', "is cut off, at the end", "ab12"), Rejected("c", "no image")]
    write_lists(ROOT, PAIRS, files)
    with (ROOT / "rejected.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == [
        {"file": 'a, "b".dcm', "sha256": "ab12", "reason": "is cut off, at the end"},
        {"file": "c", "sha256": "", "reason": "no image"},
    ]


def test_a_description_counts_species_and_who_made_the_targets():
    write_lists(ROOT, PAIRS, [])
    description = yaml.safe_load((ROOT / "dataset.yaml").read_text())
    assert description["species"] == {"cat": 1, "dog": 1, "unknown": 1}
    assert description["targets"] == {
        "a device or a person": 2,
        "laplacian-power/1 default": 1,
    }
    assert listed_pairs(ROOT) == PAIRS


def test_without_pairs_there_is_no_manifest_but_the_reasons():
    write_lists(ROOT, [], [Rejected("c", "no image")])
    assert [path.name for path in ROOT.iterdir()] == ["rejected.csv"]


def test_a_report_counts_pairs_splits_targets_and_reasons():
    files = [Rejected(f"{i}", "is no image") for i in range(3)]
    files += [Rejected("x", f"has {i} rows") for i in (5, 7, 7)]
    files += [Rejected("x", f"reason {letter}") for letter in "abcdefgh"]
    text = report(ROOT, [*PAIRS, pair("cat0002", accept=0)], files, anonymized=False)
    assert "4 pairs in set/pairs.csv: 2 cat, 1 dog, 1 unknown" in text
    assert "splits: 2 train, 1 val" in text
    assert "targets: 2 as given, 1 made by the reference enhancer" in text
    assert "files in no pair: 14, see set/rejected.csv" in text
    assert "  3 x is no image" in text
    assert "  3 x has 7 rows" in text  # of one kind, which differ in their numbers alone
    assert all(f"  1 x reason {letter}" in text for letter in "abcdefgh")
    assert "Two kinds of targets teach a network a mixture; prepare --no-reference" in text


def test_one_kind_of_targets_is_no_mixture():
    assert "mixture" not in report(ROOT, [pair("cat0001")], [], anonymized=False)


@pytest.mark.parametrize(
    ("suffix", "anonymized", "told"),
    [
        (".dcm", False, "identify patients and owners"),
        (".dcm", True, "Names, dates and free text were removed"),
        (".png", False, "texts that they may contain were not removed"),
    ],
)
def test_a_report_says_whose_identity_is_in_the_files(suffix, anonymized, told):
    text = report(ROOT, [pair("cat0001", suffix=suffix)], [], anonymized=anonymized)
    assert told in text
    assert "files in no pair" not in text


def test_nothing_that_came_out_names_the_commonest_reason():
    files = [Rejected("1", "is cut off"), Rejected("2", "is CT"), Rejected("3", "is CT")]
    text = nothing_came_out(Path("export"), ROOT, files)
    assert "no radiograph in export can be used" in text
    assert text.endswith("2 of them with this one: is CT")
    assert "export has no files" in nothing_came_out(Path("export"), ROOT, [])
