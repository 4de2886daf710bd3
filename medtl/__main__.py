"""`python -m medtl`, where the script is not on the path."""

import sys

from medtl.cli import main

if __name__ == "__main__":
    sys.exit(main())
