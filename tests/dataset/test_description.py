from pathlib import Path

import pytest

from radenhance.dataset.description import Declarations, load_declarations, write_description
from radenhance.dicom.declaration import Declaration
from radenhance.errors import DatasetError

HERE = Path()


def write(text):
    Path("dataset.yaml").write_text(text)


def test_a_folder_without_it_leaves_all_to_the_files():
    assert load_declarations(HERE) == Declarations(Declaration(), Declaration())


def test_declarations_for_both_folders_are_read():
    write("raw: {bone: dark, bits: 12, relationship: LIN, override: true}\ntarget: {bits: 16}\n")
    raw = Declaration(bone="dark", bits=12, relationship="LIN", override=True)
    assert load_declarations(HERE) == Declarations(raw, Declaration(bits=16))


@pytest.mark.parametrize("text", ["", "# nothing\n", "raw:\ntarget:\nname: mine\n"])
def test_what_is_left_empty_declares_nothing(text):
    write(text)
    assert load_declarations(HERE) == Declarations()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("raws: {}\n", "the file has the unknown key raws; it may have name, licence, raw, target"),
        ("raw: {bone: dark, bit: 12}\n", "raw has the unknown key bit; it may have bone, bits"),
        ("raw: dark\n", "raw is 'dark', expected keys bone"),
        ("raw: {bone: black}\n", "raw: bone is 'black', expected bright or dark"),
        ("target: {bits: 17}\n", "target: bits is 17, expected 1 to 16"),
        ("target: {bits: twelve}\n", "target: bits is 'twelve', expected 1 to 16"),
        ("raw: {bits: true}\n", "raw: bits must be 1 to 16"),
        ("raw: {bits: [1]}\n", r"raw: bits is \[1\], expected 1 to 16"),
        ("raw: {override: maybe}\n", "override true or false"),
        ("- raw\n", "expected keys name"),
        ("raw: {bone: [\n", "dataset.yaml is not YAML"),
        ("raw: {bits: 12}\nraw: {bits: 16}\n", "raw is there twice"),
        ("raw: &a {bone: *a}\n", "stands for itself"),
        ("raw: {bits: .inf}\n", "bits is inf, expected 1 to 16"),
        ("raw: {bits: 12.5}\n", "bits is 12.5, expected 1 to 16"),
        ("raw: {bone: {a: 1}}\n", "bone is .*, expected bright or dark"),
        ("raw: {1: 2}\n", "unknown key 1"),
        (f"{'x' * 1000}: 1\n", "unknown key x"),
        ("[" * 50_000, "nested more than 32 levels"),
    ],
)
def test_a_wrong_entry_is_one_clear_error(text, message):
    write(text)
    with pytest.raises(DatasetError, match=message) as caught:
        load_declarations(HERE)
    assert "dataset.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_what_is_written_is_read_back():
    write_description(HERE, species={"dog": 2, "cat": 1}, targets={"device": 3})
    text = Path("dataset.yaml").read_text()
    assert load_declarations(HERE) == Declarations()
    assert "species:\n  cat: 1\n  dog: 2\n" in text
    assert "targets:\n  device: 3\n" in text


def test_what_the_user_wrote_stays():
    write("licence: CC0\nraw: {bone: dark}\n")
    for count in (1, 2):
        write_description(HERE, species={"cat": count}, targets={})
    assert load_declarations(HERE) == Declarations(Declaration(bone="dark"))
    text = Path("dataset.yaml").read_text()
    assert "licence: CC0\n" in text
    assert "cat: 2\n" in text


def test_what_is_found_outside_the_field_is_written_and_what_is_declared_stays():
    write_description(HERE, species={"cat": 1}, targets={}, outside_field="black")
    assert load_declarations(HERE).outside_field == "black"
    write_description(HERE, species={"cat": 2}, targets={}, outside_field="keep")
    assert load_declarations(HERE).outside_field == "black"
    write_description(HERE, species={"cat": 3}, targets={})
    assert load_declarations(HERE).outside_field == "black"


def test_counts_that_did_not_change_leave_the_file_alone():
    write_description(HERE, species={"cat": 1}, targets={})
    with Path("dataset.yaml").open("a") as file:
        file.write("# mine\n")
    write_description(HERE, species={"cat": 1}, targets={})
    assert Path("dataset.yaml").read_text().endswith("# mine\n")


def test_a_folder_in_its_place_is_refused():
    Path("dataset.yaml").mkdir()
    with pytest.raises(DatasetError, match="is not a file"):
        load_declarations(HERE)
