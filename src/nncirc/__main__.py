"""`python -m nncirc` is the command `nncirc`."""

from nncirc.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
