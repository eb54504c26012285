"""Calls an endpoint without FastAPI's request handling, for routes that need only path parameters, headers, a body and
dependencies on the request. FastAPI still describes these routes, and handles every request that fails validation.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel

Call = Callable[..., Awaitable[Any]]
Value = Callable[[Request], Awaitable[Any]]
"""Resolves a dependency. Raises: InvalidHeader, and what the dependency raises."""


class InvalidHeader(Exception):
    """A header fails validation."""


class DirectHandler:
    """A route's endpoint."""

    def __init__(self, route: APIRoute) -> None:
        """`route`: one that `is_direct`."""
        dependant = route.dependant
        self._endpoint = cast("Call", dependant.call)
        self._in_path = [(each.name, each.alias) for each in dependant.path_params]
        self._known = {str(each.name): _value_of(each) for each in dependant.dependencies}
        self._body_name = dependant.body_params[0].name if dependant.body_params else ""
        self._request_name = dependant.request_param_name

    async def arguments(self, request: Request, body: BaseModel | None) -> Mapping[str, Any]:
        """The endpoint's arguments. Raises: InvalidHeader, and what its dependencies raise."""
        arguments: dict[str, Any] = {name: request.path_params[alias] for name, alias in self._in_path}
        for name, value in self._known.items():
            arguments[name] = await value(request)
        if self._body_name:
            arguments[self._body_name] = body
        if self._request_name:
            arguments[self._request_name] = request
        return arguments

    async def call(self, arguments: Mapping[str, Any]) -> Response:
        """The endpoint's answer. Raises what it raises."""
        answer: Response = await self._endpoint(**arguments)
        return answer


def is_direct(route: APIRoute, model: type[BaseModel] | None) -> bool:
    """Whether the route, with a body of that model, uses only these parameters and returns a Response."""
    dependant = route.dependant
    return (
        inspect.iscoroutinefunction(dependant.call)
        and inspect.signature(dependant.call).return_annotation is Response
        and not (dependant.query_params or dependant.header_params or dependant.cookie_params)
        and not (dependant.response_param_name or dependant.background_tasks_param_name)
        and len(dependant.body_params) == (0 if model is None else 1)
        and all(each.field_info.annotation is str and not each.field_info.metadata for each in dependant.path_params)
        and all(map(_is_simple, dependant.dependencies))
    )


def _is_simple(dependency: Dependant) -> bool:
    return (
        inspect.iscoroutinefunction(dependency.call)
        and not (dependency.path_params or dependency.query_params or dependency.cookie_params)
        and all(map(_is_simple, dependency.dependencies))
    )


def _value_of(dependency: Dependant) -> Value:
    """The resolver of a simple dependency: on the request, on headers, on other dependencies."""
    call, request_name = cast("Call", dependency.call), dependency.request_param_name
    headers: Sequence[Any] = dependency.header_params
    others = {str(each.name): _value_of(each) for each in dependency.dependencies}
    if not headers and not others:
        return cast("Value", call) if request_name else lambda _request: call()

    async def value(request: Request) -> Any:
        arguments = {each.name: _header(request, each) for each in headers}
        for name, other in others.items():
            arguments[name] = await other(request)
        if request_name:
            arguments[request_name] = request
        return await call(**arguments)

    return value


def _header(request: Request, field: Any) -> Any:
    said = request.headers.get(field.alias)
    if said is None:
        if field.field_info.is_required():
            raise InvalidHeader
        return field.default
    found, problems = field.validate(said, {}, loc=("header", field.alias))
    if problems:
        raise InvalidHeader
    return found
