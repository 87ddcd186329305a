"""Teeth of both jaws and sides, seen from the side.

Enamel is the densest tissue there is, and its edges are the hardest.
"""

import numpy as np

from radenhance.phantoms.anatomy.bones import rod
from radenhance.phantoms.anatomy.canvas import Canvas
from radenhance.phantoms.anatomy.curves import curve
from radenhance.phantoms.anatomy.outline import Outline

ENAMEL = 0.9
# Root and tip from the tip of the nose, and how far the middle bows forwards.
CANINES = (((13, 8), (6.0, 25), 2.0), ((14, 28), (7.5, 14), 1.6))
INCISORS = (((3.2, 11), (2.0, 19.5)), ((7.5, 26), (4.0, 20.0)))
LAST_MOLAR = -36.0
SPACING = 6.4


def put_teeth(canvas: Canvas, nose: float) -> None:
    """Draw all teeth of a skull; `nose` is the x in mm of the tip of its nose."""
    for dx in (0.0, 1.6):
        for (root_x, root_y), (tip_x, tip_y), bow in CANINES:
            middle = ((root_x + tip_x) / 2 + bow, (root_y + tip_y) / 2)
            line = curve([(root_x, root_y), middle, (tip_x, tip_y)], 7) + (nose + dx, 0)
            tooth = rod(line, 1.5, 1.9, 1.7, 0.3)
            canvas.put(tooth, "bone", instead_of="soft", share=ENAMEL)
        places = np.arange(nose + 20, LAST_MOLAR, SPACING).tolist()
        for i, x in enumerate(places):
            size = 0.75 + 0.6 * (i + 1) / len(places)
            _put_cheek_tooth(canvas, x + dx, 16.5, size)
            _put_cheek_tooth(canvas, x + dx - 2.5, 26.5, -0.95 * size)
    for start, end in INCISORS:
        row = rod([(nose + start[0], start[1]), (nose + end[0], end[1])], 0.9, 0.7, flatness=3)
        canvas.put(row, "bone", instead_of="soft", share=ENAMEL)


def _put_cheek_tooth(canvas: Canvas, x: float, y: float, size: float) -> None:
    """Draw crown and two roots; a negative size points upwards, for the lower jaw."""
    w, h = 4.6 * abs(size), 5.0 * size
    profile = np.array([(0, 0), (1, 0), (0.95, 0.5), (0.55, 1), (0.3, 0.75), (0, 0.4)])
    crown = Outline(profile * (w, h) + (x, y), 2.4, 0.9)
    canvas.put(crown, "bone", instead_of="soft", share=ENAMEL)
    for at in (0.2, 0.8):
        root = rod([(x + at * w, y), (x + (0.1 + 0.8 * at) * w, y - h)], 0.85, 0.4)
        canvas.put(root, "bone", instead_of="soft", share=0.7)
