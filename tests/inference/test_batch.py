import json
import multiprocessing
import os
import shutil
import signal
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from enhancing import real_radiograph, run, save, small_checkpoint
from fake_enhancer import FakeEnhancer
from other_files import FILES
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRLittleEndian
from saved_files import COMPRESSED, NATIVE, SAMPLES
from saved_files import save as in_syntax

from radenhance.dicom.read import read
from radenhance.dicom.write import write_png
from radenhance.errors import (
    BatchError,
    DiskError,
    MachineError,
    NoRadiographError,
    ParameterError,
    UsageError,
)
from radenhance.files import replace_file
from radenhance.inference import batch as batch_module
from radenhance.inference.batch import check_all_done, summary, write_report
from radenhance.inference.guard.guard import Calibration, Guard
from radenhance.inference.model import ReferenceEnhancer, open_enhancer
from radenhance.inference.outputs import Output


def outcomes(records):
    return {record.source: record.outcome for record in records}


def mixed_export(folder):
    """Two radiographs among all that lies in an export, and what becomes of each."""
    plain = {"PatientName": "Xyzzy", "PatientID": "P-1", "PatientBirthDate": ""}
    save(real_radiograph(0, **plain), folder / "a/left.dcm")
    save(real_radiograph(1, **plain), folder / "b/IM0001")
    shutil.copy(get_testdata_file("CT_small.dcm"), folder / "ct.dcm")
    save(
        real_radiograph(1, **plain, PresentationIntentType="FOR PRESENTATION"),
        folder / "processed.dcm",
    )
    shutil.copy(get_testdata_file("DICOMDIR"), folder / "DICOMDIR")
    (folder / "letter.txt").write_text("Dear colleague")
    (folder / "empty.dcm").touch()
    (folder / "cut.dcm").write_bytes((folder / "a/left.dcm").read_bytes()[:-1000])
    write_png(folder / "ours.png", np.zeros((64, 64)))
    cv2.imwrite(str(folder / "colour.png"), np.zeros((64, 64, 3), np.uint8))
    np.save(folder / "bare.npy", np.arange(6400, dtype=np.uint16).reshape(80, 80))
    return {
        "a/left.dcm": "enhanced",
        "b/IM0001": "enhanced",
        "bare.npy": "enhanced",
        "ct.dcm": "skipped",
        "processed.dcm": "skipped",
        "DICOMDIR": "skipped",
        "letter.txt": "skipped",
        "ours.png": "skipped",
        "colour.png": "failed",
        "empty.dcm": "failed",
        "cut.dcm": "failed",
    }


@pytest.fixture
def mixed(tmp_path):
    return mixed_export(tmp_path / "in")


def test_each_radiograph_among_other_files_is_enhanced_and_each_file_accounted_for(mixed):
    mixed["colour.png"] = "skipped"
    batch, records = run("in")
    assert outcomes(records) == mixed
    outputs = {record.source: record.output for record in records if record.output}
    assert outputs == {
        "a/left.dcm": "a/left.dcm",
        "b/IM0001": "b/IM0001.dcm",
        "bare.npy": "bare.png",
    }
    for record in records:
        assert bool(record.reason) == (record.outcome != "enhanced"), record
    with pytest.raises(BatchError, match="2 of 11 files could not be enhanced") as raised:
        check_all_done(batch, records)
    assert raised.value.exit_code == 4
    for name in (
        "letter.txt: the file is a text file",
        "cut.dcm: (7FE0,0010) Pixel Data is cut off",
    ):
        assert name in summary(batch, records)


def test_what_is_in_another_format_is_skipped_in_the_words_of_all_commands():
    Path("in").mkdir()
    save(real_radiograph(), "in/a.dcm")
    reasons = {}
    for name, content in FILES.items():
        file = Path("in", f"{name}.dcm")
        file.write_bytes(content())
        with pytest.raises(NoRadiographError) as caught:
            read(file)
        reasons[file.name] = str(caught.value)
    _, records = run("in")
    others = [record for record in records if record.source != "a.dcm"]
    assert {record.source: f"in/{record.source}: {record.reason}" for record in others} == reasons
    assert outcomes(records) == dict.fromkeys(reasons, "skipped") | {"a.dcm": "enhanced"}


