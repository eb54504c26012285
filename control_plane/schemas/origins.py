"""Web origins of keys: their form, and their match with a browser's `Origin`. Pure."""

import re
from ipaddress import IPv4Address, IPv6Address

MAX_ORIGINS = 50

MAX_HOST_CHARS = 253
MAX_LABEL_CHARS = 63
HIGHEST_PORT = 65535

PORTS = {"http": 80, "https": 443}
ORIGIN = re.compile(r"(?P<scheme>https?)://(?P<host>[a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?/?")
NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""A last label that makes browsers read the host as an IPv4 address."""


def origin_of(text: str) -> str:
    """An origin as browsers write it: lower case, without the port that the scheme has anyway.

    Raises: ValueError for what is no origin of a page, and so could never match: a path, a wildcard, `null`, another
    scheme, a host that cannot exist, an address that browsers write in another way.
    """
    found = ORIGIN.fullmatch(text.strip().lower())
    if found is None:
        raise ValueError(
            "must be an origin such as https://app.example.com or http://localhost:5173: scheme, host and port, without "
            "path or wildcard (names of other alphabets as xn--…)"
        )
    scheme, host, port = found["scheme"], _host(found["host"]), int(found["port"] or PORTS[found["scheme"]])
    if not 0 < port <= HIGHEST_PORT:
        raise ValueError(f"must be an origin of a page, and no page has the port {port}")
    return f"{scheme}://{host}" if port == PORTS[scheme] else f"{scheme}://{host}:{port}"


def _host(host: str) -> str:
    """The host as browsers write it. Raises: ValueError."""
    wrong = ValueError(f"must be an origin of a page, and no page has the host {host[:MAX_HOST_CHARS]}")
    if host.startswith("["):
        try:
            return f"[{IPv6Address(host[1:-1])}]"
        except ValueError:
            raise wrong from None
    labels = host.removesuffix(".").split(".")
    if len(host) > MAX_HOST_CHARS or not all(map(_is_label, labels)):
        raise wrong
    if NUMBER.fullmatch(labels[-1]):
        try:
            return str(IPv4Address(host))
        except ValueError:
            raise ValueError(
                f"must be an origin as browsers write it: {host} as an IPv4 address of four numbers"
            ) from None
    return host


def _is_label(label: str) -> bool:
    if not 0 < len(label) <= MAX_LABEL_CHARS:
        return False
    if not label.startswith("xn--"):
        return True
    try:
        return not label[4:].encode().decode("punycode").isascii()
    except UnicodeError:
        return False
