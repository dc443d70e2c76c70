"""A player in a process of its own, as its library is used, which sleeps while others play.

In one process with others it would have their memory allocator and their settings of torch.
"""

import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Protocol

import torch


class Player(Protocol):
    """Something that learns, which can be asked to go on."""

    settings: str
    """What there is to know about how it is used."""

    def advance(self, steps: int) -> int:
        """Do at least so many agent steps, or updates, and return how many they were."""
        ...

    def close(self) -> None:
        """End it."""
        ...


@dataclass(frozen=True)
class Turn:
    """What a player did."""

    steps: int
    """Agent steps, or updates."""
    took_s: float
    spent_s: dict[str, float] = field(default_factory=dict[str, float])
    """Of that, by the part of its loop, where it watches them."""

    @property
    def steps_per_s(self) -> float:
        """Steps in a second."""
        return self.steps / self.took_s


class OwnProcess:
    """A player, made in a process of its own and asked from this one."""

    def __init__(self, make: Callable[..., Player], *arguments: Any) -> None:
        """Make it, and wait until it is ready.

        Args:
            make: A function or class of a module, with what it takes.
            arguments: Handed to `make`.

        Raises:
            ImportError: If its library is not there.
        """
        processes = multiprocessing.get_context("spawn")
        self._connection, other_end = processes.Pipe()
        # No daemon, for players have processes of their own.
        self._process = processes.Process(target=_serve, args=(other_end, make, arguments))
        self._process.start()
        other_end.close()
        answer = self._connection.recv()
        if isinstance(answer, Exception):
            raise answer
        self.settings: str = answer

    def ask(self, method: str, steps: int) -> Any:
        """Have a method of the player called with a number of steps, and return its answer."""
        self._connection.send((method, steps))
        return self._connection.recv()

    def advance(self, steps: int) -> Turn:
        """Let it do at least so many agent steps, or updates."""
        return self.ask("advance", steps)

    def close(self) -> None:
        """End it."""
        self._connection.close()
        self._process.join()


def _serve(connection: Connection, make: Callable[..., Player], arguments: tuple[Any, ...]) -> None:
    try:
        player = make(*arguments)
    except Exception as error:
        connection.send(error)
        return
    connection.send(player.settings)
    try:
        while True:
            method, steps = connection.recv()
            is_turn = method == "advance"
            connection.send(_turn(player, steps) if is_turn else getattr(player, method)(steps))
    except EOFError:  # nobody asks any more
        player.close()


def _turn(player: Player, steps: int) -> Turn:
    watch: dict[str, float] = getattr(player, "spent_s", {})
    before_s = dict(watch)
    start_s = time.perf_counter()
    done = player.advance(steps)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    took_s = time.perf_counter() - start_s
    spent_s = {part: watch[part] - before for part, before in before_s.items()}
    return Turn(done, took_s, spent_s)
