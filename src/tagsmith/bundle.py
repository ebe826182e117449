"""`python -m tagsmith.bundle`: the published name of the command line of `tagsmith.classify.bundle`."""

import sys

from tagsmith.classify.bundle.command_line import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
