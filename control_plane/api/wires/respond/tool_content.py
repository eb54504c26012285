"""A tool's result as a model reads it: text, with its pictures as pictures. Pure.

A picture may come as a part of OpenAI, Anthropic or MCP, or anywhere in the JSON of a tool: as base64 beside its media
type, or as a data URL. As text it would be billed by the character and read by no model.
"""

import base64
import re
from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from control_plane.fetching.media_types import PDF, media_type_of

Part = dict[str, Any]

DATA_URL = re.compile(r"data:image/[a-z0-9.+-]+;base64,([A-Za-z0-9+/]+={0,2})", re.IGNORECASE)
MEDIA_TYPES = ("mimeType", "mime_type", "media_type")
CONTENTS = ("data", "blob")
FILE_FIELDS = ("filename", "fileData", "file_data")
BEGINNING = 32
"""Characters of base64 that are enough to recognise a picture."""


def tool_content(given: Any) -> str | list[Part]:
    """The content of a tool's result: text alone as text, else parts, with a mark in the text for each picture."""
    if given is None:
        return ""
    if isinstance(given, dict) and _media_part(given) is not None:
        given = [given]
    parts = _parts_of_list(given) if _is_list_of_parts(given) else _parts_of_json(given)
    if all(part["type"] == "text" for part in parts):
        return "\n".join(part["text"] for part in parts)
    return parts


def _is_list_of_parts(given: Any) -> bool:
    return (
        isinstance(given, list)
        and bool(given)
        and all(isinstance(each, dict) and isinstance(each.get("type"), str) for each in given)
        and any(_is_text(each) or _media_part(each) is not None for each in given)
    )


def _parts_of_list(given: list[dict[str, Any]]) -> list[Part]:
    parts: list[Part] = []
    for each in given:
        media = _media_part(each)
        parts += [media] if media is not None else _parts_of_json(each["text"] if _is_text(each) else each)
    return parts


def _is_text(part: Mapping[str, Any]) -> bool:
    return part.get("type") in {"text", "input_text", "output_text"} and isinstance(part.get("text"), str)


def _parts_of_json(given: Any) -> list[Part]:
    """JSON written out, and behind it the pictures that were in it."""
    pictures: list[str] = []
    left = _without_pictures(given, pictures)
    text = left if isinstance(left, str) else to_json(left).decode()
    return [{"type": "text", "text": text}, *map(_picture, pictures)]


def _without_pictures(value: Any, pictures: list[str]) -> Any:
    if isinstance(value, str):
        return DATA_URL.sub(lambda found: _marked(found, pictures), value)
    if isinstance(value, list):
        return [_without_pictures(each, pictures) for each in value]
    if isinstance(value, dict):
        url = _url_of(value)
        if url is not None:
            pictures.append(url)
            return f"[picture {len(pictures)}]"
        return {name: _without_pictures(each, pictures) for name, each in value.items()}
    return value


def _marked(found: re.Match[str], pictures: list[str]) -> str:
    if not _begins_as_picture(found[1]):
        return found[0]
    pictures.append(found[0])
    return f"[picture {len(pictures)}]"


def _media_part(given: Mapping[str, Any]) -> Part | None:
    """A part that is a picture or a file, in OpenAI's form of chat completions."""
    match given.get("type"):
        case "image_url" | "input_image":
            image = given.get("image_url")
            url = image.get("url") if isinstance(image, Mapping) else image
            return _picture(url) if isinstance(url, str) else None
        case "image":
            source = given.get("source")
            holder = source if isinstance(source, Mapping) else given
            link = holder.get("url") if holder.get("type") == "url" else None
            url = link if isinstance(link, str) else _url_of(holder)
            return None if url is None else _picture(url)
        case "file" if isinstance(given.get("file"), Mapping):
            return {
                "type": "file",
                "file": {name: given["file"][name] for name in FILE_FIELDS if name in given["file"]},
            }
        case _:
            return None


def _url_of(given: Mapping[str, Any]) -> str | None:
    """The picture that an object holds as base64 beside its media type, as a data URL."""
    media_type = next((said for name in MEDIA_TYPES if isinstance(said := given.get(name), str)), "")
    content = next((held for name in CONTENTS if isinstance(held := given.get(name), str)), "")
    if not media_type.startswith("image/") or not _begins_as_picture(content):
        return None
    return f"data:{media_type};base64,{content}"


def _begins_as_picture(content: str) -> bool:
    try:
        kind = media_type_of(base64.b64decode(content[:BEGINNING]))
    except ValueError:
        return False
    return kind is not None and kind != PDF


def _picture(url: str) -> Part:
    return {"type": "image_url", "image_url": {"url": url}}
