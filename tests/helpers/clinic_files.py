"""Files as a clinic exports them: phantoms that carry the name of an owner."""

from radenhance.phantoms.radiograph import dataset_of, phantom

OWNER, PET, NUMBER = "Quillfeather", "Zorbax", "QF774411"
SECRETS = (OWNER, PET, NUMBER)


def named_dataset(species="dog", *, seed=0, patient=None, spacing_mm=2.0):
    """A phantom's dataset with names and numbers of an invented owner."""
    dataset = dataset_of(phantom(species, seed=seed, spacing_mm=spacing_mm))
    dataset.PatientName = f"{OWNER}^{PET}"
    dataset.PatientID = f"{NUMBER}-{seed if patient is None else patient}"
    dataset.ResponsiblePerson = f"{OWNER}^Ann"
    return dataset


def save(dataset, path):
    """Write a dataset as a DICOM file and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path
