"""Raw and processed images as a vendor's device sends them; nobody was exposed to make them."""

from pathlib import Path

import cv2
import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    ExplicitVRLittleEndian,
    generate_uid,
)

SHAPE = (160, 192)


def anatomy(seed=0, shape=SHAPE):
    """Structures of several sizes in [0, 1], float32."""
    random = np.random.default_rng(seed)
    image = sum(
        sigma * cv2.GaussianBlur(random.standard_normal(shape), (0, 0), sigma)
        for sigma in (1, 3, 9)
    )
    return ((image - image.min()) / np.ptp(image)).astype(np.float32)


def processed(image):
    """Another tone and more local contrast, in [0, 1]."""
    shown = image**1.3 + 1.5 * (image - cv2.GaussianBlur(image, (0, 0), 6))
    return (shown - shown.min()) / np.ptp(shown)


def write_image(path, image, intent, **elements):
    """Write an image of 12 bits and return its SOP Instance UID.

    It is of Digital X-Ray, or of Computed Radiography where there is no intent.

    Args:
        path: Path of the file.
        image: Pixels in [0, 1], bone bright.
        intent: FOR PROCESSING or FOR PRESENTATION; None is Computed Radiography.
        elements: Further elements by keyword.
    """
    dataset = Dataset()
    dataset.SOPClassUID = {
        "FOR PROCESSING": DigitalXRayImageStorageForProcessing,
        "FOR PRESENTATION": DigitalXRayImageStorageForPresentation,
        None: ComputedRadiographyImageStorage,
    }[intent]
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=[str(path)])
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=[str(intent)])
    dataset.StudyInstanceUID, dataset.PatientID = generate_uid(entropy_srcs=["study"]), "4711"
    dataset.StudyDate, dataset.Modality = "20260102", "DX"
    if intent:
        dataset.PresentationIntentType = intent
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.PixelIntensityRelationship = "LOG"
    dataset.Rows, dataset.Columns = image.shape
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelData = np.round(image * 4095).astype("<u2").tobytes()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(ExplicitVRLittleEndian)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return dataset.SOPInstanceUID
