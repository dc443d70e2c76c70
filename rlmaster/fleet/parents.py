"""Runs elsewhere that a branch goes on from: what they have kept, and how it comes here."""

import re
from dataclasses import dataclass
from typing import Any, cast

from rlmaster.errors import HostError
from rlmaster.fleet.answers import text_in
from rlmaster.fleet.pull import pull
from rlmaster.fleet.session import HostSession, Say
from rlmaster.fleet.there import placement_of
from rlmaster.hosts.inventory import read_inventory
from rlmaster.project import Project
from rlmaster.run_folder import RunFolder
from rlmaster.ssh.connection import AskPassphrase

CHECKPOINT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,63}")
KEPT_S = 120.0
"""How long a host may take to compare the checksums of a checkpoint."""


@dataclass(frozen=True)
class Kept:
    """What a run has kept on its host."""

    checkpoint: str
    """The name of the checkpoint that was asked for; empty where there is no such whole one."""
    known: tuple[str, ...]
    """The names of all checkpoints, oldest first."""


def ask_for_checkpoint(
    project: Project, parent: RunFolder, which: str, ask: AskPassphrase | None
) -> Kept:
    """Ask the host of a run for one of its checkpoints.

    Args:
        project: Whose run it is.
        parent: A run that is made elsewhere and has ended.
        which: `newest`, `best`, or the name of a checkpoint.
        ask: Asks for the passphrase of an encrypted key; None where nobody is there.

    Raises:
        HostError: If its host cannot be asked.
    """
    with _session(project, parent, ask) as session:
        answer = session.rlmaster(
            "kept", placement_of(parent).folder, f"--checkpoint={which}", timeout_s=KEPT_S
        )
    names = answer.get("known")
    known = filter(_is_name, cast("list[Any]", names) if isinstance(names, list) else [])
    kept = Kept(text_in(answer, "checkpoint"), tuple(known))
    if kept.checkpoint and not _is_name(kept.checkpoint):
        raise HostError(f"{session.host.name} names no checkpoint; look at run {parent.id} there")
    return kept


def _is_name(name: object) -> bool:
    """Tell whether a host names a folder of checkpoints, and nothing else."""
    return isinstance(name, str) and CHECKPOINT_NAME.fullmatch(name) is not None


def fetch_start(
    project: Project, parent: RunFolder, checkpoint: str, say: Say, ask: AskPassphrase | None
) -> None:
    """Bring a checkpoint and the frames of a run here, as far as they are not here yet.

    Raises:
        HostError: If its host cannot be asked.
        RunFolderError: If they cannot be written here.
    """
    with _session(project, parent, ask) as session:
        say(f"fetching what run {parent.short_id} has kept on {session.host.name}")
        pulled = pull(session.remote, parent, (f"checkpoints/{checkpoint}/*", "replay/**"))
        say(f"{pulled.fetched_bytes / 1e6:.1f} MB fetched")


def _session(project: Project, run: RunFolder, ask: AskPassphrase | None) -> HostSession:
    host = read_inventory(project.hosts_file).find(placement_of(run).host)
    return HostSession.connect(project, host, ask=ask)
