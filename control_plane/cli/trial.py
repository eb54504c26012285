"""Builds what a server builds from a configuration, LiteLLM's Router included, in a process of its own.

The checks of `model_groups/` know what LiteLLM is known to refuse; only LiteLLM knows the rest. The process has bounds on
time and memory, so that a file can neither hang the command nor take the machine's memory. It also keeps LiteLLM, which
takes seconds and 190 MB to import, out of this one.
"""

import asyncio
import contextlib
import json
import os
import pickle
import resource
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path as File

import control_plane
from control_plane.errors import InvalidConfig
from control_plane.gateway.deployments import RouterConfig
from control_plane.model_groups.catalog import Catalog
from control_plane.model_groups.config import Inspection, inspect
from control_plane.model_groups.problems import Path

BUILD_S = 300
"""A server needs 5 s, a machine that does much else 60."""
CPU_S = 120
MEMORY_BYTES = 4 * 2**30
"""Of address space; LiteLLM's is 1 GB."""
MOST_ALONE = 200
"""Deployments that are built alone to find the one that LiteLLM refuses."""

ASSUMED_REDIS = ("redis_host", "redis_port", "redis_url", "redis_password", "redis_db")


@dataclass(frozen=True, slots=True)
class _Order:
    """What the process builds, and with what in its environment."""

    config: RouterConfig
    environment: Mapping[str, str]


def inspect_and_build(path: File, environ: Mapping[str, str] | None) -> Inspection:
    """Everything that is found in a file, LiteLLM's refusals included. Blocks for seconds.

    `environ` None: no variable is known, and each is taken as present.
    Raises: InvalidConfig for a fault of this program's.
    """
    inspection = inspect(path, environ)
    if inspection.catalog is None:
        return inspection
    for place, sentence in _built(inspection.catalog, is_assumed=environ is None):
        inspection.problems.add(place, sentence)
    return inspection if not inspection.errors else replace(inspection, catalog=None)


def _built(catalog: Catalog, *, is_assumed: bool) -> list[tuple[Path, str]]:
    """What hinders a server with this configuration, and where it stands; nothing when it would start."""
    config = catalog.router
    if is_assumed:
        settings = {name: value for name, value in config.router_settings.items() if name not in ASSUMED_REDIS}
        config = replace(config, router_settings=settings)
    try:
        ran = subprocess.run(
            [sys.executable, "-P", "-m", "control_plane.cli.trial"],
            input=pickle.dumps(_Order(config, dict(catalog.environment))),
            capture_output=True,
            check=False,
            timeout=BUILD_S,
            env={**os.environ, "PYTHONPATH": _with_this_code(os.environ.get("PYTHONPATH"))},
        )
    except subprocess.TimeoutExpired:
        return [((), f"LiteLLM has not built this configuration within {BUILD_S} s; a server would not start either")]
    try:
        return [(tuple(path), sentence) for path, sentence in json.loads(ran.stdout)]
    except ValueError:
        return [((), f"LiteLLM cannot build this configuration: the process that tried it {_ended(ran)}")]


def _with_this_code(before: str | None) -> str:
    here = str(File(control_plane.__file__).parent.parent)
    return here if not before else f"{here}{os.pathsep}{before}"


def _ended(ran: subprocess.CompletedProcess[bytes]) -> str:
    if b"MemoryError" in ran.stderr:
        return f"took more than {MEMORY_BYTES // 2**30} GiB of memory"
    if ran.returncode == -signal.SIGXCPU:
        return f"took more than {CPU_S} s of CPU"
    if ran.returncode < 0:
        return f"was ended by signal {-ran.returncode}"
    return f"ended with {ran.returncode}"


def main() -> None:
    """In the process: an order on standard input, what hinders it on standard output."""
    bounds = {resource.RLIMIT_AS: (MEMORY_BYTES, MEMORY_BYTES), resource.RLIMIT_CPU: (CPU_S, CPU_S + 5)}
    for bound, (soft, hard) in bounds.items():
        with contextlib.suppress(ValueError, OSError):  # a lower one is there already
            resource.setrlimit(bound, (soft, hard))
    order: _Order = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the process that started this one
    answer = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # LiteLLM prints
    os.environ.update(order.environment)
    json.dump(asyncio.run(_try(order.config)), answer)
    answer.close()


async def _try(config: RouterConfig) -> Sequence[tuple[Path, str]]:
    refused = await _refusal(config)
    if refused is None:
        return []
    for index, deployment in enumerate(config.deployments[:MOST_ALONE]):
        alone = await _refusal(RouterConfig([deployment]))
        if alone is not None:
            return [(("model_list", index), f"deployment {deployment.model_name!r}: {alone}")]
    without = await _refusal(replace(config, router_settings={}))
    return [(("router_settings",) if without is None else (), refused)]


async def _refusal(config: RouterConfig) -> str | None:
    """Why no gateway can be built from it; None when one was."""
    from control_plane.gateway.factory import open_gateway  # noqa: PLC0415 - seconds, for the process alone

    try:
        gateway = await open_gateway(config, lambda _: None)
    except InvalidConfig as refusal:
        return refusal.message
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, a server would not start
        return f"a server with this configuration does not start: {type(error).__name__}"
    await gateway.aclose()
    return None


if __name__ == "__main__":
    main()
