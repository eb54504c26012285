"""Fetches files that messages link to, safely, before a provider's code could fetch them in our network.

Every call of every API passes here. A link stays one only in an `image_url`, for a vendor that fetches it from its own
network: of all other links LiteLLM fetches some itself, and vendors take none.
"""

import asyncio
import re
from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from control_plane.chat import ChatRequest, Message, ModelRequest
from control_plane.errors import FileRefused
from control_plane.fetching.data_urls import as_written_by_us, data_url, is_data_url
from control_plane.fetching.fetcher import Fetcher, is_address
from control_plane.fetching.media_types import media_type_of
from control_plane.gateway.documents import fetches_itself
from control_plane.ids import TeamId
from control_plane.model_groups.service import ModelGroupService

FILE_KEYS = ("file_data", "file_id")
WEB = ("http://", "https://")
UPLOADED = re.compile(r"(?!www\.)[A-Za-z0-9][A-Za-z0-9._/-]{0,511}")
"""The `file_id` of a file that a provider keeps. LiteLLM takes what begins with `www.` for a link."""


class RemoteFiles:
    """Brings linked files into the messages that link to them."""

    def __init__(self, fetcher: Fetcher, groups: ModelGroupService) -> None:
        self._fetcher = fetcher
        self._groups = groups

    def are_linked(self, request: ModelRequest) -> bool:
        """Whether anything may have to be fetched. Raises: FileRefused, as `inlined`."""
        if not isinstance(request, ChatRequest):
            return False
        return any(True for links in (_picture_links, _file_links) for _ in links(request.messages))

    async def inlined(self, request: ModelRequest, models: Sequence[str], *, team: TeamId) -> ModelRequest:
        """The request with its links replaced by files, for a call of a team that may run on any of `models`.

        Raises: FileRefused for a link that is no web address or not a public one, and for what is no image or PDF;
        TooLarge.
        """
        if not isinstance(request, ChatRequest):
            return request
        pictures, files = set(_picture_links(request.messages)), set(_file_links(request.messages))
        request = await _with_plain_data_urls(request)
        if pictures and fetches_itself(self._groups.catalog.router, models):
            pictures = {link for link in pictures if not self._looks_public(link)}
        links = pictures | files
        if not links:
            return request
        contents = await self._fetcher.fetch_all(links, team=team)
        found = {link: _as_data(content) for link, content in contents.items()}
        return ChatRequest(
            [_with_files(message, found, pictures=pictures) for message in request.messages], request.parameters
        )

    def _looks_public(self, link: str) -> bool:
        """Whether the name looks public: it is then fetched from the vendor's own network."""
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
    return ChatRequest(
        [_with_files(message, plain, pictures=plain) for message in request.messages], request.parameters
    )


def _rewritten(urls: Collection[str]) -> dict[str, str]:
    return {url: plain for url in urls if (plain := as_written_by_us(url)) is not url}


def _data_urls(messages: Sequence[Message]) -> Iterator[str]:
    for part in _parts(messages):
        for given in (image_url_of(part), *(_file_of(part).get(key) for key in FILE_KEYS)):
            if isinstance(given, str) and is_data_url(given):
                yield given


def _as_data(content: bytes) -> str:
    kind = media_type_of(content)
    if kind is None:
        raise FileRefused("A linked file is neither an image (PNG, JPEG, GIF, WebP) nor a PDF.")
    return data_url(kind, content)


def _picture_links(messages: Sequence[Message]) -> Iterator[str]:
    """Raises: FileRefused for links with which a provider's code would read our files or buckets."""
    for part in _parts(messages):
        url = image_url_of(part)
        if url is not None and not is_data_url(url):
            yield _web(url, "An image_url")


def _file_links(messages: Sequence[Message]) -> Iterator[str]:
    """Raises: FileRefused as `_picture_links`, and for what is neither a file, nor a link, nor the id of a file."""
    for part in _parts(messages):
        for key in FILE_KEYS:
            given = _file_of(part).get(key)
            if not isinstance(given, str) or is_data_url(given):
                continue
            if "://" in given:
                yield _web(given, f"A file's {key}")
            elif key == "file_id" and not UPLOADED.fullmatch(given):
                raise FileRefused("A file's file_id must be the id of a file that the provider keeps, or a link.")
        sound = part.get("input_audio")
        data = sound.get("data") if isinstance(sound, Mapping) else None
        if isinstance(data, str) and not is_data_url(data) and (":" in data or data.startswith("www.")):
            raise FileRefused("The data of an input_audio must be base64.")


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


def _with_files(message: Message, files: Mapping[str, str], *, pictures: Container[str]) -> Message:
    """`pictures`: of the files those that also replace links in an `image_url`."""
    content = message.get("content")
    if not isinstance(content, list):
        return message
    return {**message, "content": [_with_file(part, files, pictures) for part in content]}


def _with_file(part: Any, files: Mapping[str, str], pictures: Container[str]) -> Any:
    if not isinstance(part, Mapping):
        return part
    url = image_url_of(part)
    if url is not None and url in files and url in pictures:
        given = part["image_url"]
        inlined = {**given, "url": files[url]} if isinstance(given, Mapping) else files[url]
        return {**part, "image_url": inlined}
    file = _file_of(part)
    for key in FILE_KEYS:
        given = file.get(key)
        if isinstance(given, str) and given in files:
            others = {name: value for name, value in file.items() if name not in FILE_KEYS}
            return {**part, "file": {**others, "file_data": files[given]}}
    return part
