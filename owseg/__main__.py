"""`python -m owseg` is the command `owseg`."""

from owseg.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
