"""`Cache-Control` of a request: whether the response cache may be used."""

from typing import Annotated

from fastapi import Depends, Header

from control_plane.cache.rules import ANY, CacheControl


async def cache_control_of(
    cache_control: Annotated[
        str | None,
        Header(description="`no-cache`: skip the response cache; `no-store`: also do not store this response"),
    ] = None,
) -> CacheControl:
    """The client's cache control."""
    if cache_control is None:
        return ANY
    said = {directive.strip() for directive in cache_control.lower().split(",")}
    may_be_cached = "no-store" not in said
    return CacheControl(
        may_use_cached=may_be_cached and not said & {"no-cache", "max-age=0"}, may_be_cached=may_be_cached
    )


CacheControlDep = Annotated[CacheControl, Depends(cache_control_of)]
