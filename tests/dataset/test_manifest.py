import csv
import hashlib
import io
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from radenhance.dataset.manifest import (
    Pair,
    describe,
    find_pairs,
    fingerprint,
    image_columns,
    listed_pairs,
    may_be_radiograph,
    read_manifest,
    stem_of,
    write_manifest,
)
from radenhance.dicom.radiograph import Header, Radiograph
from radenhance.errors import DatasetError


@pytest.fixture
def root(tmp_path):
    """A dataset folder with the cases a and b, both halves as NPY."""
    for half in ("raw", "target"):
        (tmp_path / half).mkdir()
        for case in ("a", "b"):
            np.save(tmp_path / half / f"{case}.npy", np.zeros((4, 4), np.uint16))
    return tmp_path


def pair(case, **columns):
    defaults = {"patient_id": case, "split": "train"}
    return Pair(
        case_id=case,
        raw_path=f"raw/{case}.npy",
        target_path=f"target/{case}.npy",
        **(defaults | columns),
    )


def test_what_is_written_is_read_back(root):
    pairs = [pair("a", species="cat", notes='odd, "quoted"'), pair("b", split="val")]
    write_manifest(root, pairs)
    assert read_manifest(root) == pairs


def test_numbers_are_read_back_as_numbers_and_nothing_as_nothing(root):
    write_manifest(root, [pair("a", rows=4, sign=-1, kvp=52.5), pair("b")])
    first, second = read_manifest(root)
    assert (first.rows, first.sign, first.kvp) == (4, -1, 52.5)
    assert (second.rows, second.sign, second.kvp) == (None, None, None)


def test_columns_that_a_user_added_stay_with_their_cases(root):
    write_manifest(root, [pair("a"), pair("b")])
    lines = (root / "pairs.csv").read_text().splitlines()
    added = [f"{line},{value}" for line, value in zip(lines, ("mood", "calm", "wild"), strict=True)]
    (root / "pairs.csv").write_text("\n".join(added))
    write_manifest(root, [pair("b"), pair("a")])
    header, first, second = (root / "pairs.csv").read_text().splitlines()
    assert header.endswith(",mood")
    assert (first[0], first.rsplit(",", 1)[1]) == ("b", "wild")
    assert (second[0], second.rsplit(",", 1)[1]) == ("a", "calm")


def test_rejected_pairs_stay_listed_and_unused(root):
    write_manifest(root, [pair("a"), pair("b", accept=0)])
    assert [p.case_id for p in read_manifest(root)] == ["a"]
    assert "raw/b.npy" in (root / "pairs.csv").read_text()


def test_a_spreadsheet_may_save_it_with_a_byte_order_mark_and_fewer_columns(root):
    text = "case_id,raw_path,target_path,split,mood\na,raw/a.npy,target/a.npy,val,fine\n"
    (root / "pairs.csv").write_text(text, encoding="utf-8-sig")
    (read,) = read_manifest(root)
    assert (read.case_id, read.split, read.accept) == ("a", "val", 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("case_id,raw_path,split\n", "no column target_path"),
        (
            "case_id,raw_path,target_path,split\na,raw/a.npy,target/a.npy,training\n",
            "line 2: split is 'training', expected train, val or test",
        ),
        (
            "case_id,raw_path,target_path,split,accept\na,raw/a.npy,target/a.npy,val,perhaps\n",
            "line 2: accept is 'perhaps', expected 1 or 0",
        ),
        (
            "case_id,raw_path,target_path,split\nc,raw/c.npy,target/c.npy,val\n",
            "raw/c.npy of case c is not there",
        ),
        ("case_id,raw_path,target_path,split\na\n", "line 2: split is '', expected"),
        (
            "case_id,raw_path,target_path,split,kvp\na,raw/a.npy,target/a.npy,val,much\n",
            "line 2: kvp is 'much', expected a number",
        ),
    ],
)
def test_a_wrong_line_is_named(root, text, message):
    (root / "pairs.csv").write_text(text)
    with pytest.raises(DatasetError, match=message):
        read_manifest(root)


