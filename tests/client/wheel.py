"""The typed client's wheel, built from the tree and installed by itself, without a network."""

import asyncio
import os
import sys
from pathlib import Path

CLIENT = Path(__file__).parent.parent.parent / "control_plane" / "client"


async def output_of(*command: str | Path, cwd: Path) -> str:
    """What a command prints that succeeds, with nothing of this environment on its path."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIP_"))}
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, env=environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return said.decode()


async def install_wheel(site: Path, work: Path) -> None:
    """Puts the client into the folder `site`, without what it requires."""
    build = (sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", work / "dist")
    await output_of(*build, cwd=CLIENT)
    [wheel] = (work / "dist").glob("*.whl")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "install")
    await output_of(*pip, "--no-deps", "--no-index", "--target", site, wheel, cwd=work)
