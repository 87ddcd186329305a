import errno
import os
import subprocess
import time

import cv2
import numpy as np
import pydicom
import pytest
from judges import REAL, errors_of, example, need
from PIL import Image
from processes import free_port

from radenhance.dicom.write import derive, is_ours, write, write_png, write_tiff
from radenhance.errors import RadenhanceError, UsageError

MADE_BY = {"description": "unet 1a2b3c, tile 512", "software_version": "1.0"}
ROWS, COLUMNS = 24, 32


def ramp() -> np.ndarray:
    return np.linspace(0, 1, ROWS * COLUMNS).reshape(ROWS, COLUMNS)


@pytest.fixture
def derived(digital_xray):
    return derive(digital_xray, ramp(), **MADE_BY)


def fail_with(number: int):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    return fail


def test_file_holds_the_derived_image(derived, tmp_path):
    write(tmp_path / "a.dcm", derived)
    back = pydicom.dcmread(tmp_path / "a.dcm")
    np.testing.assert_array_equal(back.pixel_array, np.rint(ramp() * 16383))
    assert back.file_meta.MediaStorageSOPInstanceUID == back.SOPInstanceUID
    assert back == derived
    assert [p.name for p in tmp_path.iterdir()] == ["a.dcm"]


def test_enhanced_file_may_be_enhanced_anew(derived, digital_xray, tmp_path):
    write(tmp_path / "a.dcm", derived)
    again = derive(digital_xray, 1 - ramp(), **MADE_BY)
    write(str(tmp_path / "a.dcm"), again)
    assert pydicom.dcmread(tmp_path / "a.dcm").SOPInstanceUID == again.SOPInstanceUID


def test_source_is_never_replaced(derived, digital_xray, tmp_path):
    path = tmp_path / "a.dcm"
    digital_xray.save_as(path, enforce_file_format=True)
    before = path.read_bytes()
    link = tmp_path / "link.dcm"
    link.symlink_to(path)
    for name in (path, link):
        with pytest.raises(UsageError, match="is the source"):
            write(name, derived)
    assert path.read_bytes() == before


def test_enhanced_image_is_not_replaced_by_one_made_from_it(derived, tmp_path):
    write(tmp_path / "a.dcm", derived)
    with pytest.raises(UsageError, match="is the source"):
        write(tmp_path / "a.dcm", derive(derived, ramp(), **MADE_BY))


def test_files_of_others_are_never_replaced(derived, digital_xray, tmp_path):
    digital_xray.SOPInstanceUID = "2.25.1234"
    digital_xray.save_as(tmp_path / "other.dcm", enforce_file_format=True)
    (tmp_path / "notes.txt").write_text("notes")
    (tmp_path / "folder").mkdir()
    for name in ("other.dcm", "notes.txt", "folder"):
        with pytest.raises(UsageError, match="was not written by radenhance"):
            write(tmp_path / name, derived)
        with pytest.raises(UsageError, match="was not written by radenhance"):
            write_png(tmp_path / name, ramp())
    assert (tmp_path / "notes.txt").read_text() == "notes"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_is_said_and_leaves_what_was_there(number, derived, tmp_path, monkeypatch):
    write(tmp_path / "a.dcm", derived)
    before = (tmp_path / "a.dcm").read_bytes()
    monkeypatch.setattr(os, "fsync", fail_with(number))
    with pytest.raises(
        RadenhanceError, match=r"a\.dcm cannot be written: its disk or quota is full"
    ):
        write(tmp_path / "a.dcm", derived)
    with pytest.raises(RadenhanceError, match="full"):
        write_png(tmp_path / "b.png", ramp())
    assert [p.name for p in tmp_path.iterdir()] == ["a.dcm"]
    assert (tmp_path / "a.dcm").read_bytes() == before


def test_missing_folder_is_said(derived, tmp_path):
    with pytest.raises(RadenhanceError, match="cannot be written: No such file"):
        write(tmp_path / "no" / "a.dcm", derived)


