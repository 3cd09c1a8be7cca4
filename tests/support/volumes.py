"""Small volumes as NIfTI files and as DICOM series."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def ramp(shape=(3, 4, 5)):
    """Return an array in which every voxel has another value."""
    return np.arange(np.prod(shape), dtype=np.int16).reshape(shape)


def write_nifti(path: Path, array, affine=None, *, oriented=True, kind=nibabel.Nifti1Image, **header):
    """Write a NIfTI file; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = kind(array, np.diag([2.0, 3.0, 4.0, 1.0]) if affine is None else affine)
    for name, value in header.items():
        image.header[name] = value
    image.to_filename(path)
    if not oriented:
        content = bytearray(path.read_bytes())
        content[252:256] = bytes(4)  # qform_code and sform_code
        path.write_bytes(content)
    return path


def oriented(array, axes: str, spacing=(1.0, 1.0, 1.0)):
    """Return an array with axes R, A, S in another order and direction, such as ``"LPS"``, and its affine."""
    codes = [("L", "R"), ("P", "A"), ("I", "S")]
    affine, order = np.eye(4), []
    turned = array
    for letter in axes:
        order.append(next(place for place, pair in enumerate(codes) if letter in pair))
    turned = np.transpose(array, order)
    matrix = np.zeros((4, 4))
    matrix[3, 3] = 1
    for axis, (letter, place) in enumerate(zip(axes, order, strict=True)):
        forward = letter == codes[place][1]
        matrix[place, axis] = spacing[place] if forward else -spacing[place]
        if not forward:
            turned = np.flip(turned, axis)
            matrix[place, 3] = (array.shape[place] - 1) * spacing[place]
    return np.ascontiguousarray(turned), affine @ matrix


def write_series(
    folder: Path,
    array,
    *,
    spacing=(1.0, 2.0, 3.0),
    directions=(1, 0, 0, 0, 1, 0),
    origin=(0.0, 0.0, 0.0),
    positions=None,
    series=7,
    uid=None,
    slope=None,
    intercept=None,
    name="{:02}.dcm",
    order=None,
):
    """Write an array ``(columns, rows, slices)`` as a DICOM series; return the paths in the order of the slices."""
    folder.mkdir(parents=True, exist_ok=True)
    uid = uid or generate_uid(entropy_srcs=[str(folder), str(series)])
    normal = np.cross(directions[:3], directions[3:])
    count = array.shape[2]
    positions = [spacing[2] * k for k in range(count)] if positions is None else positions
    order = list(range(count)) if order is None else order
    paths = []
    for k in range(count):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[uid, str(k)])
        path = folder / name.format(order[k])
        data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
        data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        data.SeriesInstanceUID, data.SeriesNumber = uid, series
        data.Rows, data.Columns = array.shape[1], array.shape[0]
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated = data.BitsStored = 16
        data.HighBit, data.PixelRepresentation = 15, 1
        data.PixelSpacing, data.SliceThickness = [spacing[1], spacing[0]], spacing[2]
        data.ImageOrientationPatient = list(directions)
        data.ImagePositionPatient = [float(value) for value in np.array(origin) + positions[k] * normal]
        if slope is not None:
            data.RescaleSlope = slope if np.isscalar(slope) else slope[k]
        if intercept is not None:
            data.RescaleIntercept = intercept
        data.PixelData = np.ascontiguousarray(array[:, :, k].T.astype("<i2")).tobytes()
        data.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def write_enhanced(
    path: Path, array, *, order=None, scales=None, shared=(), stacks=None, spacing=(1.0, 2.0, 3.0), shift=0.0
):
    """Write an array ``(columns, rows, slices)`` as one enhanced CT file, with its frames in another order.

    Elements in `shared`, of ``orientation``, ``measures`` and ``scale``, are stated once for all frames.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    count = array.shape[2]
    order, scales = list(range(count)) if order is None else order, scales or [(1, 0)] * count
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(path)])
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = EnhancedCTImageStorage, meta.MediaStorageSOPInstanceUID
    data.Modality, data.SeriesInstanceUID, data.SeriesNumber = "CT", generate_uid(entropy_srcs=[str(path), "s"]), 7
    data.Rows, data.Columns, data.NumberOfFrames = array.shape[1], array.shape[0], count
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit, data.PixelRepresentation = 15, 1
    groups = []
    for number, place in enumerate(order):
        orientation, measures, scale, position, content = (Dataset() for _ in range(5))
        orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        measures.PixelSpacing, measures.SliceThickness = [spacing[1], spacing[0]], spacing[2]
        scale.RescaleSlope, scale.RescaleIntercept = scales[place]
        position.ImagePositionPatient = [0.0, shift * place, spacing[2] * place]
        content.StackID = "1" if stacks is None else stacks[place]
        group = Dataset()
        group.FrameContentSequence, group.PlanePositionSequence = [content], [position]
        own = {
            "orientation": ("PlaneOrientationSequence", orientation),
            "measures": ("PixelMeasuresSequence", measures),
            "scale": ("PixelValueTransformationSequence", scale),
        }
        common = Dataset()
        for name, (keyword, item) in own.items():
            setattr(common if name in shared else group, keyword, [item])
        if number == 0:
            data.SharedFunctionalGroupsSequence = [common]
        groups.append(group)
    data.PerFrameFunctionalGroupsSequence = groups
    data.PixelData = np.ascontiguousarray(array.transpose(2, 1, 0)[order].astype("<i2")).tobytes()
    data.save_as(path, enforce_file_format=True)
    return path


def change(path: Path, **elements):
    """Set elements of a DICOM file; None deletes one."""
    data = pydicom.dcmread(path)
    for name, value in elements.items():
        if value is None:
            delattr(data, name)
        else:
            setattr(data, name, value)
    data.save_as(path)