def test_an_enhanced_image_has_the_size_of_its_source_and_says_what_made_it():
    save(real_radiograph(), "in/a.dcm")
    _, (record,) = run("in/a.dcm")
    source, derived = pydicom.dcmread("in/a.dcm"), pydicom.dcmread(f"out/{record.output}")
    assert (derived.Rows, derived.Columns) == (source.Rows, source.Columns)
    assert derived.BitsStored == source.BitsStored
    assert derived.SOPInstanceUID != source.SOPInstanceUID
    assert derived.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert derived.DerivationDescription == ReferenceEnhancer().description + " (thorax)"
    assert derived.pixel_array.std() > 0


def test_images_of_one_series_are_one_new_series_also_when_the_run_went_on():
    for number, series in enumerate(("1.2.1", "1.2.1", "1.2.2", "1.2.1")):
        save(real_radiograph(SeriesInstanceUID=series), f"in/{number}.dcm")
    run("in/0.dcm", "in/1.dcm", "in/2.dcm")
    _, records = run("in", resume=True)
    uids = [pydicom.dcmread(f"out/{record.output}").SeriesInstanceUID for record in records]
    assert uids[0] == uids[1] == uids[3] != uids[2]
    _, records = run("in", out="another")
    assert pydicom.dcmread(f"another/{records[0].output}").SeriesInstanceUID not in uids


@pytest.mark.parametrize(
    ("output", "suffix", "largest"),
    [
        (Output("png"), ".png", 65535),
        (Output("tiff", bits=12), ".tif", 4095),
        (Output("dicom", bits=10), ".dcm", 1023),
    ],
)
def test_format_and_bits_are_those_asked_for(output, suffix, largest):
    save(real_radiograph(), "in/a.dcm")
    _, (record,) = run("in", output=output)
    path = Path("out", record.output)
    assert path.suffix == suffix
    if suffix == ".dcm":
        pixels = pydicom.dcmread(path).pixel_array
    else:
        pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert 0.9 * largest < pixels.max() <= largest


def test_dicom_is_not_made_of_a_file_without_a_header():
    np.save("bare.npy", np.arange(6400, dtype=np.uint16).reshape(80, 80))
    _, (record,) = run("bare.npy", output=Output("dicom"))
    assert record.outcome == "failed"
    assert "this is no DICOM file" in record.reason


@pytest.mark.parametrize("bits", [7, 17, 0])
def test_bits_that_no_file_has_are_refused(bits):
    with pytest.raises(ParameterError, match=f"Output.bits is {bits}, expected 8 to 16"):
        Output(bits=bits)


def test_outputs_are_not_enhanced_again_and_files_of_others_are_not_replaced():
    save(real_radiograph(), "in/a.dcm")
    _, (first,) = run("in", out="in/out")
    _, again = run("in", out="in/out")
    assert [record.source for record in again] == [first.source]
    _, others = run("in/out", out="out")
    assert {record.outcome for record in others} == {"skipped"}
    name = Path(first.output).name
    save(real_radiograph(SOPInstanceUID="1.2.9"), f"theirs/{name}")
    before = Path("theirs", name).read_bytes()
    _, (record,) = run("in/a.dcm", out="theirs")
    assert "was not written by radenhance" in record.reason
    assert Path("theirs", name).read_bytes() == before


def test_the_folder_of_the_outputs_is_no_input():
    Path("in").mkdir()
    with pytest.raises(UsageError, match="where the enhanced images go"):
        run("in", out="in")
    with pytest.raises(UsageError, match="nowhere: no such file or folder"):
        run("nowhere")
    Path("file").touch()
    with pytest.raises(UsageError, match="is a file, expected a folder"):
        run("in", out="file")


