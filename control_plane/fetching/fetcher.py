"""Fetches a file from a URL that a client named.

Each hop is looked up once, every address it has is judged, and the connection goes to an address that was judged: there
is no second look-up that could say something else. Certificates and `Host` are those of the name.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address

import httpx

from control_plane.concurrency import TeamLimiter
from control_plane.errors import FileRefused, TooLarge
from control_plane.fetching.addresses import PrivateHosts, is_public

log = logging.getLogger(__name__)

MAX_URL_CHARS = 8192
MAX_FILES = 20
"""Of one request."""
MAX_REDIRECTS = 5
MAX_ADDRESSES = 3
"""How many of a host's addresses are tried when connecting fails."""
CONNECT_S = 5.0
FETCHES_AT_ONCE, OF_A_TEAM = 32, 4
"""Of one process, so that files cannot take all its memory, nor one team's slow servers all its places."""

PORTS = {"http": 80, "https": 443}

HEADERS = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "control-plane"}

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host. Raises: OSError."""


async def look_up(host: str, port: int) -> Sequence[str]:
    """The addresses of a host, as the system knows them."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


@dataclass(frozen=True, slots=True)
class Hop:
    """One request of a fetch: the URL as it was named, and the addresses it may go to."""

    url: httpx.URL
    addresses: Sequence[str]


@cache
def _tls() -> ssl.SSLContext:
    """Whom to trust, read once: a tenth of a second."""
    return httpx.create_ssl_context(trust_env=False)


