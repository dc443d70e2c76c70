"""A trained agent as a small folder that can be committed: `rlmaster export` writes it.

    policy.safetensors    the weights that acting needs
    config.json           the experiment that trained them
    result.json           what they come to, and how they were made

The first two are enough to play; a folder may have been put together by hand.
"""

import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from rlmaster.durable_files import sync_folder, sync_tree
from rlmaster.errors import UsageError

WEIGHTS, CONFIG, RESULT = "policy.safetensors", "config.json", "result.json"


class PolicyFolder:
    """One exported policy on disk, or the place where one shall be."""

    def __init__(self, path: Path) -> None:
        """Point at a folder; nothing is read yet."""
        self.path = path
        self.weights_file = path / WEIGHTS
        self.config_file = path / CONFIG
        self.result_file = path / RESULT

    def require_replaceable(self) -> None:
        """Refuse a place where something lies that is no policy; an empty folder may be filled.

        Raises:
            UsageError: If so.
        """
        if not self.path.exists():
            return
        names = {file.name for file in self.path.iterdir()} if self.path.is_dir() else {""}
        if names and not {WEIGHTS, CONFIG} <= names <= {WEIGHTS, CONFIG, RESULT}:
            raise UsageError(
                f"{self.path} is not a policy and nothing else ({WEIGHTS}, {CONFIG}, {RESULT}), so "
                "it is not replaced; name a new folder, or one that was exported before"
            )

    def replace(self, contents: Mapping[str, bytes]) -> None:
        """Let the folder hold these files and no others, all of them or as before.

        Two renames replace a folder. A process that is killed between them leaves the earlier
        policy beside, out of sight, and never half of one.

        Args:
            contents: What each file shall hold, by its name.

        Raises:
            UsageError: If something lies there that is no policy.
            OSError: If it cannot be written.
        """
        self.require_replaceable()
        partial, before = (self.path.with_name(f".{self.path.name}.{w}") for w in ("new", "old"))
        for left_behind in (partial, before):  # by a process that was killed
            shutil.rmtree(left_behind, ignore_errors=True)
        try:
            partial.mkdir(parents=True)
            for name, content in contents.items():
                (partial / name).write_bytes(content)
            sync_tree(partial)
            with suppress(FileNotFoundError):
                self.path.rename(before)
            partial.rename(self.path)
        except OSError:
            if before.exists() and not self.path.exists():
                before.rename(self.path)
            raise
        finally:
            for no_longer_needed in (partial, before):
                shutil.rmtree(no_longer_needed, ignore_errors=True)
        sync_folder(self.path.parent)
