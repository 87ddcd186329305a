from pathlib import Path

import pytest

from radenhance.dicom.radiograph import Header
from radenhance.prepare.pairing import pair_up
from radenhance.prepare.source import FoundFile, Source

RAW, DONE = "FOR PROCESSING", "FOR PRESENTATION"


def source(name, *, role=None, intent=None, uid="", of=(), copy_of=(), sha=""):
    header = Header(
        sop_instance_uid=uid or name,
        source_uids=tuple(of),
        predecessor_uids=tuple(copy_of),
        intent=intent,
    )
    return Source(FoundFile(Path(name), name, role), sha or f"sha of {name}", ".dcm", header)


def cases(*sources):
    return [
        (case.raw.found.name, case.target and case.target.found.name)
        for case in pair_up(sources).cases
    ]


def reasons(*sources):
    return {file.name: file.reason for file in pair_up(sources).rejected}


def test_a_processed_twin_names_its_raw_image():
    files = source("1", intent=RAW), source("2", intent=DONE, of=["1"]), source("3", intent=RAW)
    assert cases(*files) == [("1", "2"), ("3", None)]
    assert cases(*reversed(files)) == [("3", None), ("1", "2")]


def test_a_twin_of_a_twin_leads_back_to_the_raw_image():
    files = source("1", intent=RAW), source("3", intent=DONE, of=["2"])
    between = source("2", intent=DONE, of=["1"])
    assert cases(*files, between) == [("1", "3")]
    assert "the target '3' already" in reasons(*files, between)["2"]


def test_images_that_name_each_other_end_in_no_circle():
    files = source("1", intent=DONE, of=["2"]), source("2", intent=DONE, of=["1"])
    assert cases(*files) == []
    assert set(reasons(*files)) == {"1", "2"}


@pytest.mark.parametrize("intent", [None, RAW])
def test_a_compressed_copy_is_its_original_and_never_its_target(intent):
    raw, copy = source("1", intent=intent), source("2", intent=intent, copy_of=["1"])
    assert cases(copy) == [("2", None)]
    for files in ([raw, copy], [copy, raw]):
        assert cases(*files) == [("1", None)]
        assert reasons(*files) == {"2": "is a compressed copy of '1', as its header says"}
    again, done = source("3", copy_of=["2"]), source("4", intent=DONE, of=["3"])
    assert cases(again, done, copy, raw) == [("1", "4")]
    assert cases(done, again) == [("3", "4")]


def test_copies_that_name_each_other_are_all_kept():
    each_other = source("1", copy_of=["2"]), source("2", copy_of=["1"])
    assert cases(*each_other) == [("1", None), ("2", None)]
    assert cases(source("1", copy_of=["1"])) == [("1", None)]


def test_computed_radiography_has_no_intent_and_is_raw_unless_derived():
    files = source("1"), source("2", of=["1"]), source("3", of=["gone"])
    assert cases(*files) == [("1", "2")]
    assert "not in the export; export that one" in reasons(*files)["3"]


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (source("a", intent=DONE), "export the raw (FOR PROCESSING) image"),
        (source("a", intent=DONE, of=["gone"]), "derived from an image that is not in the export"),
        (source("target/a", role="target"), "none has this name"),
        (source("target/a", role="target", intent=RAW), "but (0008,0068) Presentation Intent"),
    ],
)
def test_what_has_no_raw_image_is_rejected_with_a_reason(file, reason):
    assert cases(file) == []
    assert reason in reasons(file)[file.found.name]


def test_folders_raw_and_target_pair_by_name_wherever_they_are():
    files = [
        source("x/raw/1.dcm", role="raw"),
        source("x/target/1.png", role="target"),
        source("y/raw/1.dcm", role="raw"),
        source("target/y/1.png", role="target"),
    ]
    assert cases(*files) == [("x/raw/1.dcm", "x/target/1.png"), ("y/raw/1.dcm", "target/y/1.png")]


def test_a_target_put_there_by_hand_goes_before_a_twin():
    files = [
        source("1.dcm", intent=RAW, uid="u"),
        source("2.dcm", intent=DONE, of=["u"]),
        source("1.png", role="target"),
    ]
    assert cases(*files) == [("1.dcm", "1.png")]
    assert "use --targets to choose another" in reasons(*files)["2.dcm"]


def test_equal_files_count_once():
    files = source("1", intent=RAW), source("copy", intent=RAW, sha="sha of 1")
    assert cases(*files) == [("1", None)]
    assert reasons(*files) == {"copy": "is a copy of '1'"}
