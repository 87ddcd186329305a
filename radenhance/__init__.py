"""radenhance: contrast enhancement of full-resolution radiographs, trained on the GPU you have.

One radiograph's way, which is also the order in which to read the code:

    training  dicom.read -> dataset -> network -> loss -> callbacks
    use       dicom.read -> dataset -> network -> callbacks.prediction_writer (16-bit PNG)

This module imports nothing, so that `radenhance --help` answers at once.
"""

__version__ = "0.1.0"
