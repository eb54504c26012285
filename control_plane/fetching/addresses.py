"""Which addresses a client may make the server connect to (SSRF). Pure.

The resolved number is checked, after the look-up of the name: `2130706433`, `0x7f.1` and `localhost` are all 127.0.0.1
by then.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

GLOBAL_UNICAST = ip_network("2000::/3")
NAT64 = ip_network("64:ff9b::/96")
"""Networks without IPv4 use this prefix: the last 32 bits are the address that is reached."""

NOT_PUBLIC = tuple(
    map(
        ip_network,
        (
            "168.63.129.16/32",  # Azure's own services, which its hosts reach as if it were public
            "192.0.0.0/24",
            "192.88.99.0/24",  # relays of 6to4
            "2001::/23",  # Teredo and others that hold another address within
            "2002::/16",  # 6to4, the same
            "2001:db8::/32",
            "3fff::/20",
        ),
    )
)
"""Networks that Python counts as global and that are no hosts of the public internet."""


def is_public(address: str) -> bool:
    """Whether a resolved address is a host of the public internet; an unreadable one is not."""
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, IPv6Address):
        embedded = _embedded(ip)
        if embedded is not None:
            return is_public(str(embedded))
        if ip.scope_id is not None or ip not in GLOBAL_UNICAST:
            return False
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in NOT_PUBLIC)


def _embedded(ip: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that is reached in truth."""
    return IPv4Address(ip.packed[-4:]) if ip in NAT64 else ip.ipv4_mapped


@dataclass(frozen=True, slots=True)
class PrivateHosts:
    """The hosts that may be fetched from although their addresses are not public, as the operator lists them."""

    entries: frozenset[str] = frozenset()

    @classmethod
    def listed(cls, text: str) -> "PrivateHosts":
        """From `host`, `host:port`, `[::1]:port`, separated by commas."""
        return cls(frozenset(_names(text.split(","))))

    def allow(self, host: str, port: int) -> bool:
        """Whether this host (IPv6 addresses without brackets) is listed, for this port or for any."""
        name = f"[{host}]" if ":" in host else host.lower().rstrip(".")
        return not self.entries.isdisjoint({name, f"{name}:{port}"})


def _names(parts: Iterable[str]) -> Iterable[str]:
    return (part.strip().lower() for part in parts if part.strip())
