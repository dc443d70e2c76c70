"""`python -m rlmaster.training RUN_FOLDER`: train what the run folder says, and keep it there.

Exit code 0 when it is done, 75 when it was asked to stop and kept its work, 1 when it failed.
"""

import ctypes
import errno
import os
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType

from rlmaster.errors import RlmasterError
from rlmaster.experiment import Experiment
from rlmaster.run_folder import WORKER_VARIABLE, RunFolder
from rlmaster.run_status import STOPPED_EXIT_CODE
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
    exit_code, told = 0, None
    for work in (lambda: _train(run, recording), recording.close):
        try:
            work()
        except StopRequested:
            exit_code = STOPPED_EXIT_CODE
        except Exception as error:  # whatever it is, the recording must still be closed
            if error is not told:
                _log(_told(error))
            exit_code, told = exit_code or 1, error
    return exit_code


def _train(run: RunFolder, recording: Recording) -> None:
    sys.path += map(str, run.code_paths())  # where the user's own embedders are
    experiment = Experiment.from_data(run.config())
    training = EmbedderTraining(experiment, run, recording)

    def request_stop(_number: int, _frame: FrameType | None) -> None:
        training.stop_requested = True

    signal.signal(signal.SIGTERM, request_stop)
    # A Ctrl-C in the worker's terminal is the worker's.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with_the_worker()
    _log(f"training {experiment.name} in process {os.getpid()}")
    training.execute()


def _told(error: Exception) -> str:
    """Return the sentence of an error that can be understood without its traceback."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "the disk is full, so nothing more could be kept; free some space and launch again"
    if isinstance(error, RlmasterError | OSError):
        return str(error) or repr(error)
    return "".join(traceback.format_exception(error)).rstrip()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
