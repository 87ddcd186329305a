from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from clinic_files import OWNER, PET, named_dataset, save
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage

from radenhance.prepare.export import read_export
from radenhance.prepare.source import FoundFile, Rejected, identify

RAW = Path("export")


def exported(targets=None):
    return read_export(RAW, targets, leave_out=Path("out"), num_processes=1)


@pytest.fixture
def disc():
    """A disc of a clinic: a DICOMDIR, images without suffixes in folders, a viewer."""
    for i in range(2):
        save(named_dataset("dog", seed=i, spacing_mm=2.4), RAW / f"DICOM/S0000{i}/IM00001")
    directory = Dataset()
    directory.FileSetID = OWNER.upper()
    directory.file_meta = FileMetaDataset()
    directory.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    directory.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    directory.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    save(directory, RAW / "DICOMDIR")
    (RAW / "autorun.inf").write_text("[autorun]")
    return RAW


def test_who_stops_while_headers_are_read_is_told_how_far_it_came(disc, monkeypatch, capsys):
    read = []

    def stopping(found):
        if len(read) == 2:
            raise KeyboardInterrupt
        read.append(found)
        return identify(found)

    monkeypatch.setattr("radenhance.prepare.export.identify", stopping)
    with pytest.raises(KeyboardInterrupt):
        exported()
    told = "stopped after the headers of 2 of 4 files; nothing was made\n"
    assert capsys.readouterr().out == told


def test_images_of_a_disc_are_found_below_its_folders_and_the_rest_is_listed(disc):
    export = exported()
    assert [source.found.name for source in export.sources] == [
        "DICOM/S00000/IM00001",
        "DICOM/S00001/IM00001",
    ]
    assert {file.name for file in export.rejected} == {"DICOMDIR", "autorun.inf"}


def test_files_of_the_targets_folder_are_targets_wherever_it_is(disc):
    np.save(disc / "done.npy", np.zeros((70, 80), np.uint16))
    (disc / "targets").mkdir()
    (disc / "done.npy").rename(disc / "targets/IM00001.npy")
    export = exported(disc / "targets")
    assert [source.found.role for source in export.sources] == [None, None, "target"]
    assert export.sources[-1].found.name == "IM00001.npy"


def test_the_output_folder_is_not_searched(disc):
    save(named_dataset("cat"), RAW / "out/raw/cat0001.dcm")
    export = read_export(RAW, None, leave_out=RAW / "out", num_processes=1)
    assert len(export.sources) == 2


def test_a_name_of_any_header_is_blacked_out_in_paths_and_reasons(disc):
    export = exported()
    file = Rejected(f"{PET}/x.txt", f"is a copy of '{OWNER.upper()}/y.dcm'", "sha")
    assert export.shown([file]) == [Rejected("***/x.txt", "is a copy of '***/y.dcm'", "sha")]


OUR_WORDS = ["Lut", "Pixel", "Data", "Rows", "Field", "Copy", "Descriptor", "Expected", "Damaged"]


@pytest.mark.parametrize("owner", OUR_WORDS)
def test_an_owner_who_is_called_like_a_word_of_ours_blacks_out_none_of_our_sentences(owner, disc):
    dataset = named_dataset("cat")
    dataset.PatientName = f"{owner}^Ann"
    save(dataset, RAW / "1")
    export = exported()
    sentences = [
        "(0028,3002) LUT Descriptor has 5 values, expected 3",
        "(7FE0,0010) Pixel Data is cut off after 100 of 200 bytes, a damaged file",
        "has (3, 4) rows and columns; no field is found",
    ]
    shown = export.shown([Rejected("a", sentence) for sentence in sentences])
    assert [file.reason for file in shown] == sentences
    (named,) = export.shown([Rejected(f"{owner}/a", f"is a copy of '{owner}.dcm', as I said")])
    assert (named.name, named.reason) == ("***/a", "is a copy of '***.dcm', as I said")


def test_a_header_keeps_its_species_but_no_name_in_its_texts():
    dataset = named_dataset("cat")
    dataset.PatientBreedDescription = f"{PET} type"
    save(dataset, RAW / "1")
    (source,) = exported().sources
    assert source.header.species == "cat"
    assert source.header.breed == "*** type"


def test_a_stem_is_kept_unless_it_holds_a_name(disc):
    export = exported()

    def stem(name):
        return export.stem(replace(export.sources[0], found=FoundFile(Path(name), name)))

    assert stem("a/left_elbow.dcm") == "left_elbow"
    assert stem("a/1.2.840.55") == "1.2.840.55"
    assert stem(f"a/{PET}_2.dcm") is None
    assert stem(f"{PET}/thorax.png") == "thorax"
