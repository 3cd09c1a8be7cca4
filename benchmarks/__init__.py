"""Measurements of alkit; README.md lists them with their commands."""
