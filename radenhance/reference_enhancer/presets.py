"""Parameters of the reference enhancer, and the presets a radiologist chooses from."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass

from radenhance.dataset.field import FEATHER_PX
from radenhance.dataset.species import SPECIES, species_of

# Changes whenever the same parameters would give another image.
ALGORITHM = "laplacian-power/1"

# Gain per octave for structures from 0.1 mm wide (first) to 26 mm and more (last).
OCTAVE_GAINS = (1.0, 1.3, 1.6, 1.7, 1.6, 1.4, 1.1, 0.9, 0.75)


@dataclass(frozen=True)
class Preset:
    """Every number that decides how the reference enhancer renders a radiograph.

    Contrasts are in units of the image's range after percentile normalization; 0.05 is a structure
    that absorbs a twentieth of the range more than its surroundings.

    Args:
        power: Exponent of contrast; 1 keeps all in proportion, less lifts faint ones more.
        unit_contrast: Contrast that the power law leaves as it is, before `octave_gains`.
        core_contrast: Contrast below which the gain stays constant, so that noise is not lifted
            without bound.
        octave_gains: Gain per octave, from structures of 0.1 mm on; the last holds for all wider.
        residual_gain: Contrast kept of the broadest differences, in [0, 1]; less brings abdomen and
            lung closer together.
        num_noisy_levels: Finest pyramid levels in which noise is kept from being amplified.
        noise_onset: Local contrast, in standard deviations of noise, up to which the gain is 1.
        noise_width: Further standard deviations after which the whole gain is used.
        low_percentile: Part of the field below the black end of the tone range, in percent.
        high_percentile: Part of the field below the white end of the tone range, in percent.
        black_percentile: Part of the anatomy that turns black, in percent.
        white_percentile: Part of the anatomy below the white point, in percent.
        middle: Brightness of the anatomy's median, in (0, 1).
        gammas: Smallest and largest exponent used to reach it.
        shoulder: Brightness from which contrast is compressed towards white, in [0, 1].
        feather_px: Width of the soft edge of the shutter, in pixels.
        find_collimator: Whether collimator edges are looked for in the image.
    """

    power: float = 0.7
    unit_contrast: float = 0.05
    core_contrast: float = 0.005
    octave_gains: tuple[float, ...] = OCTAVE_GAINS
    residual_gain: float = 0.75
    num_noisy_levels: int = 3
    noise_onset: float = 1.0
    noise_width: float = 2.0
    low_percentile: float = 0.1
    high_percentile: float = 99.9
    black_percentile: float = 0.5
    white_percentile: float = 99.5
    middle: float = 0.45
    gammas: tuple[float, float] = (0.6, 1.7)
    shoulder: float = 0.9
    feather_px: float = FEATHER_PX
    find_collimator: bool = True

    def fingerprint(self) -> str:
        """Return the first 16 hex digits of a SHA-256 over algorithm version and parameters."""
        facts = {"algorithm": ALGORITHM, **dataclasses.asdict(self)}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _scaled(*factors: float) -> tuple[float, ...]:
    """Return OCTAVE_GAINS times a factor per octave, 1 for those not given."""
    filled = factors + (1.0,) * (len(OCTAVE_GAINS) - len(factors))
    return tuple(round(gain * factor, 4) for gain, factor in zip(OCTAVE_GAINS, filled, strict=True))


PRESETS: dict[str, Preset] = {
    "soft": Preset(power=0.9, residual_gain=1.0, octave_gains=_scaled(0.8, 0.8, 0.9), middle=0.5),
    "default": Preset(),
    "bone": Preset(
        power=0.65,
        octave_gains=_scaled(1.4, 1.5, 1.4, 1.2),
        residual_gain=0.85,
        black_percentile=4.0,
        middle=0.37,
        gammas=(0.6, 2.2),
    ),
    "thorax": Preset(
        octave_gains=_scaled(1.0, 1.1, 1.2, 1.2, 1.2), residual_gain=0.45, middle=0.52
    ),
    "exotic": Preset(
        power=0.6,
        octave_gains=_scaled(1.0, 1.2, 1.4, 1.6, 1.5, 1.3),
        residual_gain=0.4,
        middle=0.42,
    ),
}
"""soft keeps the look of film; bone darkens soft tissue for trabeculae and cortex; thorax brings
lung and mediastinum together; exotic draws faint structures of every size, as under a shell.
"""

AUTO = "auto"
"""In place of a preset's name: the one that `preset_for` gives."""

_BODY_PARTS = {
    "thorax": "CHEST THORAX LUNG HEART RIB RIBS STERNUM TRACHEA",
    "soft": "ABDOMEN ABDOMENPELVIS STOMACH BLADDER KIDNEY LIVER NECK",
    "bone": """ANKLE ARM BONE CALCANEUS CARPUS CLAVICLE COCCYX CSPINE CTSPINE ELBOW EXTREMITY FEMUR
        FINGER FOOT FOREARM FORELIMB HAND HEAD HINDLIMB HIP HOCK HUMERUS JAW JOINT KNEE LEG LIMB
        LSPINE LSSPINE MANDIBLE MAXILLA MAXILLOFACIAL METACARPUS METATARSUS ORBIT PAW PELVIS PES
        MANUS RADIUS SCAPULA SHOULDER SIJOINT SKULL SPINE SSPINE STIFLE TARSUS THIGH THUMB TIBIA
        TLSPINE TMJ TOE TSPINE ULNA WRIST""",
}
_PRESET_OF = {part: preset for preset, parts in _BODY_PARTS.items() for part in parts.split()}


def preset_for(species: str, body_part: str) -> str:
    """Return the name of the preset that suits an animal and a part of it; default if unknown.

    Args:
        species: A species, in the words of the header.
        body_part: (0018,0015) Body Part Examined, a term of PS3.16 Annex L.
    """
    named = species_of(species)
    if named in SPECIES and named not in ("cat", "dog"):
        return "exotic"
    return _PRESET_OF.get(body_part.upper().replace(" ", ""), "default")
