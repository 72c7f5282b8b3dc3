"""`python -m lambent`: the same as the command `lambent`."""

import sys

from lambent.cli import main

if __name__ == "__main__":
    sys.exit(main())
