import numpy as np
import pytest

from radenhance.dataset.manifest import read_manifest
from radenhance.dicom.read import read
from radenhance.prepare.real import SAMPLES, make_real_pairs, sample


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    root = tmp_path_factory.mktemp("samples") / "real"
    make_real_pairs(root)
    return root


def test_real_samples_only_validate(real):
    pairs = read_manifest(real)
    assert [(pair.case_id, pair.split) for pair in pairs] == [("RG1", "val"), ("RG3", "val")]


def test_raw_files_are_those_of_the_package(real):
    for name in SAMPLES:
        assert (real / f"raw/{name}.dcm").read_bytes() == sample(name).read_bytes()
    assert read(real / "raw/RG1.dcm").shape == (1955, 1841)
    assert read(real / "raw/RG3.dcm").shape == (1760, 1760)


def test_targets_have_the_size_of_the_raw_image_and_contrast(real):
    for pair in read_manifest(real):
        raw = read(real / pair.raw_path)
        target = read(real / pair.target_path, for_presentation=True)
        assert target.shape == raw.shape == (pair.rows, pair.cols)
        assert target.pixels.std() > 0.02 * target.max_value
        assert np.ptp(target.pixels) > 0.5 * target.max_value
