"""What routes ask for: the house, and who is asking."""

from typing import Annotated

from fastapi import Depends, Request

from control_plane.errors import InvalidKey
from control_plane.house import House as HouseType
from control_plane.tenants.principal import Principal


def house_of(request: Request) -> HouseType:
    """The running house."""
    house: HouseType = request.app.state.house
    return house


House = Annotated[HouseType, Depends(house_of)]


async def principal(request: Request) -> Principal:
    """Who holds the key in `Authorization: Bearer …` or `x-api-key`. Asked once per request. Raises: InvalidKey."""
    known: Principal | None = getattr(request.state, "principal", None)
    if known is not None:
        return known
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret:
        secret = request.headers.get("x-api-key", "")
    if not secret.strip():
        raise InvalidKey
    found = await house_of(request).keys.principal(secret.strip())
    request.state.principal = found
    return found


Caller = Annotated[Principal, Depends(principal)]
