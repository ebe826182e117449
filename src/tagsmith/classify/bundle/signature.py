"""Who exported a bundle: the OpenSSF model signature of all its files, its manifest among them, in `model.sig`.

Signed and verified by the package `model-signing` (the extra `sign`), with an elliptic key and without a network. The
manifest tells what has changed by accident; only a signature tells what somebody has changed who can write a manifest.
"""

import os
import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tagsmith.classify.bundle.contents import SIGNATURE, hidden
from tagsmith.core.errors import DataError, InputMissing, SettingsError, listing
from tagsmith.core.files import written_beside

KEYS = "expected an elliptic key (P-256, P-384 or P-521) in PEM"
CHANGED = re.compile(r"Hash mismatch for \W*([^'\"\\]+)")
"""How the package names a file, between marks and backslashes that depend on the bytes of the digests after it."""
PASSWORD = "TAGSMITH_KEY_PASSWORD"
"""The variable of the environment that holds the password of a private key, where it has one."""


def signer(private_key: Path) -> Callable[[Path], None]:
    """What signs the bundle in a folder, with a key that can be used: known before hours are spent on a bundle.

    Raises:
        SettingsError: the package is not installed, or the key or its password is wrong.
        InputMissing: there is no key.
    """
    _require(private_key)
    from model_signing import hashing, signing

    # The package takes a text and hands it to one that takes bytes.
    password: Any = os.environ.get(PASSWORD, "").encode() or None
    config = _with_key(
        private_key, lambda: signing.Config().use_elliptic_key_signer(private_key=private_key, password=password)
    )

    def sign(folder: Path) -> None:
        """Raises: DataError, there are links in the folder."""
        _refuse(_links(folder), folder)
        ignored = [path.relative_to(folder) for path in folder.rglob(".*")]
        config.set_hashing_config(hashing.Config().set_ignored_paths(paths=[SIGNATURE, *ignored]))
        with written_beside(folder / SIGNATURE) as beside:
            config.sign(folder, beside)

    return sign


def verify_signature(folder: Path, public_key: Path) -> None:
    """Whether the owner of a key has signed the files of a bundle, its manifest among them, as they now are.

    Files that are not signed are for `contents.check` to tell, which knows them from the manifest.

    Raises:
        SettingsError: the package is not installed, or the key cannot be used.
        InputMissing: there is no key.
        DataError: the bundle is not signed, or by another key, or a file has changed since, and which.
    """
    _require(public_key)
    from model_signing import verifying

    config = _with_key(public_key, lambda: verifying.Config().use_elliptic_key_verifier(public_key=public_key))
    config.set_ignore_unsigned_files(True)
    path = folder / SIGNATURE
    if not path.is_file():
        raise DataError(f"{folder}: is not signed (looked for {path}), and a signature is asked for.")
    _refuse([name for name in _links(folder) if not hidden(name)], folder)
    try:
        config.verify(folder, path)
    except Exception as error:  # The package's own, protobuf's, cryptography's: whatever a file can have wrong.
        told = str(error).strip().rstrip(".") or type(error).__name__
        if changed := CHANGED.findall(told):
            told = f"changed since it was signed: {', '.join(sorted(changed))}"
        raise DataError(f"{path}: does not hold for this bundle and the key {public_key}: {told}.") from error


def _links(folder: Path) -> list[Path]:
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_symlink())
    return sorted(name for name in found if name != Path(SIGNATURE))


def _refuse(links: list[Path], folder: Path) -> None:
    """Raises: DataError, there are some; what they lead to may be another file at any time."""
    if links:
        names = [f"{name}: a link" for name in links]
        raise DataError(listing(f"{folder}: what is signed are files; cp -rL copies what these lead to:", names))


def _require(key: Path) -> None:
    if any(find_spec(name) is None for name in ("model_signing", "OpenSSL")):
        raise SettingsError("Signatures need the package model-signing: pip install -e '.[sign]'.")
    if not key.is_file():
        raise InputMissing(f"{key}: there is no key here; {KEYS}.")


def _with_key(key: Path, use: Callable[[], Any]) -> Any:
    try:
        return use()
    except Exception as error:  # There is an exception for each way in which a key can be wrong.
        told = str(error).strip().rstrip(".") or type(error).__name__
        raise SettingsError(f"{key}: {KEYS}, and its password, if it has one, in {PASSWORD}: {told}.") from error
