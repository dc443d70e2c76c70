"""Being let in by another computer: with keys, and never with a password."""

import shlex

import paramiko

from rlmaster.errors import AuthenticationError, HostError, SilenceError
from rlmaster.ssh.address import Address
from rlmaster.ssh.deadline import Deadline
from rlmaster.ssh.keys import AskPassphrase, Keys


def authenticate(
    transport: paramiko.Transport, address: Address, deadline: Deadline, ask: AskPassphrase | None
) -> None:
    """Try the account's keys, the likeliest first, until one is taken.

    Args:
        transport: A connection to a computer that is trusted.
        address: Who wants to be let in where.
        deadline: How long it may take; it stands still while a person is asked.
        ask: Asks for the passphrase of an encrypted key; None where nobody is there.

    Raises:
        AuthenticationError: If none is taken; trying again changes nothing.
        HostError: If the connection ends, or there is no answer in time.
    """
    keys = Keys(address, deadline, ask)
    tried: list[str] = []
    for key in keys.in_order():
        tried.append(key.label)
        if _is_let_in(transport, address, key.key, deadline, tried):
            return
    raise AuthenticationError(_refusal(address, tried, keys.problems))


def _is_let_in(
    transport: paramiko.Transport,
    address: Address,
    key: paramiko.PKey,
    deadline: Deadline,
    tried: list[str],
) -> bool:
    """Try one key.

    Raises:
        AuthenticationError: If no other key would do either.
        HostError: If the connection ends, or there is no answer in time.
    """
    transport.auth_timeout = deadline.left_s
    try:
        also_wanted = transport.auth_publickey(address.user, key)
    except paramiko.BadAuthenticationType as error:
        ways = ", ".join(error.allowed_types)
        raise AuthenticationError(
            f"{address.name} lets nobody in with a key, only by {ways}; ask who looks after it"
        ) from error
    except (OSError, EOFError, paramiko.SSHException) as error:
        if deadline.is_over:
            raise SilenceError(f"{address.name} did not log in within {deadline}") from error
        if not transport.is_active():
            raise _cut_off(address, tried) from error
        return False
    if also_wanted:
        raise AuthenticationError(
            f"{address.name} takes the key {tried[-1]} but also wants {', '.join(also_wanted)}, "
            "which only a person can give"
        )
    return True


def _cut_off(address: Address, tried: list[str]) -> HostError:
    if len(tried) > 1:
        return AuthenticationError(
            f"{address.name} ended the connection after {len(tried)} keys ({', '.join(tried)}); "
            "say in the ssh configuration which is right, with IdentityFile and IdentitiesOnly yes"
        )
    return HostError(
        f"{address.name} ended the connection while {address.user} was logging in with {tried[0]}"
    )


def _refusal(address: Address, tried: list[str], problems: list[str]) -> str:
    """Say which keys were tried, and what a person can do."""
    who = f"{address.name} does not let {address.user} in"
    if problems:
        also = f" (tried: {', '.join(tried)})" if tried else ""
        return f"{who}{also}: {'; '.join(problems)}"
    copy_key = shlex.join(["ssh-copy-id", *shlex.split(address.ssh_command)[1:]])
    if not tried:
        return f"{who}, since there is no key; make one with `ssh-keygen`, then `{copy_key}`"
    return f"{who} with {', '.join(tried)}; let it know the key with `{copy_key}`"