HEAD = "case_id,raw_path,target_path,split"
LINE = "a,raw/a.npy,target/a.npy,val"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        *(
            (f"{HEAD},{name}\n{LINE},{value}\n", f"line 2: {name} is .*, expected {expected}")
            for name, value, expected in (
                ("rows", "0", "1 to 20000"),
                ("cols", "-4", "1 to 20000"),
                ("rows", "9" * 5000, "a number"),
                ("cols", "1e3", "a number"),
                ("bits_stored", "65", "1 to 64"),
                ("sign", "2", "-1 to 1"),
                ("kvp", "inf", "a finite number"),
                ("mas", "nan", "a finite number"),
                ("pixel_spacing_mm", "1e999", "a finite number"),
            )
        ),
        *(
            (f"{HEAD}\n{case},raw/a.npy,target/a.npy,val\n", "case_id is .*, expected the name of")
            for case in ("../../a", "/etc/a", "..", "", "a\\b")
        ),
        (f"{HEAD},notes,notes\n{LINE},1,2\n", "the column 'notes' twice"),
        (f"{HEAD}\n{LINE},more\n", "line 2 has 5 values for 4 columns"),
        (f'{HEAD}\n"{LINE}\n', "line 2 is not CSV"),
        (f"{HEAD},notes\n{LINE},{'x' * 140_000}\n", "line 2 is not CSV: field larger"),
        (f"{HEAD}\na,raw/{'x' * 100_000},target/a.npy,val\n", "raw/x.* is not there"),
        (f"{HEAD}\n{LINE}{'x' * 100_000}\n", "split is 'valx"),
        (f"{HEAD}\n{LINE}\0", "it has zero bytes"),
        ("", "no column case_id"),
        ("\n\n", "no column"),
        ("#" * (64 * 2**20 + 1), "larger than 64 MiB"),
    ],
    ids=range(24),
)
def test_a_hostile_manifest_is_one_short_sentence(root, text, message):
    (root / "pairs.csv").write_text(text)
    with pytest.raises(DatasetError, match=message) as caught:
        read_manifest(root)
    assert len(str(caught.value)) < 1000


