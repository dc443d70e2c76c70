"""`python -m rlmaster.training RUN_FOLDER`: train what the run folder says, and keep it there.

It goes on from what is there already. Exit code 0 when it is done, 75 when it was asked to stop and
kept its work, 1 when it failed.
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
from rlmaster.launched_experiment import require_as_launched
from rlmaster.run_folder import WORKER_VARIABLE, RunFolder
from rlmaster.run_status import STOPPED_EXIT_CODE
from rlmaster.training.agent_training import AgentTraining
from rlmaster.training.embedder_training import EmbedderTraining
from rlmaster.training.process import prepare_process
from rlmaster.training.recording import Recording
from rlmaster.training.stopping import StopRequested

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
    """Train, and return the exit code; a stop whose work could not be kept is a failure."""
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
                _log(_told(error, run))
            exit_code, told = 1, error
    return exit_code


def _train(run: RunFolder, recording: Recording) -> None:
    require_as_launched(run)
    sys.path += map(str, run.code_paths())  # where the user's own embedders are
    prepare_process()
    experiment = Experiment.from_data(run.config())
    kind = EmbedderTraining if experiment.agent is None else AgentTraining
    training = kind(experiment, run, recording)

    def request_stop(_number: int, _frame: FrameType | None) -> None:
        training.stop.request()

    signal.signal(signal.SIGTERM, request_stop)
    # A Ctrl-C in the worker's terminal is the worker's.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with_the_worker()
    _log(f"training {experiment.name} in process {os.getpid()}")
    training.execute()


def _told(error: Exception, run: RunFolder) -> str:
    """Return the sentence of an error that can be understood without its traceback."""
    if _says_that_the_disk_is_full(error) or _says_that_the_disk_is_full(error.__cause__):
        return (
            "the disk is full, so nothing more could be kept; free some space and "
            f"`rlmaster resume {run.short_id}`"
        )
    if isinstance(error, RlmasterError | OSError):
        return str(error) or repr(error)
    return "".join(traceback.format_exception(error)).rstrip()


def _says_that_the_disk_is_full(error: BaseException | None) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
