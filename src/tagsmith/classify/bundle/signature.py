"""Signatures of bundles: `model.sig` is an OpenSSF model signature of all files, including the manifest.

The package `model-signing` (extra `sign`) signs and verifies with an elliptic-curve key and without a network. The
manifest detects accidental changes; only a signature detects changes by someone who can also write a manifest.
"""

import os
import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tagsmith.classify.bundle.contents import SIGNATURE, hidden
from tagsmith.core.errors import DataError, InputMissing, SettingsError, listing
from tagsmith.core.files import atomic_path

KEYS = "expected an elliptic-curve key (P-256, P-384 or P-521) in PEM"
CHANGED = re.compile(r"Hash mismatch for \W*([^'\"\\]+)")
"""The package's message about a file; quotes and backslashes around the name depend on the digests after it."""
PASSWORD = "TAGSMITH_KEY_PASSWORD"
"""The environment variable with the password of the private key, if it has one."""


def signer(private_key: Path) -> Callable[[Path], None]:
    """A function that signs the bundle in a folder. The key is checked now, before a long export.

    Raises:
        SettingsError: the package is not installed, or the key or its password is wrong.
        InputMissing: there is no key.
    """
    _require(private_key)
    from model_signing import hashing, signing

    # The package declares a string, but passes it on to a function that takes bytes.
    password: Any = os.environ.get(PASSWORD, "").encode() or None
    config = _with_key(
        private_key, lambda: signing.Config().use_elliptic_key_signer(private_key=private_key, password=password)
    )

    def sign(folder: Path) -> None:
        """Raises: DataError, there are symbolic links in the folder."""
        _refuse(_links(folder), folder)
        ignored = [path.relative_to(folder) for path in folder.rglob(".*")]
        config.set_hashing_config(hashing.Config().set_ignored_paths(paths=[SIGNATURE, *ignored]))
        with atomic_path(folder / SIGNATURE) as temporary:
            config.sign(folder, temporary)

    return sign


def verify_signature(folder: Path, public_key: Path) -> None:
    """Verify that the files of a bundle, including its manifest, were signed with the private key of this public key.

    Files that are not signed are reported by `contents.check`, which finds them by the manifest.

    Raises:
        SettingsError: the package is not installed, or the key cannot be used.
        InputMissing: there is no key.
        DataError: the bundle is not signed, or with another key, or files have changed since (they are listed).
    """
    _require(public_key)
    from model_signing import verifying

    config = _with_key(public_key, lambda: verifying.Config().use_elliptic_key_verifier(public_key=public_key))
    config.set_ignore_unsigned_files(True)
    path = folder / SIGNATURE
    if not path.is_file():
        raise DataError(f"{folder}: a signature is required, but the bundle is not signed (there is no {path}).")
    _refuse([name for name in _links(folder) if not hidden(name)], folder)
    try:
        config.verify(folder, path)
    except Exception as error:  # Of the package, of protobuf, of cryptography, depending on the defect of the file.
        reason = str(error).strip().rstrip(".") or type(error).__name__
        if changed := CHANGED.findall(reason):
            reason = f"changed since it was signed: {', '.join(sorted(changed))}"
        raise DataError(
            f"{path}: is not a valid signature of this bundle by the key {public_key}: {reason}."
        ) from error


def _links(folder: Path) -> list[Path]:
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_symlink())
    return sorted(name for name in found if name != Path(SIGNATURE))


def _refuse(links: list[Path], folder: Path) -> None:
    """Raises: DataError, there are symbolic links; their targets may change at any time."""
    if links:
        names = [f"{name}: a symbolic link" for name in links]
        raise DataError(listing(f"{folder}: expected only files; cp -rL replaces symbolic links by copies:", names))


def _require(key: Path) -> None:
    if any(find_spec(name) is None for name in ("model_signing", "OpenSSL")):
        raise SettingsError("Signatures need the package model-signing: pip install 'tagsmith[sign]'.")
    if not key.is_file():
        raise InputMissing(f"{key}: there is no such file; {KEYS}.")


def _with_key(key: Path, use: Callable[[], Any]) -> Any:
    try:
        return use()
    except Exception as error:  # The package raises many types, depending on the defect of the key.
        reason = str(error).strip().rstrip(".") or type(error).__name__
        raise SettingsError(f"{key}: {KEYS}, and its password, if it has one, in {PASSWORD}: {reason}.") from error
