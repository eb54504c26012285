"""Programs that use an SDK, as processes of their own."""

import asyncio
import os
from pathlib import Path

NODE_MODULES = Path(__file__).parents[2] / "node" / "node_modules"
CLIENTS_PYTHON = Path(__file__).parents[3] / ".venv" / "clients" / "bin" / "python"
"""The environment of clients whose needs are not ours; `make test` makes it."""

RUN_TIMEOUT_S = 280


def in_node_folder(folder: Path, text: str) -> Path:
    """A file with this program, beside the installed packages: modules are looked for where the file is."""
    (folder / "node_modules").symlink_to(NODE_MODULES)
    file = folder / "program.mjs"
    file.write_text(text, encoding="utf-8")
    return file


async def ran(*command: str, **environ: str) -> str:
    """What a program printed, which has to succeed."""
    environment = os.environ | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "PYTHONIOENCODING": "utf-8"} | environ
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environment
    )
    try:
        async with asyncio.timeout(RUN_TIMEOUT_S):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, err.decode()
    return out.decode()
