"""A host that is connected, with its workspace and the programs of ours that run there."""

import json
import secrets
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from rlmaster.durable_files import JsonObject
from rlmaster.errors import HostError
from rlmaster.fleet.parcel import Content, Parcel
from rlmaster.fleet.placing import Placed, Placing
from rlmaster.hosts.environment import Pins, python_path
from rlmaster.hosts.inventory import Host
from rlmaster.hosts.remote import RemoteHost, parse_answer
from rlmaster.placement import machine
from rlmaster.project import Project
from rlmaster.run_folder import RunFolder
from rlmaster.run_lock import lock_folder
from rlmaster.snapshot import read_tools
from rlmaster.ssh.connection import AskPassphrase

SCRIPT = "workspace_script.py"
CONNECT_S = 10.0
TOOLS_KEPT_S = 3600.0
"""Whoever is connected for long marks our code there as used so often; `gc` waits for a day."""
LONGEST_TEXT = 4096
"""No path or name that a host says of itself is longer."""

Say = Callable[[str], None]
"""Tells a person a step as it happens, in one sentence."""


class HostSession:
    """A connected host with its workspace, which is made on first contact."""

    def __init__(self, project: Project, remote: RemoteHost, found: JsonObject) -> None:
        """Use what the host said of itself; `connect` asks it."""
        self.project = project
        self.remote = remote
        self.host = remote.host
        self.workspace = _path(found, "workspace", self.host.name)
        """The workspace there, an absolute path."""
        self.computer = _text(found, "computer", self.host.name)
        """Network name of the computer."""
        self.machine = _text(found, "machine", self.host.name)
        """What tells the computer from all others."""
        self._python = _text(found, "python", self.host.name, may_be_empty=True)
        self._other_python = _first(found.get("other_pythons"))
        has_tools = found.get("has_tools") is True
        self._tools_until_s = time.monotonic() + TOOLS_KEPT_S if has_tools else 0.0
        """Until when, monotonic, nobody there can take our code for garbage."""
        remote.workspace = self.workspace

    @classmethod
    def connect(
        cls,
        project: Project,
        host: Host,
        *,
        ask: AskPassphrase | None = None,
        timeout_s: float = CONNECT_S,
    ) -> "HostSession":
        """Connect to a host, and make its workspace where there is none.

        Args:
            project: Whose runs are made there.
            host: A host of kind `ssh`.
            ask: Asks for the passphrase of an encrypted key; None where nobody is there.
            timeout_s: How long connecting may take.

        Raises:
            HostError: If it cannot be reached or trusted, or nothing can be written there.
        """
        remote = RemoteHost.connect(host, timeout_s=timeout_s, ask=ask)
        try:
            return cls(project, remote, _greet(project, remote))
        except BaseException:
            remote.connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def python(self) -> str:
        """The interpreter that runs have there, an absolute path.

        Raises:
            HostError: If there is none yet.
        """
        if self._python:
            return self._python
        if self.host.python:
            raise HostError(
                f"{self.host.name} has no Python {self.host.python}; correct it in hosts.toml, or "
                f"remove it there and run `rlmaster hosts setup {self.host.name}`"
            )
        raise HostError(
            f"{self.host.name} has no Python environment for this project yet; "
            f"`rlmaster hosts setup {self.host.name}` makes it"
        )

    @property
    def runs(self) -> str:
        """Where the workspace keeps its runs."""
        return f"{self.workspace}/runs"

    def folder_of(self, run: RunFolder) -> str:
        """Return the folder of a run there, an absolute path."""
        return f"{self.runs}/{run.name}/{run.id}"

    def rlmaster(self, *arguments: str, timeout_s: float = 60.0) -> JsonObject:
        """Run `rlmaster ... --json` there, from the code that runs here, and return its answer.

        Where the environment of the present packages is not made yet, an earlier one will do.

        Args:
            arguments: What a person would type after `rlmaster`, without `--json`.
            timeout_s: How long it may take altogether.

        Raises:
            RemoteError: If it refuses; the sentence is its own.
            HostError: If it cannot be asked, or answers with an error.
        """
        self.ship_tools()
        python = self._python or self._other_python or self.python
        return self.remote.rlmaster(python, self._tools_folder, *arguments, timeout_s=timeout_s)

    def ship_tools(self) -> Placed | None:
        """Send the package that runs here, once; None where it was there before.

        Raises:
            HostError: If it cannot be sent.
        """
        if time.monotonic() < self._tools_until_s:
            return None
        contents = [Content(name, content) for name, content in read_tools().contents.items()]
        with self.placing() as placing:
            placed = placing.place(Parcel(self._tools_folder, contents))
        self._tools_until_s = time.monotonic() + TOOLS_KEPT_S
        return None if placed.was_there else placed

    def placing(self) -> Placing:
        """Start the program that makes folders there; it is to be used as a context.

        Raises:
            HostError: If it does not begin.
        """
        return Placing(self.remote)

    @property
    def _tools_folder(self) -> str:
        return f"{self.workspace}/{_tools_place()}"

    def close(self) -> None:
        """End the connection."""
        self.remote.connection.close()


