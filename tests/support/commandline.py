"""The command line, run in this process."""

from alkit.cli import main


def alkit(*arguments):
    """Run a command and return its exit code."""
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as end:
        return end.code or 0
    return 0
