"""A training that ends when it is told to, so that tests of what surrounds it take no time.

It stands in for `rlmaster.training` in a copy of the package: worker, queue and locks are the real
ones.
"""

import json
import re
import shutil
from pathlib import Path

from waiting import wait_until

from rlmaster.run_folder import RunFolder
from rlmaster.snapshot import PACKAGE

TRAINING = '''
"""Says what it was given, and ends when it is told how."""
import json, os, signal, sys, time
from pathlib import Path

run = Path(sys.argv[1])
signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
starts = run / "starts.txt"
starts.write_text(starts.read_text() + "x" if starts.exists() else "x")
given = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "WORD")}
(run / "part").write_text(json.dumps({**given, "pid": os.getpid(), "worker": os.getppid()}))
(run / "part").replace(run / "said.json")
worker = os.getppid()
while not (run / "go").exists():
    if os.getppid() != worker:
        sys.exit(75)
    time.sleep(0.01)
(run / "said.json").unlink()
sys.exit(int((run / "go").read_text()))
'''


def make_quick(folder: Path) -> Path:
    """Put a copy of the package with that training into a folder, which is returned."""
    package = folder / "rlmaster"
    left_out = shutil.ignore_patterns("__pycache__", "training")
    shutil.copytree(PACKAGE, package, ignore=left_out)
    (package / "training").mkdir()
    (package / "training" / "__init__.py").touch()
    (package / "training" / "__main__.py").write_text(TRAINING)
    return folder


def shorten(folder: Path, module: str, constant: str, value: float) -> None:
    """Let what is waited for take less time in the copy of the package in a folder."""
    file = folder / "rlmaster" / module
    text, count = re.subn(rf"(?m)^{constant} = [\d.]+$", f"{constant} = {value}", file.read_text())
    assert count == 1, f"{module} has no {constant}"
    file.write_text(text)


def words(run: RunFolder) -> dict[str, str | int | None]:
    """Return what a training was given, once it runs."""
    wait_until((run.path / "said.json").exists)
    return json.loads((run.path / "said.json").read_text())


def is_training(run: RunFolder) -> bool:
    """Tell whether it has been started and not been told to end."""
    return (run.path / "said.json").exists()


def times_started(run: RunFolder) -> int:
    """Return how many trainings of a run were ever started."""
    starts = run.path / "starts.txt"
    return len(starts.read_text()) if starts.exists() else 0


def end(run: RunFolder, code: int = 0) -> None:
    """Let a training end."""
    (run.path / "go.part").write_text(str(code))
    (run.path / "go.part").replace(run.path / "go")
