"""``python -m edgetool``: the command line."""

from edgetool.cli import main

if __name__ == "__main__":
    main()
