"""Passphrases of keys, which commands of the app need: asked of the person once, kept in memory.

A command has no terminal, so it asks the program that SSH_ASKPASS names; that asks here, over a
socket that only this account can reach.
"""

# pyright: reportUnknownMemberType=false
# Textual leaves open what a screen answers.

import asyncio
import json
import os
import secrets
import shlex
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.app import App
from textual.content import Content

from tui.children import askpass
from tui.settings import state_folder
from tui.words.plain_text import one_line

if TYPE_CHECKING:
    from tui.screens.dialogs import LineScreen

REFUSAL_S = 60.0
"""How long who would rather not say is left alone with the same question."""


class Passphrases:
    """Answers the questions of commands, from memory or by asking the person."""

    def __init__(self, app: App[Any]) -> None:
        """Choose a place; nothing is there yet."""
        self._app = app
        self._folder = _private_folder() / f"ask-{os.getpid()}-{secrets.token_hex(4)}"
        self._server: asyncio.Server | None = None
        self._one_question = asyncio.Lock()
        self._given: dict[str, str] = {}
        """By question."""
        self._heard: dict[tuple[str, int], str] = {}
        """What a process, by its number, has been told last on each question."""
        self._refused_s: dict[str, float] = {}
        """When the person would rather not say."""

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables that make commands ask here."""
        return {"SSH_ASKPASS": str(self._program), "SSH_ASKPASS_REQUIRE": "force"}

    @property
    def _program(self) -> Path:
        return self._folder / "askpass"

    async def open(self) -> None:
        """Begin to answer; where that cannot be, commands say that nobody is here to ask."""
        place = self._folder / "socket"
        words = [sys.executable, "-I", str(Path(askpass.__file__)), str(place)]
        try:
            self._folder.mkdir(mode=0o700, parents=True)
            self._program.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$1"\n')
            self._program.chmod(0o700)
            self._server = await asyncio.start_unix_server(self._receive, place)
        except OSError:  # a full disk, or a path too long for a socket
            shutil.rmtree(self._folder, ignore_errors=True)

    def close(self) -> None:
        """Answer no more."""
        if self._server is not None:
            self._server.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._app.run_worker(self._answer(reader, writer))

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one question."""
        try:
            asked = json.loads(await reader.readline())
            question, process = str(asked["question"]), int(asked["process"])
            async with self._one_question:
                passphrase = await self._find(question, process, reader)
            writer.write(json.dumps(passphrase).encode() + b"\n")
            await writer.drain()
        except (OSError, ValueError, TypeError, KeyError):
            return  # whoever asked is gone, or is none of ours
        finally:
            writer.close()

    async def _find(self, question: str, process: int, reader: asyncio.StreamReader) -> str | None:
        """Return what is known, unless that was wrong; else what the person says."""
        known = self._given.get(question)
        was_wrong = known is not None and self._heard.get((question, process)) == known
        if was_wrong or known is None:
            if time.monotonic() - self._refused_s.get(question, -REFUSAL_S) < REFUSAL_S:
                return None
            told = await self._ask(_dialog(question, again=was_wrong), reader)
            if not told:
                self._refused_s[question] = time.monotonic()
                return None
            self._given[question] = known = told
        self._heard[question, process] = known
        return known

    async def _ask(self, dialog: "LineScreen", reader: asyncio.StreamReader) -> str | None:
        """Ask the person, for as long as whoever wants to know is there."""
        answered: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()

        def take(told: str | None) -> None:
            if not answered.done():
                answered.set_result(told)

        await self._app.push_screen(dialog, take)
        gone = asyncio.ensure_future(reader.read())
        try:
            await asyncio.wait({answered, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
        if answered.done():
            return answered.result()
        if self._app.screen is dialog:
            dialog.dismiss(None)
        raise ConnectionResetError


def _dialog(question: str, *, again: bool) -> "LineScreen":
    # Here, since the first screen need not wait for it.
    from tui.screens.dialogs import LineScreen

    words = one_line(question).removesuffix(":")
    wrong = "That was not it. " if again else ""
    asked = Content.assemble(
        (wrong, "$text-error"),
        f"{words}\n",
        ("It is kept in memory until you quit.", "$text-muted"),
    )
    return LineScreen("Passphrase", asked, secret=True)


def _private_folder() -> Path:
    """Return a folder that only this account can write to, also once the app has left it.

    A name in `/tmp` could be taken by somebody else, whose program commands would then run.
    """
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    return runtime / "rlmaster" if runtime.is_absolute() else state_folder()
