"""Air beside the patient: where the beam met nothing, and how strong it was everywhere.

Attenuation is scaled so that the field spans about [0, 1]; images are float32, shape (H, W), masks
bool of the same shape.
"""

import cv2
import numpy as np

from radenhance.arrays import Image, Mask
from radenhance.reference_enhancer.field import pull_push

THUMBNAIL_SIDE = 512
NUM_BINS = 200
MAX_PEAK = 0.1  # most frequent attenuation of air
MAX_AIR = 0.25  # attenuation that air stays below, however uneven the beam
MAX_VALLEY = 0.6  # height of the histogram between air and patient, of air's peak
MAX_TEXTURE = 0.003  # attenuation; vessels of a lung give 0.006 and more
MAX_TEXTURE_ADDED = 0.001  # of a second mode
MAX_GRADIENT_ADDED = 0.002  # per pixel of the thumbnail; skin lines give 0.008 and more
MIN_AREA = 0.002  # of the field
ROUGHNESS_PERCENTILE = 99
MAX_ROUGHNESS = 0.03  # attenuation above the beam's at which air may still be
FADE = 0.03  # further attenuation over which black turns into what is there


def find_air(image: Image, field: Mask) -> Image | None:
    """Find the air beside the patient.

    Air is the darkest mode of the histogram, if a valley sets it off, where it reaches the border
    of the field and shows no structure; lung that fills the field shows vessels and ribs.

    Args:
        image: Scaled attenuation, continued smoothly outside the field.
        field: The exposed field.

    Returns:
        The attenuation up to which a pixel is air, float32, shape (H, W): that of the beam, which
        is uneven (heel effect, scatter) and is continued behind the patient, plus its noise. None
        if no air is seen.
    """
    small, inside = thumbnail(image, field)
    air = _air(small, inside)
    if air is None:
        return None
    weight = air.astype(np.float32)
    beam = pull_push(small * weight, weight)
    size = (image.shape[1], image.shape[0])
    ceiling = _resized(beam, size, cv2.INTER_LINEAR)
    ceiling += _roughness(image, ceiling, _resized(weight, size, cv2.INTER_NEAREST) > 0)
    return ceiling


def blacken_air(enhanced: Image, image: Image, ceiling: Image) -> None:
    """Fade air to black, in place.

    Args:
        enhanced: The image to blacken, float32, shape (H, W), in [0, 1].
        image: Scaled attenuation, same shape.
        ceiling: The attenuation up to which a pixel is air, as `find_air` returns it.
    """
    fade = image - ceiling
    fade *= np.float32(1 / FADE)
    np.clip(fade, 0, 1, out=fade)
    enhanced *= fade


def thumbnail(image: Image, field: Mask) -> tuple[Image, Mask]:
    """Return image and field at no more than 512 pixels a side: means, hence with little noise."""
    scale = max(1.0, max(image.shape) / THUMBNAIL_SIDE)
    size = (max(1, round(image.shape[1] / scale)), max(1, round(image.shape[0] / scale)))
    inside = cv2.resize(field.view(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    return _resized(image, size, cv2.INTER_AREA), np.asarray(inside, np.bool_)


def air_levels(values: Image) -> list[float]:
    """Return the upper ends of the dark modes of attenuations, [] if none near 0 is set off.

    The end of a mode is a valley: the lowest count before counts rise again to the double.
    """
    counts = np.histogram(values, NUM_BINS, (0, 1))[0].astype(np.float64)
    counts = np.convolve(counts, np.full(5, 0.2), "same")[: round(MAX_AIR * NUM_BINS)]
    peak = int(np.argmax(counts[: round(MAX_PEAK * NUM_BINS)]))
    highest, levels = counts[peak], list[float]()
    while peak < len(counts):
        after = counts[peak:]
        rises = after > 2 * np.minimum.accumulate(after) + 1e-4 * len(values)
        num = int(np.argmax(rises)) if rises.any() else len(after)
        bottom = peak + int(np.argmin(after[:num]))
        if counts[bottom] <= MAX_VALLEY * highest:
            levels.append((bottom + 1) / NUM_BINS)
        peak += num
    return levels


def _air(image: Image, field: Mask) -> Mask | None:
    """Return where there is air, less a margin of two pixels.

    An uneven beam gives air several modes; those after the first must be as smooth as air.
    """
    air: Mask | None = None
    margin = np.ones((5, 5), np.uint8)
    for level in air_levels(image[field]):
        grown = _reaching_border(image < level, field)
        grown = cv2.erode(grown.view(np.uint8), margin).view(np.bool_)
        added = grown if air is None else grown & ~air
        smooth = MAX_TEXTURE if air is None else MAX_TEXTURE_ADDED
        if not added.any() or _texture(image, added) > smooth:
            break
        if air is not None and _gradient(image, added) > MAX_GRADIENT_ADDED:
            break
        air = grown
    return air


def _resized(image: Image, size: tuple[int, int], interpolation: int) -> Image:
    return np.asarray(cv2.resize(image, size, interpolation=interpolation), np.float32)


def _reaching_border(candidates: Mask, field: Mask) -> Mask:
    """Return the connected parts of `candidates` that reach the field's border and are not tiny."""
    framed = cv2.copyMakeBorder(field.view(np.uint8), 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=0)
    inner = cv2.erode(framed, np.ones((5, 5), np.uint8))[2:-2, 2:-2]
    found = (candidates & field).view(np.uint8)
    num, labels, stats, _ = cv2.connectedComponentsWithStats(found)
    reaching = np.zeros(num, np.bool_)
    reaching[np.unique(labels[inner == 0])] = True
    reaching &= stats[:, cv2.CC_STAT_AREA] >= MIN_AREA * field.sum()
    reaching[0] = False
    return np.asarray(reaching[labels], np.bool_)


def _texture(image: Image, mask: Mask) -> float:
    """Return the median difference between means over 3 and 15 pixels, under the mask."""
    weight = mask.astype(np.float32)
    fine, coarse = (
        cv2.blur(image * weight, (n, n))[mask] / cv2.blur(weight, (n, n))[mask] for n in (3, 15)
    )
    return float(np.median(np.abs(fine - coarse)))


def _gradient(image: Image, mask: Mask) -> float:
    """Return the median gradient under the mask, per pixel."""
    across, along = cv2.Sobel(image, -1, 1, 0, scale=1 / 8), cv2.Sobel(image, -1, 0, 1, scale=1 / 8)
    return float(np.median(np.hypot(across[mask], along[mask])))


def _roughness(image: Image, beam: Image, air: Mask) -> np.float32:
    """Return the height above the beam that nearly all pixels of air stay below."""
    above = image[::2, ::2][air[::2, ::2]] - beam[::2, ::2][air[::2, ::2]]
    if not above.size:
        return np.float32(MAX_ROUGHNESS)
    return np.float32(np.clip(np.percentile(above, ROUGHNESS_PERCENTILE), 0.0, MAX_ROUGHNESS))
