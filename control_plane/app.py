"""The ASGI application: adds routers, middleware and error handlers."""

import asyncio
from collections.abc import Collection

from fastapi import FastAPI

from control_plane.api import health, metrics
from control_plane.api.admin import access_tokens, audit, credit_grants, keys, model_groups, organizations, spend, teams
from control_plane.api.admin import credits as credit_accounts
from control_plane.api.guide_pages import route as guide_pages
from control_plane.api.http.body_budget import BodyBudget
from control_plane.api.http.cors import CorsMiddleware
from control_plane.api.http.errors import add_error_handlers
from control_plane.api.http.gate import Gate
from control_plane.api.http.middleware import RequestMiddleware
from control_plane.api.http.paths import Methods, NormalizingMiddleware
from control_plane.api.jobs import calls as job_calls
from control_plane.api.jobs import route as jobs
from control_plane.api.jobs import team_jobs
from control_plane.api.jobs import tokens as job_tokens
from control_plane.api.openapi import route as openapi
from control_plane.api.pages import route as pages
from control_plane.api.wires.anthropic import route as anthropic
from control_plane.api.wires.openai import models as openai_models
from control_plane.api.wires.openai.chat import route as openai_chat
from control_plane.api.wires.openai.endpoints import route as openai_endpoints
from control_plane.api.wires.openai.responses import route as openai_responses
from control_plane.api.wires.respond import route as respond
from control_plane.services import Services

ROUTERS = (
    *(jobs, job_calls, job_tokens, team_jobs, organizations, teams, keys, credit_accounts, credit_grants),
    *(access_tokens, audit),
    *(
        respond,
        openai_chat,
        openai_endpoints,
        openai_models,
        openai_responses,
        anthropic,
        model_groups,
        spend,
        metrics,
        health,
        pages,
        guide_pages,
        openapi,
    ),
)


def create_app(services: Services, *, shared_ports: Collection[int] = ()) -> FastAPI:
    """The application over services that the caller opens and closes. `shared_ports`: ports that other processes serve
    too.
    """
    app = FastAPI(
        title="Control plane",
        summary="Jobs, credits and model groups in front of LLMs",
        openapi_tags=[
            {"name": "jobs", "description": "For apps: create a job, call models in it, complete it."},
            {"name": "respond", "description": "One endpoint for apps in any language, whatever the provider."},
            {"name": "openai", "description": "OpenAI's and Anthropic's APIs: for their SDKs, with another base URL."},
            {"name": "credits", "description": "Balances and the ledger behind them."},
            {
                "name": "administration",
                "description": "Organizations, teams, keys, access tokens, the audit log: for the master key and access tokens.",
            },
            {"name": "model groups", "description": "Which models each team may call."},
            {"name": "operations", "description": "For operators of the service."},
        ],
        telemetry=services.traces.telemetry,
        redirect_slashes=False,
        openapi_url=None,
    )
    add_error_handlers(app)
    # Not include_router: it makes every route once more, and matches a request's route twice.
    for router in (*(module.router for module in ROUTERS), respond.preflights, job_calls.preflights):
        app.router.routes.extend(router.routes)
    settings = services.settings
    # Outermost, which is added last: NormalizingMiddleware (path, HEAD), CorsMiddleware, RequestMiddleware (bounds).
    app.add_middleware(
        RequestMiddleware,
        max_body_bytes=settings.max_body_bytes,
        budget=BodyBudget(settings.max_held_bytes, settings.max_held_bytes_of_team),
        lease=services.lease,
        handled=services.garbage.handled,
        gate=Gate(services.keys, services.writer, wait_timeout_s=settings.wait_timeout_s),
    )
    app.add_middleware(CorsMiddleware, services=services)
    app.add_middleware(NormalizingMiddleware)
    app.state.services = services
    app.state.methods = Methods(app.routes)
    app.state.shared_ports = shared_ports
    app.state.large_bodies = asyncio.Lock()
    return app
