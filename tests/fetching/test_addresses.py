"""Which addresses strangers may make us connect to."""

import pytest

from control_plane.fetching.addresses import PrivateHosts, is_public


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "8.8.8.8", "2606:2800:220:1::1", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_hosts_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.1.2.3", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
        *("169.254.169.254", "100.64.0.1", "192.0.0.192", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1"),
        *("224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "168.63.129.16", "192.88.99.1"),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1", "3fff::1"),
        # IPv4 in disguise: mapped, compatible, NAT64, 6to4, Teredo, translated
        *("::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1"),
        *("64:ff9b::a9fe:a9fe", "64:ff9b:1::7f00:1", "2002:7f00:1::", "2001:0:7f00:1::", "::ffff:0:127.0.0.1"),
        *("5f00::1", "100::1", "2001:10::1", "8.8.8.8%eth0", "2606:2800:220:1::1%eth0"),
        *("", "localhost", "2130706433", "0x7f000001", "127.0.0.1:80", "[::1]"),
    ],
)
def test_everything_else_is_not(address: str) -> None:
    assert not is_public(address)


def test_the_operator_lists_hosts_with_or_without_a_port() -> None:
    hosts = PrivateHosts.listed(" Files.Internal, localhost:3000 ,[::1]:8080,10.0.0.7,")
    allowed = [("files.internal", 80), ("FILES.internal.", 8443), ("localhost", 3000), ("::1", 8080), ("10.0.0.7", 1)]
    assert all(hosts.allow(host, port) for host, port in allowed)
    refused = [
        ("localhost", 80),
        ("::1", 80),
        ("sub.files.internal", 80),
        ("files.internal.evil.example", 80),
        ("", 80),
    ]
    assert not any(hosts.allow(host, port) for host, port in refused)
    assert not PrivateHosts.listed("").allow("localhost", 80)
