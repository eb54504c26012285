"""What routes depend on runs in the event loop: a dependency that is not async costs every request a thread."""

import inspect
from collections.abc import Iterator

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from control_plane.app import ROUTERS


def below(dependant: Dependant) -> Iterator[Dependant]:
    for each in dependant.dependencies:
        yield each
        yield from below(each)


def test_no_request_waits_for_a_thread() -> None:
    routes = [route for each in ROUTERS for route in each.router.routes if isinstance(route, APIRoute)]
    assert routes
    blocking = {each.call for route in routes for each in below(route.dependant) if each.call is not None}
    assert not [call for call in blocking if not inspect.iscoroutinefunction(call)]
    assert not [route.path for route in routes if not inspect.iscoroutinefunction(route.endpoint)]
