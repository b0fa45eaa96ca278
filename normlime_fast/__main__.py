"""`python -m normlime_fast`, the same as the command `normlime-fast`."""

import sys

from normlime_fast._cli.main import main

if __name__ == "__main__":
    sys.exit(main())
