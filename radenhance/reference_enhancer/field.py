"""The exposed field of a radiograph: what is done outside it, and where the patient is inside.

Images are float32, shape (H, W), attenuation scaled to about [0, 1]; masks are bool, same shape.
"""

import cv2
import numpy as np

from radenhance.arrays import Image, Mask
from radenhance.reference_enhancer import pyramid

METAL = 0.985  # attenuation from which a pixel may be an implant or a lead marker
SMALLEST_SIDE = 4  # of a pyramid level


def fill_outside(image: Image, field: Mask) -> Image:
    """Continue an image smoothly from the field over the rest; inside nothing changes.

    The jump at the border of the field would otherwise be enhanced like anatomy.
    """
    if field.all() or not field.any():
        return image
    weight = field.astype(np.float32)
    return pull_push(image * weight, weight)


def pull_push(total: Image, weight: Image) -> Image:
    """Return the mean `total / weight`, and where the weight is 0 the mean of what is nearby.

    Near means as far as need be: what a level of the pyramid does not know is taken from the next
    coarser one (Gortler et al., The Lumigraph, SIGGRAPH 1996).

    Args:
        total: Sums of values times their weights, float32, shape (H, W).
        weight: The weights, same shape, 0 or more and at least one above 0; a mean of weight 1/4
            or more is trusted fully.
    """
    mean: Image = np.divide(total, np.maximum(weight, 1e-30), dtype=np.float32)
    if min(total.shape) < SMALLEST_SIDE:
        mean[weight == 0] = total.sum() / weight.sum()
        return mean
    trust = np.minimum(4 * weight, 1)
    if trust.min() == 1:
        return mean
    coarse = pull_push(pyramid.reduce(total), pyramid.reduce(weight))
    nearby = pyramid.expand(coarse, pyramid.shape_of(total))
    mean -= nearby
    mean *= trust
    mean += nearby
    return mean


def shutter(field: Mask, *, feather_px: float) -> Image:
    """Return a weight per pixel: 0 outside the field, rising to 1 over `feather_px` inside it."""
    inward = cv2.distanceTransform(field.view(np.uint8), cv2.DIST_L2, 3)
    return np.asarray(np.minimum(inward / feather_px, 1, out=inward), np.float32)


def find_anatomy(image: Image, field: Mask, air: Image | None) -> Mask:
    """Return where the patient is: the field less metal and air, or all of it if nothing is left.

    Args:
        image: Scaled attenuation, float32, shape (H, W).
        field: The exposed field, bool, same shape.
        air: The attenuation up to which a pixel is air, same shape; None if there is no air.
    """
    anatomy = field & (image < METAL)
    if air is not None:
        anatomy &= image > air
    return anatomy if anatomy.any() else field
