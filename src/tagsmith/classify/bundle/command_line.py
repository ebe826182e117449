"""The command line of `python -m tagsmith.bundle`: verify and sign bundles, judge predictions without tags."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from tagsmith.classify.bundle.contents import SIGNATURE
from tagsmith.classify.bundle.signature import signer
from tagsmith.classify.files.expect import describe, expected_of_file
from tagsmith.classify.verify import verify
from tagsmith.core.errors import SettingsError, TagsmithError


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise SettingsError(f"{message}\n{self.format_usage().strip()}")  # argparse itself exits with status 2.


def main(arguments: Sequence[str]) -> int:
    """Run a command line; returns the exit status, one of those of the scripts."""
    parser = _Parser(
        "python -m tagsmith.bundle", description="Verify or sign an exported bundle, or judge its predictions."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("verify", help="check the files, the golden answers and, with --key, the signature")
    one.add_argument("--key", type=Path, metavar="PUBLIC.pem", help="the public key that belongs to the signature")
    other = commands.add_parser("sign", help="verify the bundle, then sign it")
    other.add_argument("--key", type=Path, metavar="PRIVATE.pem", required=True, help="the private key to sign with")
    third = commands.add_parser("expect", help="expected accuracy and F1 of a file of its predictions, without tags")
    third.add_argument("--json", action="store_true", help="print JSON")
    for command in (one, other, third):
        command.add_argument("folder", type=Path, metavar="FOLDER", help="the folder of the bundle")
    third.add_argument("predictions", type=Path, metavar="PREDICTIONS", help="what scripts/classify.py has written")
    try:
        options = parser.parse_args(arguments)
        if options.command == "verify":
            print("\n".join(verify(options.folder, options.key)))
            print(f"verified: {options.folder}")
        elif options.command == "expect":
            found = expected_of_file(options.folder, options.predictions)
            print(json.dumps(found.as_dict(), ensure_ascii=False) if options.json else "\n".join(describe(found)))
        else:
            sign = signer(options.key)
            verify(options.folder)  # A broken bundle is not signed.
            sign(options.folder)
            print(f"signed: {options.folder / SIGNATURE}")
    except TagsmithError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    return 0
