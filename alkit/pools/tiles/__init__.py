"""Tiles of large images: regions are read one after another, so that an image may be larger than memory."""
