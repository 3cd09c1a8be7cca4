"""A pool of the slices of volumes: NIfTI files, DICOM series, NRRD and MetaImage files."""
