"""Cats, dogs and turtles as path lengths of water and bone.

A radiograph needs no volume: how far each ray travels in which material is enough, and analytic
solids tell it at any pixel size. Read in this order:

    shapes spindle tube outline   solids, known by how far a ray travels in them
    canvas                        maps of path length that solids are put into
    chance texture curves         named random numbers, trabecular texture, smooth curves
    bones vertebra limb_bones     cortex, marrow, trabeculae; bones of several regions
    physique torso                one animal's measures, landmarks and views
    trunk                         spine, thorax, abdomen, girdles -> chest, abdomen, pelvis
    forelimb hindlimb paw         elbow and stifle
    skull teeth, turtle shell     the other regions
    setting implants              what is in the beam besides the animal

Coordinates are millimetres in a cat of 4 kg (turtle: a carapace of 140 mm) with x to the right and
y down; the pose of the canvas scales, turns and mirrors them.
"""