def test_interruption_leaves_no_half_file(derived, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "a.dcm", derived)
    assert list(tmp_path.iterdir()) == []


def test_png_keeps_sixteen_bits(tmp_path):
    write_png(tmp_path / "a.png", ramp())
    back = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED)
    assert back.dtype == np.uint16
    np.testing.assert_array_equal(back, np.rint(ramp() * 65535))


def test_png_stores_whole_numbers_as_they_are(tmp_path):
    levels = np.arange(ROWS * COLUMNS, dtype=np.uint16).reshape(ROWS, COLUMNS)
    write_png(tmp_path / "a.png", levels, bits=10)
    back = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(back, levels)


def test_png_says_what_made_it_and_may_be_made_anew(tmp_path):
    write_png(tmp_path / "a.png", ramp(), **MADE_BY)
    content = (tmp_path / "a.png").read_bytes()
    assert b"iTXtSoftware\0\0\0\0\0radenhance 1.0" in content
    assert b"iTXtDescription\0\0\0\0\0unet 1a2b3c, tile 512" in content
    write_png(tmp_path / "a.png", 1 - ramp())
    back = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED)
    assert back[0, 0] == 65535


def test_png_of_others_is_never_replaced(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((ROWS, COLUMNS), np.uint16))
    before = (tmp_path / "a.png").read_bytes()
    with pytest.raises(UsageError, match="was not written by radenhance"):
        write_png(tmp_path / "a.png", ramp())
    assert (tmp_path / "a.png").read_bytes() == before


def test_png_refuses_values_out_of_range(tmp_path):
    with pytest.raises(UsageError, match="span 1.0 to 2.0, expected values from 0 to 1"):
        write_png(tmp_path / "a.png", ramp() + 1)
    with pytest.raises(UsageError, match="rows, columns"):
        write_png(tmp_path / "a.png", np.zeros((1, 8, 8)))
    assert list(tmp_path.iterdir()) == []


# Independent judges: dciodvfy of dicom3tools, dcmdump and dcm2pnm of DCMTK.


def test_dciodvfy_finds_no_error_in_an_image_of_a_faultless_source(radiograph, tmp_path):
    need("dciodvfy")
    radiograph.save_as(tmp_path / "source.dcm", enforce_file_format=True)
    write(tmp_path / "derived.dcm", derive(radiograph, ramp(), **MADE_BY))
    assert errors_of(tmp_path / "source.dcm") == set()
    assert errors_of(tmp_path / "derived.dcm") == set()


def test_dciodvfy_is_a_judge_that_can_say_no(digital_xray, tmp_path):
    need("dciodvfy")
    derived = derive(digital_xray, ramp(), **MADE_BY)
    del derived.WindowCenter
    write(tmp_path / "derived.dcm", derived)
    assert any("Window" in line for line in errors_of(tmp_path / "derived.dcm"))


@pytest.mark.parametrize("name", REAL)
def test_dciodvfy_finds_no_error_that_a_real_source_did_not_have(name, tmp_path):
    need("dciodvfy")
    source = pydicom.dcmread(example(name))
    image = np.tile(np.linspace(0, 1, source.Columns, dtype=np.float32), (source.Rows, 1))
    write(tmp_path / "derived.dcm", derive(source, image, **MADE_BY))
    assert errors_of(tmp_path / "derived.dcm") <= errors_of(example(name))


def test_dcmtk_shows_the_enhanced_pixels_with_bone_bright(radiograph, tmp_path):
    need("dcm2pnm")
    write(tmp_path / "derived.dcm", derive(radiograph, ramp(), **MADE_BY))
    command = ["dcm2pnm", "--use-window", "1", "--write-16-bit-pnm", "derived.dcm", "shown.pgm"]
    subprocess.run(command, cwd=tmp_path, check=True)
    header, *values = (tmp_path / "shown.pgm").read_text().split()
    assert (header, values[:3]) == ("P2", [str(COLUMNS), str(ROWS), "65535"])
    shown = np.array(values[3:], dtype=float).reshape(ROWS, COLUMNS) / 65535
    np.testing.assert_allclose(shown, ramp(), atol=2 / 2**14)


