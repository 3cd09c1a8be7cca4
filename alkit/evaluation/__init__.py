"""Metrics, their measurement, and the labels of a test set."""
