"""One tone curve from raw images to targets."""

import numpy as np
import pytest
import torch

from radenhance.inference.lookup_table import NUM_BINS, fitted_curve, toned

VALUES = torch.linspace(0, 1, NUM_BINS).reshape(1, 1, 16, 16)
FIELD = torch.full((1, 1, 16, 16), 255, dtype=torch.uint8)


def test_the_curve_is_that_of_the_targets():
    curve = fitted_curve([{"raw": VALUES, "target": VALUES**2}])
    assert curve == pytest.approx(np.linspace(0, 1, NUM_BINS) ** 2, abs=1e-6)


def test_the_curve_never_falls():
    """Where targets fall it is their mean."""
    curve = fitted_curve([{"raw": VALUES, "target": 1 - VALUES}])
    assert curve == pytest.approx(np.full(NUM_BINS, 0.5))


def test_values_that_no_image_has_are_interpolated():
    curve = fitted_curve([{"raw": torch.tensor([[[[0.0, 1.0]]]]), "target": torch.tensor([0.2, 0.8])
                           .reshape(1, 1, 1, 2)}])  # fmt: skip
    assert curve == pytest.approx(np.linspace(0.2, 0.8, NUM_BINS))


def test_what_is_outside_the_field_is_not_fitted_and_stays_black():
    field = FIELD.clone()
    field[..., :8, :] = 0
    batch = {"raw": VALUES, "target": torch.where(field > 0, 0.7, 0.0), "field": field}
    curve = fitted_curve([batch])
    assert curve == pytest.approx(np.full(NUM_BINS, 0.7))
    image = toned(batch, curve)
    assert image[..., :8, :].max() == 0
    assert image[..., 8:, :] == pytest.approx(0.7)
