"""Web origins that a key may be used from: how they are written, and which a browser's `Origin` is. Pure."""

import re

MAX_ORIGINS = 50

PORTS = {"http": 80, "https": 443}
ORIGIN = re.compile(r"(?P<scheme>https?)://(?P<host>[a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?/?")


def origin_of(text: str) -> str:
    """An origin as browsers write it: lower case, without the port that the scheme has anyway.

    Raises: ValueError for what is no origin of a page: a path, a wildcard, `null`, another scheme.
    """
    found = ORIGIN.fullmatch(text.strip().lower())
    if found is None:
        raise ValueError(
            "must be an origin such as https://app.example.com or http://localhost:5173: scheme, host and port, without "
            "path or wildcard (names of other alphabets as xn--…)"
        )
    scheme, host, port = found["scheme"], found["host"], int(found["port"] or PORTS[found["scheme"]])
    return f"{scheme}://{host}" if port == PORTS[scheme] else f"{scheme}://{host}:{port}"