class Fetcher:
    """Fetches files of strangers. One for a process; close it."""

    def __init__(
        self,
        *,
        private_hosts: PrivateHosts,
        max_bytes: int,
        timeout_s: float,
        resolve: Resolve = look_up,
        handled: Callable[[int], None] = lambda _size: None,
    ) -> None:
        """`timeout_s`: for the whole of a file, redirects included. `handled`: is told how many bytes each had."""
        self._handled = handled
        self._private_hosts = private_hosts
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._resolve = resolve
        self._places = TeamLimiter(FETCHES_AT_ONCE, of_a_team=OF_A_TEAM)
        # No connection is kept: it would be known by its address, and used for another name there.
        self._client = httpx.AsyncClient(
            verify=_tls(),
            trust_env=False,
            follow_redirects=False,
            headers=HEADERS,
            timeout=httpx.Timeout(timeout_s, connect=CONNECT_S),
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    async def fetch(self, url: str, *, team: str) -> bytes:
        """The file, for a team. Raises: FileRefused, TooLarge; the message names what the client named, never what we
        found out.
        """
        try:
            async with self._places.place(team), asyncio.timeout(self._timeout_s):
                return await self._follow(_parsed(url))
        except TimeoutError:
            raise FileRefused(f"{_shown(url)} did not send the file within {self._timeout_s:g} seconds.") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            log.info("fetch_failed", extra={"error_class": type(error).__name__})
            raise FileRefused(f"{_shown(url)} could not be fetched.") from None

    async def fetch_all(self, urls: Iterable[str], *, team: str) -> Mapping[str, bytes]:
        """The files, each once. Raises: as `fetch`; TooLarge also when they are it together; FileRefused for too many."""
        ordered = sorted(set(urls))
        if len(ordered) > MAX_FILES:
            raise FileRefused(f"The request links to {len(ordered)} files; {MAX_FILES} are allowed.")
        async with _unwrapped_group() as group:
            tasks = [group.create_task(self.fetch(url, team=team)) for url in ordered]
        contents = [task.result() for task in tasks]
        if sum(map(len, contents)) > self._max_bytes:
            raise TooLarge(f"The files of the request are larger than {self._max_bytes} bytes together.")
        return dict(zip(ordered, contents, strict=True))

    def is_private(self, url: str) -> bool:
        """Whether the operator lists the URL's host as one that only this machine reaches. Raises: FileRefused."""
        parsed = _parsed(url)
        return self._private_hosts.allow(parsed.host, _port(parsed))

    async def aclose(self) -> None:
        """Lets go of what the client keeps."""
        await self._client.aclose()

    async def _follow(self, url: httpx.URL) -> bytes:
        for _ in range(MAX_REDIRECTS + 1):
            async with self._answer(await self._judged(url)) as response:
                if not response.has_redirect_location:
                    return await self._read(response, url)
                url = _parsed(str(url.join(response.headers["location"])))
        raise FileRefused(f"{_shown(str(url))} redirects more than {MAX_REDIRECTS} times.")

    async def _judged(self, url: httpx.URL) -> Hop:
        """Raises: FileRefused unless every address of the host is public, or the operator lists the host.

        A host that does not exist gets the same sentence, so that nobody can find out which names there are inside.
        """
        try:
            addresses = await self._resolve(url.host, _port(url))
        except (OSError, UnicodeError):
            addresses = []
        if self._private_hosts.allow(url.host, _port(url)) and addresses:
            return Hop(url, addresses)
        if not addresses or not all(map(is_public, addresses)):
            raise FileRefused(
                f"The host of {_shown(str(url))} cannot be resolved to a public address: there is no such name, or it is "
                "private. The operator can allow a private host with CONTROL_PLANE_PRIVATE_FILE_HOSTS; or send the file "
                "itself, as a data URL."
            )
        return Hop(url, addresses)

    @asynccontextmanager
    async def _answer(self, hop: Hop) -> AsyncIterator[httpx.Response]:
        """The answer of the first address that takes the connection."""
        for address in hop.addresses[:MAX_ADDRESSES]:
            request = self._client.build_request(
                "GET",
                hop.url.copy_with(host=address.partition("%")[0], fragment=None),
                headers={"Host": hop.url.netloc.decode("ascii")},
                extensions={"sni_hostname": hop.url.host},
            )
            try:
                response = await self._client.send(request, stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
            try:
                yield response
            finally:
                await response.aclose()
            return
        raise FileRefused(f"{_shown(str(hop.url))} could not be reached.")

    async def _read(self, response: httpx.Response, url: httpx.URL) -> bytes:
        """The body as it came: nothing is unpacked, however small it was made."""
        if response.status_code != httpx.codes.OK:
            raise FileRefused(f"{_shown(str(url))} answered with status {response.status_code}.")
        if response.headers.get("content-encoding", "identity") != "identity":
            raise FileRefused(f"{_shown(str(url))} sent the file compressed, which was not asked for.")
        announced = response.headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > self._max_bytes:
            raise self._too_large(url)
        content = bytearray()
        async for piece in response.aiter_raw():
            content += piece
            if len(content) > self._max_bytes:
                raise self._too_large(url)
        self._handled(len(content))
        return bytes(content)

    def _too_large(self, url: httpx.URL) -> TooLarge:
        return TooLarge(f"{_shown(str(url))} is larger than {self._max_bytes} bytes.")


@asynccontextmanager
async def _unwrapped_group() -> AsyncIterator[asyncio.TaskGroup]:
    """Tasks of which the first failure ends the others, and comes out as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None


def _parsed(text: str) -> httpx.URL:
    """Raises: FileRefused for what is not a plain http or https URL."""
    if len(text) > MAX_URL_CHARS:
        raise FileRefused(f"The file's URL is longer than {MAX_URL_CHARS} characters.")
    try:
        url = httpx.URL(text)
        host, port = url.host, _port(url)
    except (httpx.InvalidURL, ValueError, KeyError):
        raise FileRefused(f"{_shown(text)} is not an http or https URL.") from None
    if not host or not 0 < port < 2**16:
        raise FileRefused(f"{_shown(text)} is not an http or https URL.")
    if url.userinfo:
        raise FileRefused("The file's URL holds a user name or password; send a link that needs none.")
    return url


def _port(url: httpx.URL) -> int:
    """Raises: KeyError for another scheme."""
    return url.port if url.port is not None and url.scheme in PORTS else PORTS[url.scheme]


def is_address(host: str) -> bool:
    """Whether a host is an address and not a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _shown(url: str) -> str:
    """A URL in a message: without its query, where secrets are, and not longer than a line."""
    plain = url.partition("?")[0].partition("#")[0]
    scheme, separator, rest = plain.partition("://")
    rest = rest.rpartition("@")[2] if separator else ""
    shown = f"{scheme}{separator}{rest}" if separator else plain
    return shown if len(shown) <= 200 else f"{shown[:200]}…"  # noqa: PLR2004 - a line or two
