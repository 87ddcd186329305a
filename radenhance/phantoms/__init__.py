"""Synthetic radiographs of cats, dogs and turtles, as raw DICOM files.

Raw veterinary radiographs are rarely shared. These have no patient, no owner and no licence, and
their physics is known: attenuation, scatter and noise obey the laws that a detector obeys, so that
what a network does to them can be measured.

Read in this order:

    radiograph      from one seed to one radiograph: all that follows, in the order of one exposure
    animals         which animal, which examination, and the plan of a whole dataset
    anatomy/        the animal as path lengths of water and bone behind every pixel
    spectra         the beam, and how water and bone attenuate it
    scatter         scattered radiation
    physics         from path lengths to detector values
    phantom         what comes out: pixels, and the facts of their header
    phantom_dicom   the DICOM file of a phantom
"""
