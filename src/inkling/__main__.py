"""`python -m inkling` is the command `inkling`."""

from inkling.cli import main

if __name__ == "__main__":
    main()
