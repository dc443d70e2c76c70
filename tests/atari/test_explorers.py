import os
import select
import signal
import subprocess
import sys

import pytest

from rlmaster.atari.excursions import Play
from rlmaster.atari.exploration import Exploration
from rlmaster.atari.explorers import ExplorerProcess
from rlmaster.atari.protocols import PROTOCOLS
from rlmaster.errors import TrainingError

PLAY = Play("pong", PROTOCOLS["machado2018"], 8, cell_rows=8, cell_columns=11, cell_levels=8)

PARENT = """
import os, sys
from rlmaster.atari.excursions import Play
from rlmaster.atari.explorers import ExplorerProcess
from rlmaster.atari.protocols import PROTOCOLS
explorer = ExplorerProcess(Play("pong", PROTOCOLS["machado2018"], 8, 8, 11, 8))
explorer.ask("excursions", [])
explorer.answer()
print(explorer._process.pid, flush=True)
sys.stdin.read()
"""


def test_its_process_ends_when_whoever_started_it_is_killed():
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with parent:
        explorer = int(parent.stdout.readline())
        watched = os.pidfd_open(explorer)
        parent.kill()
    poll = select.poll()
    poll.register(watched)
    assert poll.poll(20_000), "it goes on without anybody"
    os.close(watched)


def test_signals_meant_for_the_run_leave_it_to_whoever_started_it():
    explorer = ExplorerProcess(PLAY)
    explorer.ask("excursions", [])
    assert explorer.answer() == []
    for number in (signal.SIGINT, signal.SIGTERM):
        explorer._process.send_signal(number)
    explorer.ask("states", [])
    assert explorer.answer() == []
    explorer.close()
    assert explorer._process.returncode == 0


def test_a_process_that_died_is_an_error_that_says_so():
    with Exploration(PLAY, num_streams=2, max_cells=9, seed=1, num_processes=2) as exploration:
        exploration._explorers[1]._process.kill()
        with pytest.raises(TrainingError, match=r"has ended \(exit code -9\)"):
            exploration.play_round()
