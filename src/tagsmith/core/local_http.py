"""What protects a page that is served on this machine: its address, the Host header, the headers of its responses."""

import ipaddress
import socket

from tagsmith.core.errors import SettingsError

LOOPBACK = {"localhost", "127.0.0.1", "::1"}

HEADERS = {
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}
"""Headers of every response: the page loads nothing from elsewhere, and is part of no other page."""


def host_name(header: str) -> str:
    """The name in a Host header, without the port."""
    host = header.strip().lower()
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def is_loopback(host: str) -> bool:
    """Whether the address is reachable from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def listen(host: str, port: int, section: str = "") -> socket.socket:
    """Open a listening socket.

    Args:
        section: what stands before `host` and `port` in the names of the settings, for errors.

    Raises:
        SettingsError: the address cannot be used, or is in use.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        raise SettingsError(
            f"{section}host={host}, {section}port={port}: cannot listen on this address: {error.strerror}."
        ) from error
    listener.setblocking(False)
    return listener
