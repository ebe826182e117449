"""The command line of `python -m tagsmith.bundle`: checks a bundle, and signs it."""

import sys
from collections.abc import Sequence
from pathlib import Path

from tagsmith.classify.bundle.contents import SIGNATURE
from tagsmith.classify.bundle.signature import signer
from tagsmith.classify.verify import verify
from tagsmith.core.errors import SettingsError, TagsmithError

USAGE = "usage: python -m tagsmith.bundle verify FOLDER [--key PUBLIC.pem], or sign FOLDER --key PRIVATE.pem"


def main(words: Sequence[str]) -> int:
    """Run a command line; returns the exit status: those of the scripts."""
    try:
        match list(words):
            case ["--help" | "-h"]:
                print(USAGE)
            case ["verify", folder]:
                print("\n".join(verify(Path(folder))))
                print(f"verified: {folder}")
            case ["verify", folder, "--key", key]:
                print("\n".join(verify(Path(folder), Path(key))))
                print(f"verified: {folder}")
            case ["sign", folder, "--key", key]:
                sign = signer(Path(key))
                verify(Path(folder))  # Nobody signs what is broken.
                sign(Path(folder))
                print(f"signed: {Path(folder) / SIGNATURE}")
            case _:
                raise SettingsError(f"{USAGE}; found {' '.join(words) or 'nothing'}")
    except TagsmithError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    return 0
