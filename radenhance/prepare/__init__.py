"""A clinic's folder of radiographs becomes a dataset that trains, and datasets are checked.

Read in this order. `radenhance prepare` (`command`) finds, identifies, pairs up, makes, names,
splits, places and lists:

    source identity export   which files are radiographs, and which words must not leave the clinic
    pairing                  which processed image belongs to which raw one
    target deidentify case   both files of a case: targets made, identities removed, files written
    merge placing listing    names, splits, places, and what the manifest says
    parallel folder          many images at once; a folder that appears whole or not at all

`synthesize` and `real` make datasets without a clinic, and `check` looks at any dataset before it
trains.
"""
