"""radenhance: contrast enhancement of full-resolution radiographs, trained on the GPU you have.

One radiograph's way, which is also the order in which to read the code:

    dicom.read -> dataset.normalize -> dataset.augment -> network.unet -> loss.ms_ssim -> callbacks
    -> dicom.write

This module imports nothing, so that `radenhance --help` answers at once.
"""

__version__ = "0.1.0"
