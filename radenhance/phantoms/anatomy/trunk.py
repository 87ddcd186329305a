"""The whole trunk of a cat or dog, skin to marrow, for one view.

Chest, abdomen and pelvis are one drawing under three fields, so that what reaches over the border
of one field is right in the next.
"""

from radenhance.phantoms.anatomy.abdomen import put_abdomen
from radenhance.phantoms.anatomy.canvas import Canvas
from radenhance.phantoms.anatomy.girdles import limb_flesh, put_pelvis, put_shoulders
from radenhance.phantoms.anatomy.physique import Physique
from radenhance.phantoms.anatomy.shapes import Union
from radenhance.phantoms.anatomy.spine import put_ribs, put_spine
from radenhance.phantoms.anatomy.thorax import put_thorax
from radenhance.phantoms.anatomy.torso import TRUNK, Projection, View

MARBLING = 0.05
"""Fraction of fat between the fibres of muscle."""
LIMB_BESIDE_TRUNK = 0.3
"""Fraction of a limb's thickness that adds to the trunk's where they overlap."""


def put_trunk(canvas: Canvas, physique: Physique, *, view: View) -> None:
    """Draw trunk, shoulders and pelvis into a canvas of air."""
    projection = Projection(view, physique.girth)
    _put_body(canvas, projection, physique)
    put_abdomen(canvas, projection, physique)
    put_thorax(canvas, projection, physique)
    put_ribs(canvas, projection, physique)
    put_spine(canvas, projection)
    put_shoulders(canvas, projection, physique)
    put_pelvis(canvas, projection, physique)


def _put_body(canvas: Canvas, projection: Projection, physique: Physique) -> None:
    """Draw skin, fat and muscle of trunk and limbs."""
    limbs = limb_flesh(projection, physique)
    whole = Union((projection.trunk(TRUNK, caps=(0.0, 20.0)), *limbs))
    canvas.put(whole, "fat")
    canvas.put(whole.shrunk(physique.fat_mm), "soft", instead_of="fat")
    canvas.put(whole, "fat", instead_of="soft", share=MARBLING, grain=1.0)
    for limb in limbs:
        canvas.put(limb, "soft", share=LIMB_BESIDE_TRUNK)
