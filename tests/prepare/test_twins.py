import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import generate_uid
from vendor_archive import anatomy, processed, write_image

from radenhance.cli import main
from radenhance.dataset.description import Declarations
from radenhance.dataset.manifest import listed_pairs
from radenhance.dicom.radiograph import Header
from radenhance.prepare.pairing import pair_up
from radenhance.prepare.source import find_files, identify
from radenhance.prepare.target import sha256_of
from radenhance.prepare.twins import EVIDENCE, evidence, with_twins

EXPORT, OUT = Path("export"), Path("out")
RAW, DONE = "FOR PROCESSING", "FOR PRESENTATION"


def raw(name, seed=0, **elements):
    write_image(EXPORT / name, anatomy(seed), RAW, **elements)


def done(name, seed=0, change=lambda image: image, **elements):
    write_image(EXPORT / name, change(processed(anatomy(seed))), DONE, **elements)


def at(time):
    return {"AcquisitionDate": "20260102", "AcquisitionTime": time}


def number(one):
    return {"AcquisitionNumber": one}


def prepared(*flags, code=0):
    """Return raw file -> (target, how they were paired), and rejected file -> reason."""
    command = ["prepare", str(EXPORT), str(OUT), "--processes", "1", "--no-reference", *flags]
    assert main(command) == code
    files = sorted((path for path in EXPORT.rglob("*") if path.is_file()), reverse=True)
    names = {sha256_of(path): path.relative_to(EXPORT).as_posix() for path in files}
    pairs = listed_pairs(OUT) if (OUT / "pairs.csv").exists() else []
    with (OUT / "rejected.csv").open(newline="") as file:
        reasons = {row["file"]: row["reason"] for row in csv.DictReader(file)}
    return {
        names[p.source_sha256]: (names.get(p.target_sha256, "png"), p.paired_by) for p in pairs
    }, reasons


def two_projections(first, second):
    raw("a", 1, **first)
    raw("b", 2, **second)
    done("c", 2, **second)
    done("d", 1, **first)
    return {"a": "d", "b": "c"}


def equal_time():
    return two_projections(at("101500"), at("101730.25"))


def equal_time_in_another_notation():
    raw("a", AcquisitionDateTime="20260102101500.000000")
    done("b", **at("101500"))
    return {"a": "b"}


def equal_time_of_the_day_of_the_study():
    raw("a", AcquisitionTime="101500")
    done("b", **at("101500.7"))
    return {"a": "b"}


def near_time():
    raw("a", 1, **at("101500"))
    raw("b", 2, **at("101509"))  # which is near as well
    done("c", 2, **at("101511"))
    return {"b": "c"}


def no_time_but_a_number():
    return two_projections(number(1), number(2))


def no_number_but_that_of_the_instance():
    return two_projections({"InstanceNumber": 1}, {"InstanceNumber": 2})


def an_irradiation_event():
    uids = [generate_uid(entropy_srcs=[name]) for name in "12"]
    return two_projections(*({"IrradiationEventUID": uid, **number(7)} for uid in uids))


def nothing_but_the_study():
    return two_projections({}, {})


def numbers_that_are_all_equal():
    return two_projections(number(1), number(1))


def numbers_that_are_crossed():
    raw("a", 1, **number(1))
    raw("b", 2, **number(2))
    done("c", 2, **number(1))
    done("d", 1, **number(2))
    return {"a": "d", "b": "c"}


def a_time_that_is_malformed():
    raw("a", AcquisitionDate="20261399", AcquisitionTime="101500")
    done("b", AcquisitionTime="noon")
    return {"a": "b"}


def a_source_that_is_not_in_the_export():
    item = Dataset()
    item.ReferencedSOPInstanceUID = generate_uid(entropy_srcs=["gone"])
    raw("a", **at("101500"))
    done("b", **at("101500"), SourceImageSequence=[item])
    return {"a": "b"}


def another_folder():
    raw("DX1/RAW/I0")
    done("DX2/PROC/I7")
    return {"DX1/RAW/I0": "DX2/PROC/I7"}


