"""Files that messages link to: fetched by us, safely, before a provider's code could fetch them in our network.

Every call passes here, whatever its door. A link that stays one goes to a vendor that fetches from its own network.
"""

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from control_plane.chat import CallRequest, ChatRequest, Message
from control_plane.errors import FileRefused
from control_plane.fetching.data_urls import as_written_by_us, data_url, is_data_url
from control_plane.fetching.fetcher import Fetcher, is_address
from control_plane.fetching.kinds import kind_of
from control_plane.gateway.documents import fetches_itself
from control_plane.ids import TeamId
from control_plane.model_groups.service import ModelGroupService

FILE_KEYS = ("file_data", "file_id")
WEB = ("http://", "https://")


class RemoteFiles:
    """Brings linked files into the messages that link to them."""

    def __init__(self, fetcher: Fetcher, groups: ModelGroupService) -> None:
        self._fetcher = fetcher
        self._groups = groups

    def are_linked(self, request: CallRequest) -> bool:
        """Whether anything may have to be fetched. Raises: FileRefused, as `inlined`."""
        return isinstance(request, ChatRequest) and any(True for _ in _links(request.messages))

    async def inlined(self, request: CallRequest, models: Sequence[str], *, team: TeamId) -> CallRequest:
        """The request with its links replaced by files, for a call of a team that may run on any of `models`.

        Raises: FileRefused for a link that is no web address or not a public one, and for what is no image or PDF;
        TooLarge.
        """
        if not isinstance(request, ChatRequest):
            return request
        links = set(_links(request.messages))
        request = await _with_plain_data_urls(request)
        if links and fetches_itself(self._groups.catalog.router, models):
            links = {link for link in links if not self._looks_public(link)}
        if not links:
            return request
        contents = await self._fetcher.fetch_all(links, team=team)
        found = {link: _as_data(content) for link, content in contents.items()}
        return ChatRequest([_with_files(message, found) for message in request.messages], request.parameters)

    def _looks_public(self, link: str) -> bool:
        """A name of the public internet, by its look: whoever fetches it does so from there."""
        host = urlsplit(link).hostname or ""
        return (
            link.startswith("https://") and "." in host and not is_address(host) and not self._fetcher.is_private(link)
        )


async def _with_plain_data_urls(request: ChatRequest) -> ChatRequest:
    """Providers read data URLs less forgivingly than browsers: those with line breaks and the like are written anew."""
    given = set(_data_urls(request.messages))
    plain = await asyncio.to_thread(_rewritten, given) if given else {}
    if not plain:
        return request
    return ChatRequest([_with_files(message, plain) for message in request.messages], request.parameters)


def _rewritten(urls: Collection[str]) -> dict[str, str]:
    return {url: plain for url in urls if (plain := as_written_by_us(url)) is not url}


def _data_urls(messages: Sequence[Message]) -> Iterator[str]:
    for part in _parts(messages):
        for given in (image_url_of(part), *(_file_of(part).get(key) for key in FILE_KEYS)):
            if isinstance(given, str) and is_data_url(given):
                yield given


def _as_data(content: bytes) -> str:
    kind = kind_of(content)
    if kind is None:
        raise FileRefused("A linked file is neither an image (PNG, JPEG, GIF, WebP) nor a PDF.")
    return data_url(kind, content)


def _links(messages: Sequence[Message]) -> Iterator[str]:
    """Raises: FileRefused for what would make a provider's code read files or buckets of ours."""
    for part in _parts(messages):
        url = image_url_of(part)
        if url is not None and not is_data_url(url):
            yield _web(url, "An image_url")
        for key in FILE_KEYS:
            given = _file_of(part).get(key)
            if isinstance(given, str) and not is_data_url(given) and "://" in given:
                yield _web(given, f"A file's {key}")


def _web(url: str, what: str) -> str:
    if not url.startswith(WEB):
        raise FileRefused(f"{what} must be a data URL or a link that begins with http:// or https://.")
    return url


def _parts(messages: Sequence[Message]) -> Iterator[Mapping[str, Any]]:
    for message in messages:
        content = message.get("content")
        if isinstance(content, list):
            yield from (part for part in content if isinstance(part, Mapping))


def image_url_of(part: Mapping[str, Any]) -> str | None:
    """The address in an `image_url`, in both of its forms. Raises: FileRefused for one without."""
    given = part.get("image_url")
    url = given.get("url") if isinstance(given, Mapping) else given
    if given is not None and not isinstance(url, str):
        raise FileRefused("An image_url must be text, or an object with its url.")
    return url


def _file_of(part: Mapping[str, Any]) -> Mapping[str, Any]:
    file = part.get("file")
    return file if isinstance(file, Mapping) else {}


def _with_files(message: Message, files: Mapping[str, str]) -> Message:
    content = message.get("content")
    if not isinstance(content, list):
        return message
    return {**message, "content": [_with_file(part, files) for part in content]}


def _with_file(part: Any, files: Mapping[str, str]) -> Any:
    if not isinstance(part, Mapping):
        return part
    url = image_url_of(part)
    if url is not None and url in files:
        given = part["image_url"]
        inlined = {**given, "url": files[url]} if isinstance(given, Mapping) else files[url]
        return {**part, "image_url": inlined}
    file = _file_of(part)
    for key in FILE_KEYS:
        given = file.get(key)
        if isinstance(given, str) and given in files:
            kept = {name: value for name, value in file.items() if name not in FILE_KEYS}
            return {**part, "file": {**kept, "file_data": files[given]}}
    return part
