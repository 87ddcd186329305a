"""Complete synthetic DICOM radiographs of 24 rows and 32 columns."""

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian


def code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


@pytest.fixture
def digital_xray() -> Dataset:
    """A complete veterinary DX image For Processing: linear in intensity, air bright."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for keyword, value in {
        "SpecificCharacterSet": "ISO_IR 192",
        "ImageType": ["ORIGINAL", "PRIMARY", ""],
        "InstanceCreatorUID": "2.25.7",
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.1.1",
        "SOPInstanceUID": "2.25.1",
        "StudyDate": "20300101",
        "SeriesDate": "20300101",
        "AcquisitionDate": "20300101",
        "ContentDate": "20300101",
        "StudyTime": "120000",
        "SeriesTime": "120000",
        "AcquisitionTime": "120000",
        "ContentTime": "120000",
        "AccessionNumber": "",
        "Modality": "DX",
        "PresentationIntentType": "FOR PROCESSING",
        "Manufacturer": "Phantom Works",
        "ReferringPhysicianName": "",
        "TimezoneOffsetFromUTC": "+0300",
        "SeriesDescription": "\u0413\u0440\u0443\u0434\u044c LL",
        "PatientName": "\u041b\u0430\u0439\u043a\u0430^Phantom",
        "PatientID": "PHANTOM",
        "PatientBirthDate": "",
        "PatientSex": "F",
        "PatientSpeciesDescription": "Canine",
        "PatientSexNeutered": "ALTERED",
        "AnatomicalOrientationType": "QUADRUPED",
        "PatientBreedDescription": "Laika",
        "PatientBreedCodeSequence": [],
        "BreedRegistrationSequence": [],
        "ResponsiblePerson": "Owner^Phantom",
        "ResponsiblePersonRole": "OWNER",
        "ResponsibleOrganization": "Phantom Clinic",
        "BodyPartExamined": "CHEST",
        "ImagerPixelSpacing": [0.1, 0.1],
        "PositionerType": "",
        "DetectorType": "DIRECT",
        "StudyInstanceUID": "2.25.2",
        "SeriesInstanceUID": "2.25.3",
        "StudyID": "1",
        "SeriesNumber": 4,
        "InstanceNumber": 5,
        "PatientOrientation": ["CR", "V"],
        "FrameOfReferenceUID": "2.25.4",
        "PositionReferenceIndicator": "",
        "ImageLaterality": "U",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME1",
        "Rows": 24,
        "Columns": 32,
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "BurnedInAnnotation": "NO",
        "PixelIntensityRelationship": "LIN",
        "PixelIntensityRelationshipSign": 1,
        "RescaleIntercept": "0",
        "RescaleSlope": "1",
        "RescaleType": "US",
        "LossyImageCompression": "00",
        "AcquisitionContextSequence": [],
        "PresentationLUTShape": "INVERSE",
        "AnatomicRegionSequence": [code("51185008", "SCT", "Thorax")],
    }.items():
        setattr(dataset, keyword, value)
    dataset.PixelData = np.arange(24 * 32, dtype="<u2").tobytes()
    return dataset


@pytest.fixture
def computed_radiograph(digital_xray: Dataset) -> Dataset:
    """A CR image whose Modality LUT turns it round, as one vendor's do."""
    dataset = digital_xray
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    dataset.Modality = "CR"
    for keyword in (
        "PresentationIntentType",
        "PixelIntensityRelationship",
        "PixelIntensityRelationshipSign",
        "BurnedInAnnotation",
        "LossyImageCompression",
    ):
        del dataset[keyword]
    dataset.ViewPosition = ""
    dataset.RescaleSlope, dataset.RescaleIntercept = "-10", "3000"
    dataset.WindowCenter, dataset.WindowWidth = [100, 200], [50, 60]
    return dataset


@pytest.fixture(params=["digital_xray", "computed_radiograph"])
def radiograph(request: pytest.FixtureRequest) -> Dataset:
    """Each of the above."""
    return request.getfixturevalue(request.param)