def test_dcmdump_reads_the_file_without_complaint(digital_xray, tmp_path):
    need("dcmdump")
    write(tmp_path / "derived.dcm", derive(digital_xray, ramp(), **MADE_BY))
    result = subprocess.run(
        ["dcmdump", "--print-all", tmp_path / "derived.dcm"], capture_output=True, check=True
    )
    assert result.stderr == b""
    assert b"PixelData" in result.stdout


def test_storescu_stores_what_is_derived_of_every_real_source(tmp_path):
    need("storescu")
    need("storescp")
    for folder in ("sent", "stored"):
        (tmp_path / folder).mkdir()
    for name in REAL:
        source = pydicom.dcmread(example(name))
        image = np.tile(np.linspace(0, 1, source.Columns, dtype=np.float32), (source.Rows, 1))
        write(tmp_path / "sent" / f"{name}.dcm", derive(source, image, **MADE_BY))
    port = str(free_port())
    with subprocess.Popen(["storescp", "--output-directory", tmp_path / "stored", port]) as pacs:
        try:
            send = ["storescu", "--max-pdu", "131072", "localhost", port, *tmp_path.glob("sent/*")]
            deadline = time.monotonic() + 20
            while subprocess.run(send).returncode and time.monotonic() < deadline:
                time.sleep(0.1)  # until it listens
        finally:
            pacs.terminate()
    sent, stored = (
        {dataset.SOPInstanceUID: dataset.pixel_array for dataset in map(pydicom.dcmread, paths)}
        for paths in (tmp_path.glob("sent/*"), tmp_path.glob("stored/*"))
    )
    assert len(sent) == len(REAL)
    assert sent.keys() == stored.keys()
    assert all(np.array_equal(stored[uid], pixels) for uid, pixels in sent.items())


def test_tiff_has_the_pixels_and_says_what_made_them(tmp_path):
    path = tmp_path / "a.tif"
    write_tiff(path, ramp(), bits=12, description="network 7", software_version="1.2")
    with Image.open(path) as image:
        np.testing.assert_array_equal(np.asarray(image), np.rint(ramp() * 4095))
        assert image.tag_v2[270] == "network 7"
        assert image.tag_v2[305] == "radenhance 1.2"
    write_tiff(path, 1 - ramp())
    assert is_ours(path)


@pytest.mark.parametrize("theirs", ["tiff", "text", "folder", "empty"])
def test_tiff_of_others_is_never_replaced(tmp_path, theirs):
    path = tmp_path / "a.tif"
    if theirs == "folder":
        path.mkdir()
    elif theirs == "tiff":
        cv2.imwrite(str(path), np.zeros((ROWS, COLUMNS), np.uint16))
    else:
        path.write_text("hello" * (theirs == "text"))
    with pytest.raises(UsageError, match="was not written by radenhance"):
        write_tiff(path, ramp())


def test_the_16_bit_values_of_a_png_become_a_dicom_image_of_fewer_bits(digital_xray):
    levels = np.rint(ramp() * 65535).astype(np.uint16)
    derived = derive(digital_xray, levels, bits=12, bits_given=16, **MADE_BY)
    np.testing.assert_array_equal(derived.pixel_array, np.rint(levels / 65535 * 4095))
    with pytest.raises(UsageError, match="bits_given=16"):
        derive(digital_xray, levels, bits=12, **MADE_BY)


def test_lossy_compression_of_a_source_read_without_pixels_has_a_ratio(computed_radiograph):
    computed_radiograph.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.51"
    del computed_radiograph.PixelData
    derived = derive(computed_radiograph, ramp(), num_source_bytes=288, **MADE_BY)
    assert derived.LossyImageCompressionRatio == 4.0
