"""Metrics of a model on a test set, and the labels of that test set."""
