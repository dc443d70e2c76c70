"""Where notices are pushed to, given to a host so that its workers push too, and taken back.

Only the addresses and the kinds of notices travel. They are secret: they go as a program's input,
and no message, argument or log holds them.
"""

import json

from rlmaster.errors import HostError, UsageError
from rlmaster.hosts.remote import RemoteHost, cleaned, parse_answer
from rlmaster.user_config import UserConfig

HEADING = """\
# Written by `rlmaster hosts setup --push` on another computer, which replaces it; with
# `rlmaster hosts setup --no-push` it goes. Its addresses are as good as passwords.
"""


def refuse_without_addresses(config: UserConfig) -> None:
    """Do nothing where there is something to push with.

    Raises:
        UsageError: If there is nowhere to push to.
    """
    if not config.push:
        raise UsageError(
            f"{config.path} has no push addresses that a host could use; `rlmaster notify test` "
            "shows how they are written"
        )


def send_push_config(remote: RemoteHost, config: UserConfig) -> str:
    """Let workers of a host push notices; return the file there.

    Raises:
        UsageError: If there is nowhere to push to.
        HostError: If it cannot be written there, or a person has written one.
    """
    refuse_without_addresses(config)
    return _do(remote, "write", _content(config))


def remove_push_config(remote: RemoteHost) -> str:
    """Let workers of a host push nothing any more; return the file that was there, or would be.

    Raises:
        HostError: If it cannot be removed, or a person has written it.
    """
    return _do(remote, "remove", b"")


def _content(config: UserConfig) -> bytes:
    """Return the file, in which JSON's way to write texts is TOML's too."""
    lines = (
        "[notify]",
        "desktop = false",
        f"push = {json.dumps(config.push, ensure_ascii=False)}",
        f"kinds = {json.dumps(sorted(config.kinds))}",
    )
    return (HEADING + "\n".join(lines) + "\n").encode()


def _do(remote: RemoteHost, action: str, content: bytes) -> str:
    host = remote.host.name
    answer = parse_answer(remote.run_script("push_script.py", [action], content), host)
    state = cleaned(str(answer.get("state", "")).encode())
    path = cleaned(str(answer.get("path", "")).encode())
    if state in ("written", "removed", "was not there"):
        return path
    if state == "somebody else's":
        raise HostError(
            f"{path} on {host} was not written by `rlmaster hosts setup --push`, so it is left as "
            "it is; move it away first, or put the push addresses into it yourself"
        )
    raise HostError(f"{path} on {host}: {state}; let yourself write there, and try again")
