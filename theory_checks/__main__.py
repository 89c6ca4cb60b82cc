"""`python -m optkit.theory_checks` is the command `optkit theory`."""

import sys

from optkit.cli import main

if __name__ == "__main__":
    sys.exit(main(["theory", *sys.argv[1:]]))
