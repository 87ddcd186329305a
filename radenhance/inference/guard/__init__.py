"""What a network made up or wiped out, and how far its pixels may be off.

A radiologist reads details of a millimetre, and a network can draw one as easily as it can smooth
one away. The guard compares source and output, and needs no target.

    bands       structures of 1 to 3 mm that only one of the two has
    intervals   half-widths around the output that contain the target of 90 % of the pixels
    guard       both as one verdict
    calibrate   their thresholds, from validation images of one checkpoint
"""