def as_spreadsheet(root, *, delimiter, decimal, end, quoting, head, change):
    """Save `pairs.csv` again as a spreadsheet does."""
    with (root / "pairs.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=quoting)
    numbers = {rows[0].index(name) for name in ("pixel_spacing_mm", "kvp", "mas", "rows", "sign")}
    for row in rows:
        values = [change(value) for value in row]
        if row is not rows[0]:
            for index in numbers:
                values[index] = row[index].replace(".", decimal)
        writer.writerow(values)
    content = head.format(delimiter=delimiter, end=end) + text.getvalue()
    (root / "pairs.csv").write_bytes(content.encode())


SPREADSHEETS = [
    dict(zip(("delimiter", "decimal", "end", "quoting", "head"), values, strict=True))
    for values in itertools.product(
        ",;\t",
        ".,",
        ("\n", "\r\n"),
        (csv.QUOTE_MINIMAL, csv.QUOTE_ALL),
        ("", "\ufeff", "sep={delimiter}{end}"),
    )
]


@pytest.mark.parametrize("how", SPREADSHEETS, ids=lambda how: "".join(map(repr, how.values())))
def test_what_a_spreadsheet_saved_is_read_as_what_was_written(root, how):
    pairs = [
        pair("a", species="cat", body_part="CHEST", kvp=62.5, mas=0.8, rows=512, sign=-1),
        pair("b", split="val", species="dog", notes="two; or, three", pixel_spacing_mm=0.148),
    ]
    write_manifest(root, pairs)
    as_spreadsheet(root, **how, change=lambda value: value)
    assert listed_pairs(root) == pairs
    write_manifest(root, listed_pairs(root))  # as `prepare` does, which so repairs it
    assert (root / "pairs.csv").read_bytes().startswith(b"case_id,")
    assert listed_pairs(root) == pairs


@pytest.mark.parametrize("change", [str.upper, str.lower, str.title, " {} ".format])
@pytest.mark.parametrize("column", ["split", "species", "body_part", "view", "intent"])
def test_categories_that_differ_in_case_or_blanks_are_one(root, column, change):
    known = {"species": "cat", "body_part": "CHEST", "view": "VD", "intent": "FOR PROCESSING"}
    expected = pair("a", split="train", **known)
    write_manifest(root, [expected])
    text = (root / "pairs.csv").read_text().splitlines()
    values = dict(zip(text[0].split(","), text[1].split(","), strict=True))
    values[column] = change(values[column])
    (root / "pairs.csv").write_text("\n".join([text[0], ",".join(values.values())]))
    assert listed_pairs(root) == [expected]


@pytest.mark.parametrize(("typed", "accept"), [("TRUE", 1), ("False", 0), ("1,0", 1), ("no", 0)])
def test_what_a_spreadsheet_makes_of_1_and_0_is_accept(root, typed, accept):
    write_manifest(root, [pair("a")])
    head, line = (root / "pairs.csv").read_text().splitlines()
    index = head.split(",").index("accept")
    values = line.split(",")
    values[index] = f'"{typed}"'
    (root / "pairs.csv").write_text("\n".join([head, ",".join(values)]))
    assert listed_pairs(root)[0].accept == accept


@pytest.mark.parametrize("spoiled", ["1.23457E+11", "1,23457E+11", "5E+63", "2.5E+908"])
@pytest.mark.parametrize("column", ["patient_id", "source_sha256", "recipe"])
def test_a_hash_that_a_spreadsheet_took_for_a_number_is_named(root, column, spoiled):
    write_manifest(root, [pair("a", **{column: spoiled})])
    with pytest.raises(DatasetError, match=f"line 2: {column} is .*a spreadsheet made of a hash"):
        listed_pairs(root)


@pytest.mark.parametrize("patient", ["5E2", "E7", "rex"])
def test_a_patient_may_have_any_other_name(root, patient):
    write_manifest(root, [pair("a", patient_id=patient)])
    assert listed_pairs(root)[0].patient_id == patient


def test_empty_values_at_the_end_of_a_line_and_empty_lines_are_none(root):
    (root / "pairs.csv").write_text(f"{HEAD}\n\n{LINE},,\n\n")
    (read,) = read_manifest(root)
    assert read.case_id == "a"


def test_a_patient_in_two_splits_is_refused(root):
    write_manifest(root, [pair("a", patient_id="p"), pair("b", patient_id="p", split="val")])
    with pytest.raises(DatasetError, match="patient p is in the splits train and val"):
        read_manifest(root)


def test_pairs_are_found_by_their_stems(root):
    assert [(p.case_id, p.raw_path) for p in find_pairs(root)] == [
        ("a", "raw/a.npy"),
        ("b", "raw/b.npy"),
    ]


@pytest.mark.parametrize(("half", "other"), [("raw", "target"), ("target", "raw")])
def test_an_unpaired_file_is_named_with_the_partner_it_lacks(root, half, other):
    (root / half / "a.npy").unlink()
    message = rf"{other}/a\.npy has no partner: expected .*{half}/a\.\*"
    with pytest.raises(DatasetError, match=message):
        find_pairs(root)


def test_a_file_that_is_no_radiograph_is_named(root):
    (root / "raw" / "notes.txt").write_text("hello")
    with pytest.raises(DatasetError, match=r"notes\.txt is not a radiograph"):
        find_pairs(root)


def test_two_files_of_one_stem_are_refused(root):
    np.save(root / "raw" / "a.tif", np.zeros((4, 4)))
    (root / "raw" / "a.tif.npy").rename(root / "raw" / "a.tif")
    with pytest.raises(DatasetError, match="have one stem"):
        find_pairs(root)


def test_a_folder_that_is_no_dataset_is_told_what_is_expected(tmp_path):
    with pytest.raises(DatasetError, match=r"neither pairs\.csv nor a folder raw/"):
        find_pairs(tmp_path)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_spreadsheet_in_another_encoding_is_told_the_remedy(root, encoding):
    text = "case_id,raw_path,target_path,split,notes\na,raw/a.npy,target/a.npy,val,pi\u00f1a\n"
    (root / "pairs.csv").write_text(text, encoding=encoding)
    with pytest.raises(DatasetError, match="not UTF-8 text; save it"):
        read_manifest(root)


def test_listing_shows_rejected_pairs_too_and_needs_no_files(root):
    write_manifest(root, [pair("a", accept=0), pair("gone")])
    assert [p.case_id for p in listed_pairs(root)] == ["a", "gone"]


def test_a_line_tells_what_the_header_does_and_no_identity(root):
    header = Header(
        study_uid="1.2.840.1", patient="0123456789ab", species="Canine", view="LAT", kvp=52.0
    )
    line = describe(root, root / "raw/a.npy", root / "target/a.npy", header, notes="n")
    assert (line.case_id, line.raw_path, line.target_path) == ("a", "raw/a.npy", "target/a.npy")
    assert (line.species, line.view, line.kvp, line.notes) == ("dog", "LAT", 52.0, "n")
    assert line.patient_id == "0123456789ab"
    assert line.study_uid == hashlib.sha256(b"1.2.840.1").hexdigest()[:12]


def test_equal_pixels_have_one_hash_whatever_the_file(root):
    pixels = np.arange(12, dtype=np.uint16).reshape(3, 4)
    columns = [
        image_columns(Radiograph(pixels, 12, "LOG", Path(name), spacing_mm=(0.1, 0.2)))
        for name in ("a.dcm", "b.png")
    ]
    assert columns[0] == columns[1]
    assert (columns[0]["rows"], columns[0]["cols"], columns[0]["bits_stored"]) == (3, 4, 12)
    assert columns[0]["pixel_spacing_mm"] == pytest.approx(0.15)


@pytest.mark.parametrize(
    ("name", "stem", "radiograph"),
    [
        ("a.dcm", "a", True),
        ("A.PNG", "A", True),
        ("1.2.840.113", "1.2.840.113", True),
        ("IM0001", "IM0001", True),
        ("notes.txt", "notes", False),
    ],
)
def test_scanners_names_without_a_suffix_are_radiographs(name, stem, radiograph):
    assert stem_of(Path(name)) == stem
    assert may_be_radiograph(Path(name)) == radiograph


def test_a_fingerprint_changes_with_pairs_splits_sizes_and_declarations(root):
    pairs = find_pairs(root)
    found = [fingerprint(root, pairs)]
    assert fingerprint(root, reversed(pairs)) == found[0]
    found.append(fingerprint(root, pairs[:1]))
    found.append(fingerprint(root, [replace(pairs[0], split="val"), *pairs[1:]]))
    found.append(fingerprint(root, [replace(pairs[0], pixels_sha256="0"), *pairs[1:]]))
    (root / "dataset.yaml").write_text("name: other")
    found.append(fingerprint(root, pairs))
    raw = root / pairs[0].raw_path
    raw.write_bytes(raw.read_bytes() + b"0")
    found.append(fingerprint(root, pairs))
    assert len(set(found)) == len(found)
