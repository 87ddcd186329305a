"""Images of another size, with their proportions kept."""

import cv2

from radenhance.arrays import Image


def resample(image: Image, shorter_side: int) -> Image:
    """Return an image with its shorter side at `shorter_side` pixels and its proportions kept.

    Downsampling takes area means, so that noise averages out as on larger detector elements;
    upsampling interpolates linearly, and stays between the values of the image.

    Args:
        image: The image, float32, shape (H, W).
        shorter_side: The shorter side of the result, in pixels.
    """
    rows, columns = image.shape
    scale = shorter_side / min(rows, columns)
    if scale == 1:
        return image
    size = (max(round(columns * scale), shorter_side), max(round(rows * scale), shorter_side))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    resized: Image = cv2.resize(image, size, interpolation=method)  # type: ignore[assignment]
    return resized