def test_a_link_does_not_lead_an_output_out_of_its_folder(tmp_path):
    save(real_radiograph(PatientName="X", PatientID="P-1"), "in/sub/left.dcm")
    Path("elsewhere").mkdir()
    Path("out").mkdir()
    Path("out/sub").symlink_to(tmp_path / "elsewhere")
    _, (record,) = run("in")
    assert record.outcome == "failed"
    assert "leads out of out" in record.reason
    assert not any(Path("elsewhere").iterdir())


def test_a_file_is_enhanced_once_though_it_is_named_twice():
    save(real_radiograph(), "in/a.dcm")
    assert len(run("in", "in/a.dcm")[1]) == 1


def test_a_run_that_goes_on_does_what_is_new_or_failed_and_nothing_again(mixed):
    run("in")
    times = {path: path.stat().st_mtime_ns for path in Path("out").rglob("*.dcm")}
    save(real_radiograph(PatientName="Xyzzy", PatientID="P-1"), "in/cut.dcm")
    save(real_radiograph(PatientName="Xyzzy", PatientID="P-1"), "in/new.dcm")
    _, records = run("in", resume=True)
    done = outcomes(records)
    assert done["cut.dcm"] == done["new.dcm"] == "enhanced"
    assert done["empty.dcm"] == "failed"
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())


def test_an_output_that_was_removed_is_made_again():
    save(real_radiograph(), "in/a.dcm")
    _, (record,) = run("in")
    Path("out", record.output).unlink()
    run("in", resume=True)
    assert Path("out", record.output).exists()


@pytest.mark.parametrize("cut", [1, 30])
def test_a_line_that_a_kill_cut_off_is_done_again(cut):
    for number in range(3):
        save(real_radiograph(number), f"in/{number}.dcm")
    run("in")
    journal = Path("out/enhance.jsonl")
    journal.write_bytes(journal.read_bytes()[:-cut])
    _, records = run("in", resume=True)
    assert [record.outcome for record in records] == ["enhanced"] * 3
    assert all(json.loads(line) for line in journal.read_text().splitlines())


def test_a_run_with_other_settings_does_not_go_on():
    save(real_radiograph(), "in/a.dcm")
    run("in")
    for settings in ({"enhancer": ReferenceEnhancer("bone")}, {"output": Output(bits=9)}):
        with pytest.raises(UsageError, match="begun with other settings or another network"):
            run("in", resume=True, **settings)


@pytest.mark.parametrize("content", ["", "hello\n", "[1]\n", '{"salt": 3}\n', "[" * 9999])
def test_a_list_of_something_else_is_refused(content):
    Path("out").mkdir()
    Path("out/enhance.jsonl").write_text(content)
    save(real_radiograph(), "in/a.dcm")
    with pytest.raises(UsageError, match="does not begin as a list of enhanced images does"):
        run("in", resume=True)


def slow_run():
    """Enhance slowly, in a process that will be killed."""

    class Slow(ReferenceEnhancer):
        def __call__(self, radiograph):
            time.sleep(0.2)
            return super().__call__(radiograph)

    run("in", enhancer=Slow())


def test_a_run_that_was_killed_goes_on_to_the_folder_of_one_that_was_not():
    for number in range(8):
        save(real_radiograph(number, SeriesInstanceUID="1.2.1"), f"in/{number}.dcm")
    process = multiprocessing.get_context("fork").Process(target=slow_run)
    process.start()
    while not any(Path("out").rglob("*.dcm")) and process.is_alive():
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert 0 < len([*Path("out").rglob("*.dcm")]) < 8
    run("in", resume=True)
    run("in", out="whole")
    assert contents("out") == contents("whole")


def contents(folder):
    """What is in a folder, but for times and UIDs."""
    found = {}
    for path in sorted(Path(folder).rglob("*.dcm")):
        dataset = pydicom.dcmread(path)
        for element in [*dataset]:
            if element.keyword.endswith(("Date", "Time")) or element.keyword in (
                "SOPInstanceUID",
                "SeriesInstanceUID",
                "ContributingEquipmentSequence",
            ):
                del dataset[element.tag]
        found[path.relative_to(folder)] = dataset.to_json()
    return found


