"""Annotators who work in a folder."""
