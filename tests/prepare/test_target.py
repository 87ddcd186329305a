import hashlib
from pathlib import Path

import numpy as np
import pytest
from clinic_files import named_dataset, save

from radenhance.dicom.read import read
from radenhance.errors import RadiographError
from radenhance.prepare.target import algorithm_columns, make_target, reference_target, sha256_of
from radenhance.reference_enhancer.presets import PRESETS


@pytest.fixture
def raw():
    Path("set/target").mkdir(parents=True)
    return save(named_dataset("dog", seed=3, spacing_mm=1.0), Path("set/raw/1.2.dcm"))


def test_a_target_lies_beside_its_raw_file_and_the_line_describes_both(raw):
    pair = make_target(Path("set"), raw)
    assert (pair.raw_path, pair.target_path) == ("raw/1.2.dcm", "target/1.2.png")
    target = read(Path("set") / pair.target_path, for_presentation=True)
    assert target.shape == read(raw).shape == (pair.rows, pair.cols)
    assert pair.source_sha256 == pair.raw_sha256 == sha256_of(raw)
    assert pair.target_sha256 == sha256_of(Path("set/target/1.2.png"))
    assert pair.species == "dog"


def test_presets_make_targets_of_their_own_and_say_so(raw):
    radiograph = read(raw)
    images = [reference_target(radiograph, preset=preset) for preset in ("default", "thorax")]
    assert not np.array_equal(*images)
    for image in images:
        assert image.dtype == np.float32
        assert 0 <= image.min() < image.max() <= 1
    for preset in PRESETS:
        columns = algorithm_columns(preset)
        assert columns["target_algo"].endswith(f" {preset}")
        assert columns["target_algo_hash"] == PRESETS[preset].fingerprint()


def test_a_target_is_the_same_every_time(raw):
    first = make_target(Path("set"), raw)
    assert make_target(Path("set"), raw) == first


def test_a_raw_file_that_is_cut_off_makes_no_target(raw):
    raw.write_bytes(raw.read_bytes()[:-10])
    with pytest.raises(RadiographError, match="cut off"):
        make_target(Path("set"), raw)
    assert list(Path("set/target").iterdir()) == []


def test_a_hash_is_that_of_the_content():
    Path("a").write_bytes(b"abc")
    assert sha256_of(Path("a")) == hashlib.sha256(b"abc").hexdigest()