def test_a_full_disk_ends_the_batch_and_keeps_what_was_done(monkeypatch):
    for number in range(3):
        save(real_radiograph(number), f"in/{number}.dcm")
    _, records = run("in/0.dcm")

    def full(path, content):
        if path.suffix == ".dcm":
            raise DiskError(f"{path} cannot be written")
        replace_file(path, content)

    monkeypatch.setattr("radenhance.dicom.write.replace_file", full)
    with pytest.raises(DiskError):
        run("in", resume=True)
    assert Path("out", records[0].output).exists()


class Fails(ReferenceEnhancer):
    """Raises an error at one image."""

    def __init__(self, error):
        super().__init__()
        self.error, self.number = error, 0

    def __call__(self, radiograph):
        self.number += 1
        if self.number == 2:
            raise self.error
        return super().__call__(radiograph)


@pytest.mark.parametrize("error", [MachineError("memory ran out for 9 pixels"), MemoryError()])
def test_memory_that_ran_out_for_one_image_is_listed_and_the_rest_done(error):
    for number in range(3):
        save(real_radiograph(number), f"in/{number}.dcm")
    batch, records = run("in", enhancer=Fails(error))
    assert Counter(outcomes(records).values()) == {"enhanced": 2, "out of memory": 1}
    assert "memory ran out" in records[1].reason
    with pytest.raises(BatchError) as raised:
        check_all_done(batch, records)
    assert raised.value.exit_code == 3


def test_a_defect_is_not_listed_as_a_damaged_file():
    for number in range(3):
        save(real_radiograph(number), f"in/{number}.dcm")
    with pytest.raises(ZeroDivisionError):
        run("in", enhancer=Fails(ZeroDivisionError()))


def test_files_without_a_radiograph_end_in_a_sentence(tmp_path):
    Path("in").mkdir()
    Path("in/a.txt").write_text("hello")
    batch, records = run("in")
    with pytest.raises(BatchError, match="no raw radiograph is among these files") as raised:
        check_all_done(batch, records)
    assert raised.value.exit_code == 2


def test_no_file_is_decoded_twice_and_at_most_one_ahead(monkeypatch):
    for number in range(4):
        save(real_radiograph(number), f"in/{number}.dcm")
    events = []
    read = batch_module.read_source
    monkeypatch.setattr(
        batch_module,
        "read_source",
        lambda path, **how: (events.append("read"), read(path, **how))[1],
    )

    class Noting(ReferenceEnhancer):
        def __call__(self, radiograph):
            events.append("enhanced")
            return super().__call__(radiograph)

    run("in", enhancer=Noting())
    assert Counter(events) == {"read": 4, "enhanced": 4}
    for position, event in enumerate(events):
        if event == "read":
            before = events[:position]
            assert before.count("read") - before.count("enhanced") <= 2


def test_the_report_says_of_each_file_what_became_of_it_and_names_nobody(tmp_path):
    who = {"PatientName": "Quillfeather^Zorbax", "PatientID": "QF774411"}
    save(real_radiograph(**who), "in/Quillfeather/20190304/zorbax.dcm")
    Path("in/Quillfeather/letter to Quillfeather.txt").write_text("x")
    batch, records = run("in")
    write_report(tmp_path / "run.json", batch.report(1.5))
    report = json.loads((tmp_path / "run.json").read_text())
    assert report["counts"] == {"enhanced": 1, "skipped": 1}
    assert {"radenhance", "torch", "enhancer", "seconds"} <= report.keys()
    assert {file["outcome"] for file in report["files"]} == {"enhanced", "skipped"}
    names = [path.name for path in Path("out").rglob("*")]
    texts = [Path("out/enhance.jsonl").read_text(), json.dumps(report), *names]
    texts.append(summary(batch, records))
    for text in texts:
        for secret in ("quillfeather", "zorbax", "774411", "20190304"):
            assert secret not in text.lower()


