"""The door of `python -m tagsmith.bundle verify FOLDER`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from tagsmith.classify.verify import verify
from tagsmith.errors import SettingsError, TagsmithError

USAGE = "usage: python -m tagsmith.bundle verify FOLDER"


def main(words: Sequence[str]) -> int:
    """Run a command line; returns the exit status: those of the scripts."""
    try:
        if len(words) != 2 or words[0] != "verify":
            raise SettingsError(f"{USAGE}; found {' '.join(words) or 'nothing'}")
        print("\n".join(verify(Path(words[1]))))
        print(f"verified: {words[1]}")
    except TagsmithError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
