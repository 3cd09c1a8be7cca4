"""Run a second step at every point of a first one, on one record; ``python -m interleaving --help``."""