def test_a_network_gives_the_pixels_that_its_enhancer_gives():
    save(real_radiograph(), "in/a.dcm")
    enhancer = open_enhancer(small_checkpoint(output="correction"), device="cpu")
    _, (record,) = run("in", enhancer=enhancer, output=Output("png"))
    expected = np.rint(enhancer(read("in/a.dcm")) * 65535)
    shown = cv2.imread(f"out/{record.output}", cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(shown, expected)


def test_every_projection_of_the_test_packages_becomes_a_derived_image_of_its_size():
    _, records = run(SAMPLES, enhancer=FakeEnhancer())
    enhanced = [record for record in records if record.outcome == "enhanced"]
    assert len(enhanced) == 10  # RG1 and RG3, each in four files, and two of Secondary Capture
    assert not [record for record in records if record.outcome == "failed"]
    for record in enhanced:
        derived = pydicom.dcmread(Path("out", record.output))
        (item,) = derived.SourceImageSequence
        source = source_of(item.ReferencedSOPInstanceUID)
        assert (derived.Rows, derived.Columns) == (source.Rows, source.Columns)
        assert len(derived.PixelData) == 2 * source.Rows * source.Columns
        assert derived.Modality == source.Modality


def source_of(uid):
    headers = (pydicom.dcmread(p, stop_before_pixels=True) for p in SAMPLES.glob("*.dcm"))
    return next(header for header in headers if header.get("SOPInstanceUID") == uid)


@pytest.mark.parametrize("syntax", [*NATIVE, *COMPRESSED], ids=lambda syntax: syntax.name)
def test_each_transfer_syntax_gives_the_same_image(syntax):
    pixels = {}
    for kind in (ExplicitVRLittleEndian, syntax):
        in_syntax(real_radiograph(), f"{kind.name}.dcm", kind)
        _, (record,) = run(f"{kind.name}.dcm", out=f"out {kind.name}", enhancer=FakeEnhancer())
        assert record.outcome == "enhanced", record.reason
        pixels[kind] = pydicom.dcmread(f"out {kind.name}/{record.output}").pixel_array
    np.testing.assert_array_equal(pixels[syntax], pixels[ExplicitVRLittleEndian])


def guarded(threshold, **settings):
    """Enhance two images under a guard of a threshold, and return their records."""
    for number in range(2):
        save(real_radiograph(number, step=4), f"in/{number}.dcm")
    enhancer = open_enhancer(small_checkpoint(output="correction"), device="cpu")
    guard = Guard(Calibration(enhancer.sha256, [threshold] * 3, factor=1.0, at="auto"))
    return run("in", enhancer=enhancer, guard=guard, **settings)


def test_a_guard_says_of_each_image_what_it_found_in_list_report_and_header():
    batch, records = guarded(threshold=1e9)
    for record in records:
        derived = pydicom.dcmread(f"out/{record.output}")
        assert record.guard["boxes"] == []
        assert record.guard["sentence"].startswith("Guard: no structure of 1 to 3 mm")
        assert derived.DerivationDescription.endswith(record.guard["sentence"])
    (line, *_) = Path("out/enhance.jsonl").read_text().splitlines()[1:]
    assert json.loads(line)["guard"] == records[0].guard
    assert batch.report(1)["files"][0]["guard"] == records[0].guard


def test_an_output_that_the_guard_does_not_accept_is_written_unless_it_is_to_be_refused():
    _, records = guarded(threshold=1e-9)
    assert [record.outcome for record in records] == ["enhanced"] * 2
    assert all(record.guard["boxes"] for record in records)
    json.dumps(records[0].guard)
    _, records = guarded(threshold=1e-9, refuse=True, out="refused")
    assert [record.outcome for record in records] == ["failed"] * 2
    assert all(record.reason.startswith("refused: Guard: ") for record in records)
    assert not [*Path("refused").rglob("*.dcm")]


def test_a_guard_is_of_one_network():
    guard = Guard(Calibration("0" * 64, [1.0] * 3, factor=1.0, at="auto"))
    with pytest.raises(UsageError, match="a guard is calibrated for one network"):
        run("in", enhancer=ReferenceEnhancer(), guard=guard)
