"""Kills, failing system calls and damaged files, for the tests of durability; ``python -m torture --help``."""
