"""`python killed_playing.py RUN [MOMENT COUNT SIGNAL]`: killed_training.py, with short games."""

import importlib
import signal
import sys
from pathlib import Path

from killed_training import signal_at
from playing_runs import shorten_games

if __name__ == "__main__":
    shorten_games(setattr)
    if len(sys.argv) > 2:
        signal_at(sys.argv[2], int(sys.argv[3]), signal.Signals[sys.argv[4]])
    sys.exit(importlib.import_module("rlmaster.training.__main__").main(Path(sys.argv[1])))
