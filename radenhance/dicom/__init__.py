"""DICOM, PNG, TIFF and NPY files to radiographs and back; without torch and Lightning."""
