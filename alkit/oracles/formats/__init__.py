"""Formats of annotation files, COCO and CVAT: queries are written in them, and answers read."""
