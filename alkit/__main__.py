"""``python -m alkit``: the command line."""

from alkit.cli import main

if __name__ == "__main__":
    main()
