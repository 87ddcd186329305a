"""Cats, dogs and turtles as path lengths of water and bone.

shapes spindle tube outline   solids, known by how far a ray travels in them
canvas                        maps of path length that solids are put into
bones vertebra                cortex, marrow, trabeculae
physique torso                one animal's measures, landmarks and views
trunk                         spine, ribs, thorax, abdomen, girdles -> chest, abdomen, pelvis
limb skull turtle             the other parts
setting implants              what lies in the beam besides the animal
"""