def one_raw_image_more_than_twins():
    raw("a", 1, **at("101500"))
    raw("b", 2, **at("102500"))
    done("c", 2, **at("102500"))
    return {"b": "c"}


def a_lossy_twin_beside_one_without_loss():
    raw("a", **at("101500"))
    done("b", change=lambda image: (image * 63).round() / 63, LossyImageCompression="01")
    done("c", **at("101500"))
    return {"a": "c"}


FITTING = [
    equal_time,
    equal_time_in_another_notation,
    equal_time_of_the_day_of_the_study,
    near_time,
    no_time_but_a_number,
    no_number_but_that_of_the_instance,
    an_irradiation_event,
    nothing_but_the_study,
    numbers_that_are_all_equal,
    numbers_that_are_crossed,
    a_time_that_is_malformed,
    a_source_that_is_not_in_the_export,
    another_folder,
    one_raw_image_more_than_twins,
    a_lossy_twin_beside_one_without_loss,
]


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
@pytest.mark.parametrize("archive", FITTING, ids=lambda one: one.__name__)
def test_a_twin_that_names_no_raw_image_is_found_and_its_evidence_told(archive, capsys):
    expected = archive()
    pairs, reasons = prepared()
    assert {one: target for one, (target, _) in pairs.items()} == expected
    assert {how for _, how in pairs.values()} <= {*EVIDENCE}
    files = {path.relative_to(EXPORT).as_posix() for path in EXPORT.rglob("*") if path.is_file()}
    assert {*reasons} == files - {*expected} - {*expected.values()}
    told = (
        f"{len(expected)} targets name no raw image and were found within their study by what both"
    )
    assert told in capsys.readouterr().out


WRONG = {
    "another image of the same time": (
        lambda: (raw("a", **at("101500")), done("b", 2, **at("101500"))),
        "has the acquisition time of 'a', but shows something else, or is cropped",
    ),
    "another image of the same number": (
        lambda: (raw("a", **number(3)), done("b", 2, **number(3))),
        "has the acquisition number of 'a', but shows something else",
    ),
    "an empty image": (
        lambda: (raw("a"), done("b", change=lambda image: image * 0)),
        "shows what no raw image of its study shows",
    ),
    "another image of the study": (
        lambda: (raw("a"), done("b", 2)),
        "shows what no raw image of its study shows",
    ),
    "another study": (
        lambda: (raw("a"), done("b", StudyInstanceUID=generate_uid(entropy_srcs=["other"]))),
        "names no raw image; export the raw",
    ),
    "no study": (
        lambda: (raw("a", StudyInstanceUID=""), done("b", StudyInstanceUID="")),
        "names no raw image; export the raw",
    ),
    "cropped": (
        lambda: (raw("a", **at("101500")), done("b", change=lambda i: i[9:], **at("101500"))),
        "has the acquisition time of 'a', but shows something else, or is cropped",
    ),
    "turned": (
        lambda: (raw("a"), done("b", change=lambda image: image[::-1, ::-1])),
        "is turned by 180 degrees against its raw image",
    ),
    "shifted": (
        lambda: (raw("a"), done("b", change=lambda image: np.roll(image, 2, 0))),
        "is shifted by +2.00 rows and +0.00 columns against its raw image",
    ),
    "inverted": (
        lambda: (raw("a"), done("b", change=lambda image: 1 - image)),
        "is INVERTED against its raw image",
    ),
    "cut off": (
        lambda: (raw("a"), done("b"), _cut(EXPORT / "b")),
        "(7FE0,0010) Pixel Data is cut off",
    ),
    "that of a raw image which is cut off": (
        lambda: (raw("a"), done("b"), _cut(EXPORT / "a")),
        "shows what no raw image of its study shows",
    ),
    "two raw images alike": (
        lambda: (raw("a"), _raw_with_noise("c"), done("b")),
        "fits 'a' and 'c' alike",
    ),
}


def _cut(path):
    path.write_bytes(path.read_bytes()[:-500])


