"""Learners: what turns labels into a predictor."""
