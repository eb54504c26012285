"""The ASGI application: opens the house, hangs the doors."""

import gc
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.types import Lifespan

from control_plane.api import credits as credit_accounts
from control_plane.api import health, jobs, keys, model_groups, organizations, team_jobs, teams
from control_plane.api.entrance import Entrance
from control_plane.api.errors import add_error_handlers
from control_plane.house import House
from control_plane.runtime import open_house
from control_plane.settings import Settings

log = logging.getLogger(__name__)

ROUTERS = (health, jobs, team_jobs, organizations, teams, keys, credit_accounts, model_groups)

GC_THRESHOLD = 50_000  # a call makes thousands of short-lived objects; the default of 700 costs 6-12 % of CPU


def create_app(settings: Settings) -> FastAPI:
    """The product as an ASGI application for any server. Its lifespan opens and closes the house."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            async with open_house(settings) as house:
                move_in(app, house)
                yield
        except* Exception:
            log.exception("house_fell")
            signal.raise_signal(signal.SIGTERM)
            raise

    return hang_doors(settings, lifespan)


def app_of(house: House) -> FastAPI:
    """The product as an ASGI application in a house that the caller opens and closes."""
    app = hang_doors(house.settings, None)
    move_in(app, house)
    return app


def move_in(app: FastAPI, house: House) -> None:
    """The application serves this house from now on."""
    app.state.house = house
    gc.collect()
    gc.freeze()  # what is there now stays; collections need not look at it again
    gc.set_threshold(GC_THRESHOLD)


def hang_doors(settings: Settings, lifespan: Lifespan[FastAPI] | None) -> FastAPI:
    """The routes, the error answers, the entrance."""
    app = FastAPI(
        title="Control plane",
        summary="Jobs, credits and model groups in front of LLMs",
        lifespan=lifespan,
        openapi_tags=[
            {"name": "jobs", "description": "What apps use: open a job, call models in it, complete it."},
            {"name": "credits", "description": "Balances and the ledger behind them."},
            {"name": "administration", "description": "Organizations, teams, keys: for the master key."},
            {"name": "model groups", "description": "What may be called, and by whom."},
            {"name": "operations", "description": "For whoever runs the service."},
        ],
    )
    add_error_handlers(app)
    for door in ROUTERS:
        app.include_router(door.router)
    app.add_middleware(Entrance, max_body_bytes=settings.max_body_bytes)
    return app