def _raw_with_noise(name):
    image = anatomy() + np.random.default_rng(0).normal(0, 0.002, anatomy().shape)
    write_image(EXPORT / name, image.clip(0, 1), RAW)


@pytest.mark.parametrize("archive", WRONG)
def test_a_twin_that_does_not_fit_is_refused_by_name(archive):
    make, reason = WRONG[archive]
    make()
    pairs, reasons = prepared(code=2)
    assert pairs == {}
    assert reason in reasons["b"]


def test_of_two_twins_one_is_the_target_and_the_other_is_told():
    raw("a", **at("101500"))
    done("b", **at("101520"))
    done("c", change=lambda image: image**0.7, **at("101500"))
    pairs, reasons = prepared()
    assert pairs == {"a": ("c", "acquisition time")}
    assert "its raw image has the target 'c' already" in reasons["b"]


def test_raw_images_of_equal_pixels_are_one_and_keep_their_twin():
    raw("a", 1)
    raw("b", 1)
    done("c", 1)
    pairs, reasons = prepared()
    assert pairs == {"a": ("c", "image")}
    assert "has no target" in reasons["b"]


def test_a_turned_and_shifted_twin_is_turned_and_moved_back_by_flags():
    raw("a")
    done("b", change=lambda image: np.roll(image, (2, -3), (0, 1))[::-1, ::-1])
    _, reasons = prepared(code=2)
    assert "prepare --turn-targets --register-targets" in reasons["b"]
    _, reasons = prepared("--turn-targets", code=2)
    assert "is shifted by +2.00 rows and -3.00 columns" in reasons["b"]
    pairs, reasons = prepared("--turn-targets", "--register-targets")
    assert (pairs, reasons) == ({"a": ("png", "image")}, {})
    (made,) = listed_pairs(OUT)
    assert prepared() == (pairs, {}), "what was undone once is not refused later"
    assert prepared("--turn-targets") == (pairs, {})
    assert listed_pairs(OUT) == [made]


def test_a_study_of_thousands_is_not_compared_with_itself(monkeypatch):
    monkeypatch.setattr("radenhance.prepare.twins.MOST_COMPARED", 2)
    for name, seed in (("a", 1), ("b", 2), ("c", 3)):
        raw(name, seed, **at(f"10{seed}500"))
    done("d", 1)
    done("e", 2, **at("102500"))
    pairs, reasons = prepared()
    assert pairs == {"b": ("e", "acquisition time")}
    assert "shares its study with 3 raw images, more than the 2 that are compared" in reasons["d"]


def test_the_search_is_switched_off_by_a_flag_and_a_copy_stays_listed():
    raw("a", **at("101500"))
    done("b", **at("101500"))
    (EXPORT / "copy").write_bytes((EXPORT / "b").read_bytes())
    pairs, reasons = prepared("--named-twins-only", code=2)
    assert pairs == {}
    assert "names no raw image; export the raw" in reasons["b"]
    pairs, reasons = prepared()
    assert pairs == {"a": ("b", "acquisition time")}
    assert reasons == {"copy": "is a copy of 'b'"}


def test_twins_that_are_named_are_not_looked_for(monkeypatch):
    monkeypatch.setattr("radenhance.prepare.twins.read", None)  # reading any pixels would fail
    item = Dataset()
    item.ReferencedSOPInstanceUID = write_image(EXPORT / "a", anatomy(), RAW)
    done("b", SourceImageSequence=[item])
    pairs, _ = prepared()
    assert pairs == {"a": ("b", "source image")}


def test_evidence_of_time_goes_before_numbers_and_far_times_before_none():
    first = Header(acquired_s=100.0, acquisition_number=1)
    assert EVIDENCE[evidence(first, Header(acquired_s=100.4))] == "acquisition time"
    assert EVIDENCE[evidence(first, Header(acquired_s=120.0))] == "near acquisition time"
    far = Header(acquired_s=999.0, acquisition_number=1)
    assert EVIDENCE[evidence(first, far)] == "image"
    assert EVIDENCE[evidence(first, Header(acquisition_number=1))] == "acquisition number"


