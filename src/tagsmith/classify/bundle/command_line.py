"""The command line of `python -m tagsmith.bundle`, which verifies and signs bundles."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from tagsmith.classify.bundle.contents import SIGNATURE
from tagsmith.classify.bundle.signature import signer
from tagsmith.classify.verify import verify
from tagsmith.core.errors import SettingsError, TagsmithError


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise SettingsError(f"{message}\n{self.format_usage().strip()}")  # argparse itself exits with status 2.


def main(arguments: Sequence[str]) -> int:
    """Run a command line; returns the exit status, one of those of the scripts."""
    parser = _Parser("python -m tagsmith.bundle", description="Verify or sign an exported bundle.")
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("verify", help="check the files, the golden answers and, with --key, the signature")
    one.add_argument("--key", type=Path, metavar="PUBLIC.pem", help="the public key that belongs to the signature")
    other = commands.add_parser("sign", help="verify the bundle, then sign it")
    other.add_argument("--key", type=Path, metavar="PRIVATE.pem", required=True, help="the private key to sign with")
    for command in (one, other):
        command.add_argument("folder", type=Path, metavar="FOLDER", help="the folder of the bundle")
    try:
        options = parser.parse_args(arguments)
        if options.command == "verify":
            print("\n".join(verify(options.folder, options.key)))
            print(f"verified: {options.folder}")
        else:
            sign = signer(options.key)
            verify(options.folder)  # A broken bundle is not signed.
            sign(options.folder)
            print(f"signed: {options.folder / SIGNATURE}")
    except TagsmithError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    return 0
