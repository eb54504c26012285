"""Requests of commands to a server: each has a deadline for all of it, and an answer that is not endless."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx

from control_plane.cli.answers import Answer, ApiCallFailed, Page, Shape
from control_plane.cli.output import Json

REQUEST_S = 60
"""From its first byte to the answer's last; a large configuration takes seconds."""
MOST_BYTES = 64_000_000
PAGE = 100
MOST_PAGES = 10_000


def client(url: str, key: str) -> httpx.AsyncClient:
    """A client with this key. Raises: ApiCallFailed for what is no address."""
    try:
        parsed = httpx.URL(url)
        is_address = parsed.scheme in {"http", "https"} and bool(parsed.host)
    except (httpx.InvalidURL, UnicodeError):
        is_address = False
    if not is_address:
        raise ApiCallFailed(f"{url!r} is no address of a server; write http://127.0.0.1:8003.")
    return httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=REQUEST_S)


@contextmanager
def reaching(url: str) -> Iterator[None]:
    """While the block talks to that address. Raises: ApiCallFailed when nobody is there."""
    try:
        yield
    except httpx.HTTPError as error:
        raise ApiCallFailed(f"{url} cannot be reached: {str(error) or type(error).__name__}.") from None


async def request(
    http: httpx.AsyncClient, method: str, path: str, *, within_s: float | None = None, **options: Any
) -> Answer:
    """The whole answer, whatever its status. Raises: ApiCallFailed, httpx.HTTPError."""
    seconds = REQUEST_S if within_s is None else within_s
    try:
        async with asyncio.timeout(seconds), http.stream(method, path, **options) as response:
            return await whole(response)
    except TimeoutError:
        raise ApiCallFailed(f"{http.base_url} has not answered within {seconds:g} s.") from None


async def whole(response: httpx.Response) -> Answer:
    """An answer that has begun, read to its end. Raises: ApiCallFailed for one without an end."""
    path = response.request.url.raw_path.partition(b"?")[0].decode("ascii", "replace")
    content = bytearray()
    async for piece in response.aiter_bytes():
        content += piece
        if len(content) > MOST_BYTES:
            raise ApiCallFailed(f"{path} answers with more than {MOST_BYTES} bytes.")
    return Answer(path, response.status_code, bytes(content))


class Connection:
    """Requests one after the other, for commands that do nothing else meanwhile."""

    def __init__(self, url: str, runner: asyncio.Runner, http: httpx.AsyncClient) -> None:
        self._url = url
        self._runner = runner
        self._http = http

    def request(self, method: str, path: str, *, within_s: float | None = None, **options: Any) -> Answer:
        """As `request`. Raises: ApiCallFailed, also when nobody is there."""
        with reaching(self._url):
            return self._runner.run(request(self._http, method, path, within_s=within_s, **options))

    def rows(
        self, path: str, name: str, shape: type[Shape], *, query: Json, limit: int | None = None
    ) -> Sequence[Json]:
        """The list of that name, over as many pages as it has. Raises: ApiCallFailed, also for one without an end."""
        found: list[Json] = []
        cursor: str | None = None
        seen: set[str] = set()
        for _ in range(MOST_PAGES):
            size = PAGE if limit is None else min(PAGE, limit - len(found))
            at = {} if cursor is None else {"cursor": cursor}
            page = self.request("GET", path, params={**query, "limit": size, **at})
            rows, cursor = page.rows(name, shape), page.read(Page).next_cursor
            found += rows
            if cursor is None or (limit is not None and len(found) >= limit):
                return found[:limit]
            if cursor in seen or not rows:
                raise ApiCallFailed(f"{path} leads from page to page without an end.")
            seen.add(cursor)
        raise ApiCallFailed(f"{path} has more than {MOST_PAGES} pages.")


@contextmanager
def connected(url: str, key: str) -> Iterator[Connection]:
    """A connection for the block. Raises: ApiCallFailed for what is no address."""
    with asyncio.Runner() as runner:
        http = client(url, key)
        try:
            yield Connection(url, runner, http)
        finally:
            runner.run(http.aclose())