def test_raw_images_that_lost_something_are_counted_and_refused_on_request(capsys):
    raw("a", 1, LossyImageCompression="01", LossyImageCompressionMethod="ISO_10918_1")
    raw("c", 2, **at("111500"), LossyImageCompression="00")
    done("b", 1)
    done("d", 2, **at("111500"))
    pairs, _ = prepared()
    assert {*pairs} == {"a", "c"}
    assert {p.lossy for p in listed_pairs(OUT)} == {0, 1}
    assert "warning 1 raw images went through a compression that loses" in capsys.readouterr().out
    assert main(["check", str(OUT), "--processes", "1"]) in (0, 2)
    assert "warning 1 raw images went through" in capsys.readouterr().out
    shutil.rmtree(OUT)
    pairs, reasons = prepared("--no-lossy")
    assert {*pairs} == {"c"}
    assert "which --no-lossy refuses" in reasons["a"]


ORIGINAL, DERIVED = (
    {"Modality": "CR", "ImageType": [kind, "PRIMARY"]} for kind in ("ORIGINAL", "DERIVED")
)


def cr(name, image, **elements):
    write_image(EXPORT / name, image, None, **elements)


def _processed_with_equal_time():
    cr("a", anatomy(), **ORIGINAL, **at("101500"))
    cr("b", processed(anatomy()), **DERIVED, **at("101500"))
    return {"a": "b"}


def _processed_with_equal_number_of_two():
    for number_, (one, other) in enumerate([("a", "b"), ("c", "d")]):
        cr(one, anatomy(number_), **ORIGINAL, **number(number_))
        cr(other, processed(anatomy(number_)), **DERIVED, **number(number_))
    return {"a": "b", "c": "d"}


def _processed_twice():
    cr("c", processed(anatomy()) ** 0.7, **DERIVED, **at("101520"))
    return _processed_with_equal_time()


def _two_derived_and_no_original():
    cr("a", anatomy(), **DERIVED, **at("101500"))
    cr("b", processed(anatomy()), **DERIVED, **at("101500"))
    return {"a": None, "b": None}


def _a_derived_copy():
    cr("a", anatomy(), **ORIGINAL, **at("101500"))
    cr("b", anatomy().clip(0.02, 1), **DERIVED, **at("101500"))
    return {"a": None, "b": None}


def _another_derived_image():
    cr("a", anatomy(), **ORIGINAL, **at("101500"))
    cr("b", processed(anatomy(1)), **DERIVED, **at("101500"))
    return {"a": None, "b": None}


def _nothing_but_the_study_in_common():
    cr("a", anatomy(), **ORIGINAL, **at("101500"))
    cr("b", processed(anatomy()), **DERIVED, **at("111500"))
    return {"a": None, "b": None}


def _two_originals():
    cr("a", anatomy(), **ORIGINAL, **at("101500"))
    cr("b", processed(anatomy()), **ORIGINAL, **at("101500"))
    return {"a": None, "b": None}


COMPUTED = [
    _processed_with_equal_time,
    _processed_with_equal_number_of_two,
    _processed_twice,
    _two_derived_and_no_original,
    _a_derived_copy,
    _another_derived_image,
    _nothing_but_the_study_in_common,
    _two_originals,
]


@pytest.mark.parametrize("archive", COMPUTED, ids=lambda one: one.__name__.strip("_"))
def test_derived_images_of_computed_radiography_are_targets_where_exposure_and_image_tell(archive):
    expected = archive()
    sources = [identify(file) for file in find_files(EXPORT, leave_out=[])]
    pairing = with_twins(pair_up(sources), Declarations(), num_processes=1)
    found = {c.raw.found.name: c.target and c.target.found.name for c in pairing.cases}
    assert found == expected
    shown = {*found} | {*found.values()} - {None} | {file.name for file in pairing.rejected}
    assert shown == {path.name for path in EXPORT.iterdir()}
