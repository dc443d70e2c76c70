"""`python -m rlmaster.training RUN_FOLDER`: train what the run folder says, and keep it there.

Exit code 0 when it is done, 75 when it was asked to stop and kept its work, 1 when it failed.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from rlmaster.errors import RlmasterError
from rlmaster.experiment import Experiment
from rlmaster.run_folder import STOPPED_EXIT_CODE, WORKER_VARIABLE, RunFolder
from rlmaster.training.embedder_training import EmbedderTraining, StopRequested
from rlmaster.training.recording import Recording

_PR_SET_PDEATHSIG = 1
"""From linux/prctl.h: the signal that comes when the parent, the worker, dies."""


def _end_with_the_worker() -> None:
    """Ask the kernel for SIGTERM when the worker dies: nothing trains that nobody watches."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.environ.get(WORKER_VARIABLE, str(os.getppid())) != str(os.getppid()):
            signal.raise_signal(signal.SIGTERM)  # it died before the kernel was asked


def _log(text: str) -> None:
    """Write a line where the worker keeps the log."""
    sys.stderr.write(f"{text}\n")


def main(path: Path) -> int:
    """Train, and return the exit code."""
    run = RunFolder(path)
    recording = Recording(run)
    try:
        sys.path += map(str, run.code_paths())  # where the user's own embedders are
        experiment = Experiment.from_data(run.config())
        training = EmbedderTraining(experiment, run, recording)

        def request_stop(_number: int, _frame: FrameType | None) -> None:
            training.stop_requested = True

        signal.signal(signal.SIGTERM, request_stop)
        signal.signal(
            signal.SIGINT, signal.SIG_IGN
        )  # a Ctrl-C in the worker's terminal is the worker's
        _end_with_the_worker()
        _log(f"training {experiment.name} in process {os.getpid()}")
        training.execute()
    except StopRequested:
        return STOPPED_EXIT_CODE
    except RlmasterError as error:
        _log(str(error))
        return 1
    finally:
        recording.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
