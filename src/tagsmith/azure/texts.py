"""The texts of a project: from the owner's blob container, or from a folder that was downloaded before."""

import logging
import os
import shutil
from pathlib import Path
from urllib.parse import quote, urlsplit

import requests

from tagsmith.azure.service import CONTINUES, SECONDS, session
from tagsmith.core.errors import SettingsError, TryAgainLater, counted
from tagsmith.core.files import atomic_path
from tagsmith.core.locations import BadLocation, TextFiles
from tagsmith.core.progress import meter

log = logging.getLogger("tagsmith")

ADDRESS = "AZURE_STORAGE_SAS_URL"
"""The environment variable of the container's address with a shared access signature, which is a password."""

NAMED = 3


def take_texts(locations: list[str], folder: Path, given: str | None, container: str | None) -> list[str]:
    """Put the text of each location into the folder, as it came; returns the locations that have none.

    Args:
        locations: as the export spells them.
        given: the folder of a download; None: they are downloaded.
        container: the name of the container, which may be the first part of a location.

    Raises:
        SettingsError: there is neither a folder nor an address, the address is rejected, or there is no text at all.
        TryAgainLater: the container does not answer.
    """
    texts = TextFiles(folder, container)
    missing = [location for location in locations if not _is_there(texts, location)]
    if not missing:
        return []
    absent = _copy(missing, folder, TextFiles(Path(given), container)) if given else _download(missing, folder, texts)
    if len(absent) == len(locations):
        where = f"texts={given}" if given else f"The container of {ADDRESS}"
        named = f" The container of the project is {container}." if container else ""
        raise SettingsError(f"{where} has none of the {len(locations):,} texts, such as {absent[0]}.{named}")
    if absent:
        more = f" and {len(absent) - NAMED:,} more" if len(absent) > NAMED else ""
        share = f"{len(absent):,} of {counted(len(locations), 'text')}"
        log.warning(f"{share} not found: {', '.join(absent[:NAMED])}{more}.")
    return absent


def _is_there(texts: TextFiles, location: str) -> bool:
    try:
        texts.find(location)
    except BadLocation:
        return False
    return True


def _copy(locations: list[str], folder: Path, given: TextFiles) -> list[str]:
    absent = []
    for location in locations:
        try:
            inside = given.find(location)
        except BadLocation:
            absent.append(location)
            continue
        target = folder / inside
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(target) as temporary:
            shutil.copyfile(given.folder / inside, temporary)
    return absent


def _download(locations: list[str], folder: Path, texts: TextFiles) -> list[str]:
    address = os.environ.get(ADDRESS, "").strip()
    if not address:
        raise SettingsError(
            f"texts: set {ADDRESS} to the address of the container with a shared access signature that permits "
            "to read, or texts= to the folder of a download."
        )
    parts = urlsplit(address)
    if parts.scheme != "https" and parts.hostname not in ("localhost", "127.0.0.1"):
        raise SettingsError(f"{ADDRESS}: expected https://ACCOUNT.blob.core.windows.net/CONTAINER?...")
    base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
    absent = []
    with session() as http, meter("texts", len(locations), "texts") as bar:
        for location in locations:
            if not _fetch(http, base, parts.query, texts, location, folder):
                absent.append(location)
            bar.advance(1)
    return absent


def _fetch(http: requests.Session, base: str, query: str, texts: TextFiles, location: str, folder: Path) -> bool:
    """Download the blob that a location means; whether there is one."""
    for names in dict.fromkeys(texts.candidates(location)):
        if not names or ".." in names:
            continue
        try:
            answer = http.get(f"{base}/{quote('/'.join(names))}?{query}", timeout=SECONDS, allow_redirects=False)
        except requests.RequestException as error:
            # Without its cause, whose text has the address.
            raise TryAgainLater(f"{base}: no answer ({type(error).__name__}); {CONTINUES}.") from None
        if answer.status_code == 200:
            target = folder.joinpath(*names)
            target.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(target) as temporary:
                temporary.write_bytes(answer.content)
            return True
        if answer.status_code in (401, 403):
            raise SettingsError(
                f"{base}: status {answer.status_code}: the signature in {ADDRESS} has expired, or does not permit to "
                f"read; {CONTINUES}."
            )
        if answer.status_code != 404:
            raise TryAgainLater(f"{base}: status {answer.status_code}; {CONTINUES}.")
    return False