def _tools_place() -> str:
    """Return where a workspace keeps the package that runs here."""
    return f"runs/.snapshots/{read_tools().digest}"


def _greet(project: Project, remote: RemoteHost) -> JsonObject:
    """Make the workspace, and return what the host says of itself.

    Raises:
        HostError: If the workspace cannot be used, or is the project itself.
    """
    host = remote.host
    with _token(project.runs / ".state") as token, _token(lock_folder()) as lock:
        wanted = {
            "workspace": host.workspace,
            "hosts_toml": _hosts_file(host),
            "python": python_path(host, host.workspace, Pins.here(project.root)),
            "tools": _tools_place(),
            "token": token.relative_to(project.root).as_posix(),
            "lock": lock.name,
        }
        said = remote.run_script(SCRIPT, stdin=json.dumps(wanted).encode())
    found = parse_answer(said, host.name)
    place = (found.get("machine"), found.get("workspace"))
    if found.get("is_yours") is True or place == (machine(), str(project.root)):
        raise HostError(
            f"the workspace of {host.name} is this project itself, on a disk that both computers "
            "have; name another folder there as its `workspace` in hosts.toml"
        )
    if found.get("has_your_locks") is True:
        raise HostError(
            f'{host.name} is this computer, under this account; give it `kind = "local"` in '
            "hosts.toml"
        )
    return found


@contextmanager
def _token(folder: Path) -> Generator[Path]:
    """Make a file that nobody else can have, so that a host which sees it has the same disk."""
    path = folder / f".here-{secrets.token_hex(8)}.tmp"
    folder.mkdir(parents=True, exist_ok=True)
    path.touch()
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _hosts_file(host: Host) -> str:
    """Return the hosts.toml of a workspace: the one computer there, with the same rules."""
    rules = {
        "cpu_slots": host.cpu_slots,
        "slots_per_gpu": host.slots_per_gpu,
        "python": host.python,
    }
    lines = [f"{key} = {json.dumps(rule)}" for key, rule in rules.items() if rule is not None]
    return "\n".join(["", "[hosts.local]", 'kind = "local"', *lines, ""])


def _text(found: JsonObject, name: str, host: str, *, may_be_empty: bool = False) -> str:
    """Return a text that a host said of itself; nothing of it is trusted."""
    text = found.get(name)
    if (
        not isinstance(text, str)
        or len(text) > LONGEST_TEXT
        or not (text.isprintable() and (text or may_be_empty))
    ):
        raise HostError(f"{host} says nothing sensible of its {name}; look at it there")
    return text


def _path(found: JsonObject, name: str, host: str) -> str:
    path = _text(found, name, host)
    if not path.startswith("/") or ".." in path.split("/"):
        raise HostError(f"{host} says nothing sensible of its {name}; look at it there")
    return path


def _first(answer: object) -> str:
    """Return the first of some paths; nothing where there is none."""
    paths = cast("list[Any]", answer) if isinstance(answer, list) else []
    return next((p for p in paths if isinstance(p, str) and p.startswith("/")), "")
