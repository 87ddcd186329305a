"""The numbers of the paper.

D. A. Rodriguez Lopez et al., "Strategies for better memory management in deep-learning algorithms
for contrast enhancement of high-resolution radiological images" (UC3M), Tables I to V: one RTX 2060
of 8 GB, and for the distributed rows two RTX 3070 of 8 GB over 10 Gbit/s; 48 radiographs to train
on, 12 to validate on, 512 px, 50 epochs. The losses are 100 * (1 - MS-SSIM).
"""

from dataclasses import dataclass

ORIGINAL = "original"
SIZE = 512

LOSSES: dict[str, tuple[float, float]] = {
    ORIGINAL: (4.0504, 6.0083),
    "amp": (4.8612, 6.2515),
    "quant": (4.7272, 5.9758),
    "chkp": (4.0482, 6.0592),
    "mom": (4.1456, 5.9941),
    "amp_chkp": (4.8612, 6.2761),
    "chkp_mom": (4.1456, 6.0115),
    "amp_chkp_mom": (15.1742, 17.2537),
    "dist": (4.5295, 5.9778),
    "dist_amp": (4.6431, 5.7533),
    "dist_amp_chkp": (4.6431, 5.7533),
    "dist_amp_mom": (4.5370, 5.7758),
    "dist_amp_chkp_mom": (4.5370, 5.7758),
}
"""Recipe -> loss of training, loss of validation. AMP and quantization together did not run."""


@dataclass(frozen=True)
class Cost:
    """Memory and time as the paper gives them.

    Args:
        forward_mib: Memory of the forward phase in MiB, the mean of both GPUs where there are two.
        backward_mib: Memory of the backward phase in MiB, likewise.
        epoch_s: Seconds of an epoch.
    """

    forward_mib: float
    backward_mib: float
    epoch_s: float


COSTS: dict[str, Cost] = {
    ORIGINAL: Cost(757.76, 440.32, 35.63),
    "amp": Cost(481.28, 102.40, 34.02),
    "chkp_mom": Cost(337.92, 563.20, 37.52),
    "dist": Cost(424.96, 307.20, 53.29),
    "dist_amp": Cost(281.60, 117.76, 40.69),
    "dist_amp_chkp": Cost(163.84, 230.40, 57.26),
}

LOSS_TABLES: dict[str, tuple[str, ...]] = {
    "I": (ORIGINAL, "amp", "quant", "chkp", "mom"),
    "II": (ORIGINAL, "amp_chkp", "amp_quant", "chkp_mom", "amp_chkp_mom"),
    "IV": (ORIGINAL, "dist", "dist_amp", "dist_amp_chkp", "dist_amp_mom", "dist_amp_chkp_mom"),
}
COST_TABLES: dict[str, tuple[str, ...]] = {
    "III": (
        ORIGINAL, "amp", "quant", "chkp", "mom", "amp_chkp", "amp_quant", "chkp_mom", "amp_chkp_mom"
    ),
    "V": (ORIGINAL, "dist", "dist_amp", "dist_amp_chkp", "dist_amp_mom", "dist_amp_chkp_mom"),
}  # fmt: skip
RECIPES = tuple(dict.fromkeys(name for table in LOSS_TABLES.values() for name in table))

FOR_USE = ("quickstart",)
"""Recipes for use, beside the paper's network in a table of their own: their loss is another."""

BAR_FIGURES = {"2": LOSS_TABLES["I"], "4": LOSS_TABLES["IV"], "5": LOSS_TABLES["IV"][2:]}
"""Bars of memory, against the original, or for Figure 5 against Dist+AMP."""

IMAGE_FIGURES = {"3": "amp", "6": "dist", "7": "dist_amp_chkp"}
"""Best and worst validation image of the original beside those of a technique."""


def title_of(recipe: str) -> str:
    """Return a recipe's name as the paper writes it."""
    words = {"original": "Original", "amp": "AMP", "quant": "Quantization", "chkp": "Chkp"}
    words |= {"mom": "Momentum", "dist": "Dist", "quickstart": "Quickstart"}
    return "+".join(words.get(part, part) for part in recipe.split("_"))
