"""The warnings of a round, without those about its model: tiny trainings in tests are rarely fit to choose by."""

from alkit.evaluation.fitness import about_model


def warnings_of(result):
    """Return the warnings of a round that are not about its model."""
    return tuple(warning for warning in result.warnings if not about_model([warning]))
