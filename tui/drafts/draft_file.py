"""Where a draft waits while the app is closed: one for each project, and for each run to repeat.

Drafts belong to the person and not to the project, so they lie under `$XDG_STATE_HOME`.
"""

import hashlib
import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from rlmaster.durable_files import read_json, write_json
from rlmaster.project import Project
from rlmaster.run_folder import RunFolder
from tui.drafts.draft import Draft
from tui.settings import state_folder


class DraftFile:
    """One draft on disk; what cannot be written or read is done without."""

    def __init__(self, project: Project, run: RunFolder | None = None) -> None:
        """Name it.

        Args:
            project: Whose draft.
            run: The run that is to be made again; None for a new one.
        """
        place = hashlib.sha256(os.fsencode(project.root)).hexdigest()[:16]
        name = f"again-{run.id}" if run else "new"
        self._path = state_folder() / "drafts" / place / f"{name}.json"
        self._writing = threading.Lock()

    def read(self) -> Draft | None:
        """Return the draft, or None where there is none."""
        with suppress(OSError, TypeError, KeyError):
            data = read_json(self._path)
            return Draft.from_data(data) if data else None
        return None

    def write(self, data: Mapping[str, Any]) -> None:
        """Keep the draft."""
        with self._writing, suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_json(self._path, data)

    def remove(self) -> None:
        """Forget the draft."""
        with self._writing, suppress(OSError):
            self._path.unlink(missing_ok=True)
