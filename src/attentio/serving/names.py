"""By which names a server may be called: whoever else's name leads to it gets no answer (DNS rebinding)."""

import ipaddress
import re
import socket
from collections.abc import Sequence

from attentio.errors import AttentioError

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def is_loopback(host: str) -> bool:
    """Whether a server that listens there can be reached from this machine only. AttentioError for no address."""
    try:
        found = socket.getaddrinfo(host, None)
    except (socket.gaierror, UnicodeError):
        raise AttentioError(f"{host} is no address of this machine; leave --host out for this machine only") from None
    return all(ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback for *_, address in found)


def names_of(host: str, allowed: Sequence[str]) -> frozenset[str]:
    """The names of a server that listens on `host`, in small letters.

    Raises:
        AttentioError: one is no name, or others than this machine can reach the server and there is none for them.
    """
    for name in allowed:
        if not (re.fullmatch(r"[\w.-]+", name, re.ASCII) or _is_address(name)):
            raise AttentioError(f"--allow-host {name}: must be a name or an address alone, as in attention.example.org")
    local = is_loopback(host)  # asked for in any case: it says so where no machine has that name
    if not allowed and not local:
        raise AttentioError(
            f"--host {host} lets other machines in; say with --allow-host NAME what they call this one, "
            "so that web pages of others cannot ask under another name"
        )
    return LOOPBACK | {name.lower() for name in (host, *allowed)}


def _is_address(name: str) -> bool:
    try:
        return bool(ipaddress.ip_address(name))
    except ValueError:
        return False
