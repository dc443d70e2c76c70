"""Sessions on a tmux server of RLmaster's own, which no configuration of the user's reaches.

Programs are given to tmux as an argument vector, so no shell reads them. Still, tmux itself
expands `#{...}` and `#(...)` in a session's name and folder, and takes `;` at an argument's end for
the end of the command: hence the strict names, no `-c`, and `_whole_argument`.
"""

import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence

from rlmaster.errors import HostError

SOCKET_VARIABLE = "RLMASTER_TMUX_SOCKET"
"""Environment variable that names another server than `rlmaster`, such as one of a test's own."""
TIMEOUT_S = 10.0
"""How long tmux may take; it usually answers within 10 ms."""


def session_name(text: str) -> str:
    """Return a name that tmux takes as it is."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", text)


def start_session(name: str, command: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Start a program in a detached session, unless there is one of that name already.

    A server that is running keeps the environment that it was started with: the command must bring
    along what it needs.

    Args:
        name: The session's name, as `session_name` gives it.
        command: The program and its arguments.
        environment: What tmux itself runs with.

    Returns:
        Whether a session was started; tmux itself makes sure that there is only one.

    Raises:
        HostError: If tmux is not installed, fails or does not answer.
    """
    arguments = [_whole_argument(argument) for argument in command]
    result = _tmux(["new-session", "-d", "-s", name, "--", *arguments], environment)
    # Where tmux cannot make its socket, as on a full disk, it says so and exits with 0.
    if result.returncode == 0 and not result.stderr.startswith("error creating"):
        return True
    if result.stderr.startswith("duplicate session"):
        return False
    raise HostError(f"tmux: {' '.join(result.stderr.split()) or 'failed without a word'}")


def has_session(name: str, environment: Mapping[str, str]) -> bool:
    """Tell whether there is a session of that name; without tmux there is none."""
    try:
        return _tmux(["has-session", "-t", f"={name}"], environment).returncode == 0
    except HostError:
        return False


def attach_command(name: str, environment: Mapping[str, str]) -> str:
    """Return what a person types to look into a session."""
    return shlex.join(["tmux", "-L", _socket_name(environment), "attach-session", "-t", name])


def _whole_argument(argument: str) -> str:
    return f"{argument[:-1]}\\;" if argument.endswith(";") else argument


def _socket_name(environment: Mapping[str, str]) -> str:
    return environment.get(SOCKET_VARIABLE) or "rlmaster"


def _tmux(
    arguments: Sequence[str], environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["tmux", "-L", _socket_name(environment), "-f", "/dev/null", *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError as error:
        raise HostError("tmux is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise HostError(f"tmux did not answer within {TIMEOUT_S:.0f} s") from error
    except OSError as error:
        raise HostError(f"tmux cannot be started: {error.strerror or error}") from error
