from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from radenhance.dataset.description import Declarations
from radenhance.dataset.pair import Pair
from radenhance.dicom.declaration import Declaration
from radenhance.dicom.radiograph import Header
from radenhance.prepare.check.findings import bits_declared_by, bone_declared_by, examine

PAIR = Pair("a", "p", "raw.npy", "target.npy", "train")
TWELVE = Declarations(raw=Declaration(bits=12))


def anatomy(rows=180, columns=200, seed=0):
    """Structures of several sizes, uint16, 16 bits."""
    random = np.random.default_rng(seed)
    image = sum(
        sigma * cv2.GaussianBlur(random.standard_normal((rows, columns)), (0, 0), sigma)
        for sigma in (1, 3, 9)
    )
    return (65535 * (image - image.min()) / np.ptp(image)).astype(np.uint16)


def found(raw, target=None, declarations=None):
    np.save("raw.npy", raw)
    np.save("target.npy", raw if target is None else target)
    return examine(Path(), declarations or Declarations(), PAIR)


def test_a_pair_in_order_has_neither_faults_nor_warnings():
    findings = found(anatomy())
    assert (findings.faults, findings.warnings) == ((), ())
    assert findings.alignment.correlation == pytest.approx(1, abs=1e-3)
    assert findings.alignment.distance < 0.05
    assert (findings.raw.rows, findings.raw.cols) == (180, 200)


def test_equal_pixels_have_equal_hashes_whatever_the_file():
    image = anatomy()
    first = found(image)
    cv2.imwrite("raw.png", image)
    second = examine(Path(), Declarations(), replace(PAIR, raw_path="raw.png"))
    assert first.raw.pixels_hash == second.raw.pixels_hash == second.target.pixels_hash
    image[0, 0] ^= 1
    assert found(image).raw.pixels_hash != first.raw.pixels_hash
    turned = np.ascontiguousarray(image.reshape(200, 180))
    assert found(turned).raw.pixels_hash != found(image).raw.pixels_hash


@pytest.mark.parametrize("bone", ["bright", "dark"])
def test_bits_that_the_values_do_not_need_are_told_in_either_polarity(bone):
    image = anatomy() >> 4
    declarations = Declarations(raw=Declaration(bone=bone))
    findings = found(image, declarations=declarations)
    assert findings.raw.used_bits == 12
    assert any("but its values need only 12" in told for told in findings.warnings)
    declared = replace(declarations, raw=replace(declarations.raw, bits=12))
    assert not any("raw is declared" in told for told in found(image, None, declared).warnings)


def test_shares_of_black_and_white_are_of_the_scale_that_is_declared():
    image = anatomy() >> 4
    image[:90] = 4095
    image[90:120] = 0
    findings = found(image, anatomy(), TWELVE)
    assert findings.raw.white == pytest.approx(0.5, abs=0.01)
    assert findings.raw.black == pytest.approx(1 / 6, abs=0.01)
    assert "raw is saturated white in 50 % of its pixels" in findings.warnings


def test_direct_exposure_is_told_of_a_raw_image_and_black_surroundings_of_a_target_are_not():
    dark = anatomy()
    dark[:90] = 0
    raw = found(dark, anatomy()).warnings
    target = found(anatomy(), dark).warnings
    assert any("saturated by direct exposure in 50 %" in told for told in raw)
    assert not any("saturated" in told for told in target)


def test_a_constant_image_is_washed_out_and_divides_by_nothing():
    findings = found(np.full((180, 200), 7, np.uint16), anatomy())
    assert findings.raw.window_width == 0
    assert any("raw is washed out" in told for told in findings.warnings)
    assert findings.alignment.correlation == 0


def test_a_file_that_cannot_be_read_is_a_fault_and_the_other_one_is_still_described():
    np.save("raw.npy", anatomy(170, 180))
    findings = examine(Path(), Declarations(), PAIR)
    assert findings.target is None
    assert findings.alignment is None
    assert findings.raw.rows == 170
    assert findings.faults == ("target: No such file or directory",)


def test_an_inverted_target_is_a_fault_and_a_shifted_one_a_warning():
    image = anatomy()
    assert "INVERTED" in found(image, 65535 - image).faults[0]
    shifted = found(image, np.roll(image, (0, 3), (0, 1)))
    assert shifted.faults == ()
    (told,) = shifted.warnings
    assert told.startswith("target is shifted by +0.00 rows and +3.00 columns against its raw")
    assert "prepare --register-targets" in told
    other = found(image, anatomy(seed=1))
    assert "fits its raw image in none of eight orientations" in other.faults[0]
    assert "shifted" not in "".join(other.warnings)


@pytest.mark.parametrize(
    ("header", "declaration", "for_presentation", "bone_by", "bits_by"),
    [
        (Header(), Declaration(), False, "format", "format"),
        (Header(), Declaration(bone="dark", bits=12), True, "dataset.yaml", "dataset.yaml"),
        (
            Header(sign=-1, photometric="MONOCHROME2"),
            Declaration(bone="dark"),
            False,
            "(0028,1041)",
            "(0028",
        ),
        (Header(sign=-1, photometric="MONOCHROME2"), Declaration(), True, "(0028,0004)", "VOI"),
        (
            Header(sign=1, photometric="MONOCHROME1", intent="FOR PRESENTATION"),
            Declaration(),
            False,
            "(0028,0004)",
            "(0028,0101)",
        ),
        (
            Header(sign=1),
            Declaration(bone="dark", bits=10, override=True),
            False,
            "dataset.yaml",
            "dataset.yaml",
        ),
        (Header(species="cat"), Declaration(bone="dark"), False, "dataset.yaml", "(0028,0101)"),
    ],
)
def test_what_declares_polarity_and_bits_is_named(
    header, declaration, for_presentation, bone_by, bits_by
):
    assert bone_declared_by(header, declaration, for_presentation=for_presentation).startswith(
        bone_by
    )
    assert bits_declared_by(header, declaration, for_presentation=for_presentation).startswith(
        bits_by
    )
