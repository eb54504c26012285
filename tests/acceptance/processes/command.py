"""The command line as a shell runs it, but in this process: a process for each command would take seconds."""

import asyncio
import contextlib
import io
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import pytest

from control_plane.cli import main
from tests.support.server import MASTER_KEY


@dataclass(frozen=True)
class Ran:
    """A command that has ended."""

    code: int
    out: str
    err: str


@dataclass
class Shell:
    """Runs commands, and notes which."""

    patch: pytest.MonkeyPatch
    tried: set[str] = field(default_factory=set)

    @classmethod
    def at(cls, patch: pytest.MonkeyPatch, folder: Path, url: str, **settings: object) -> "Shell":
        """With the settings of the machine where that server runs."""
        for name, value in {"url": url, "master_key": MASTER_KEY, "var": folder / "var", **settings}.items():
            patch.setenv(f"CONTROL_PLANE_{name.upper()}", str(value))
        return cls(patch)

    async def run(self, *words: str, terminal: TextIO | None = None) -> Ran:
        """`terminal`: what standard error is; a pipe without."""
        out, err = io.StringIO(), io.StringIO()

        def program() -> int:
            with (
                contextlib.redirect_stdout(out),
                contextlib.redirect_stderr(terminal or err),
                pytest.raises(SystemExit) as ended,
            ):
                main.main()
            return int(str(ended.value.code))

        self.patch.setattr(sys, "argv", ["control-plane", *words])
        return Ran(await asyncio.to_thread(program), out.getvalue(), err.getvalue())

    async def shown(self, *words: str) -> str:
        """What a command prints that does what it should: nothing but results."""
        ran = await self.run(*words)
        assert (ran.code, ran.err) == (0, ""), ran
        self.tried.add(command_in(words))
        return ran.out

    async def json(self, *words: str) -> Any:
        return json.loads(await self.shown(*words, "--json"))


def command_in(words: tuple[str, ...]) -> str:
    """`team show` of `team show red --json`."""
    return next(name for name in sorted(COMMANDS, key=len, reverse=True) if " ".join(words).startswith(name))


def _commands() -> set[str]:
    found = {name_of(command) for command in main.app.registered_commands}
    for group in main.app.registered_groups:
        assert group.typer_instance is not None
        found |= {
            f"{group.typer_instance.info.name} {name_of(each)}" for each in group.typer_instance.registered_commands
        }
    return found


def name_of(command: Any) -> str:
    return str(command.name or command.callback.__name__.replace("_", "-"))


main.add_groups([])
COMMANDS = _commands()
