"""`rlmaster` alone, in a terminal: what opening the app sets going."""

import os
import pty
import signal
import subprocess
import sys

from made_runs import make_run, set_state
from waiting import wait_until

from rlmaster.fleet.owed import owe
from rlmaster.placement import Placement
from rlmaster.run_status import State

NOBODY = "127.0.0.1:1"
"""Where nothing listens."""


def test_runs_elsewhere_are_followed_once_the_app_is_opened(rlmaster):
    hosts = rlmaster.project / "hosts.toml"
    hosts.write_text(f'[hosts.office]\nkind = "ssh"\naddress = "{NOBODY}"\n')
    run = make_run(rlmaster.project / "runs")
    set_state(run, State.RUNNING)
    run.write_placement(Placement("office", "ssh", "node7", "node7-0", "/there", "/", "python3", 1))
    owe(run)
    keyboard, terminal = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "rlmaster"],
        cwd=rlmaster.project,
        env=rlmaster.environment,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    ):
        try:
            wait_until(lambda: rlmaster.processes("rlmaster watch --quiet"), 60)
        finally:
            for number in rlmaster.processes():
                os.kill(number, signal.SIGKILL)
            os.close(terminal)
            os.close(keyboard)
