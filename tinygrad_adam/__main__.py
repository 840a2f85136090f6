"""Runs the command line: ``python -m tinygrad_adam``."""

from .cli import main

if __name__ == "__main__":
    main()
