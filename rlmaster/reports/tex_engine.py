"""Compiling LaTeX with whatever engine the computer has, without ever waiting for it for long."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

DEADLINE_S = 60.0
PACKAGES = "latexmk texlive-latex-recommended lmodern"
"""What to install with apt for a report; the second brings pdflatex."""
OPTIONS = ("-no-shell-escape", "-interaction=nonstopmode", "-halt-on-error", "-file-line-error")
FIRST_ERROR = re.compile(r"^(?:\./)?[^\s:]+\.(?:tex|sty|cls):\d+: .*|^! .*", re.MULTILINE)


@dataclass(frozen=True)
class Compilation:
    """What became of a LaTeX file."""

    pdf: Path | None
    note: str = ""
    """Why there is no PDF, in one sentence."""


def compile_tex(tex: Path, companions: Sequence[Path] = ()) -> Compilation:
    """Compile a LaTeX file; the PDF appears beside it whole, and after a failure the log does.

    The engine works in a fresh folder beside the file's own: relative paths hold there as they do
    beside the file, and nothing that lies there already can pose as a package.

    Args:
        tex: The file to compile.
        companions: Files that lie beside it and that it includes by their name.
    """
    commands = _commands(tex.name)
    if not commands:
        note = f"no report.pdf, because there is no LaTeX here: apt install {PACKAGES}"
        return Compilation(None, note)
    log = tex.with_suffix(".log")
    with tempfile.TemporaryDirectory(prefix=".report-", dir=tex.parent.parent) as name:
        work = Path(name)
        for file in (tex, *companions):
            shutil.copyfile(file, work / file.name)
        failure = _run_all(commands, work)
        made = work / f"{tex.stem}.pdf"
        if failure is None and made.is_file():
            log.unlink(missing_ok=True)
            return Compilation(made.replace(tex.with_suffix(".pdf")))
        with contextlib.suppress(FileNotFoundError):
            (work / log.name).replace(log)
    return Compilation(None, f"no report.pdf: {failure or _first_error(log)}; see {log}")


def _commands(file_name: str) -> list[list[str]]:
    """Return what to run in turn, with the best engine there is."""
    if not shutil.which("pdflatex"):
        return []
    if shutil.which("latexmk"):
        return [["latexmk", "-norc", "-pdf", *OPTIONS, file_name]]
    return [["pdflatex", *OPTIONS, file_name]] * 2


def _run_all(commands: list[list[str]], work: Path) -> str | None:
    """Run commands within one deadline; return what went wrong where TeX's log does not say it."""
    deadline = time.monotonic() + DEADLINE_S
    unfolded = {"max_print_line": "1000"}  # or TeX folds its errors at column 79
    for command in commands:
        process = subprocess.Popen(
            command,
            cwd=work,
            env=os.environ | unfolded,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            process.wait(timeout=max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return f"LaTeX took longer than {DEADLINE_S:.0f} s"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # latexmk's own children too
                process.wait()
        if process.returncode != 0:
            return None
    return None


def _first_error(log: Path) -> str:
    try:
        found = FIRST_ERROR.search(log.read_text(errors="replace"))
    except FileNotFoundError:
        found = None
    if not found:
        return "LaTeX failed without a word"
    remedy = f" (apt install {PACKAGES})" if "not found" in found[0] else ""
    return found[0].strip().rstrip(".") + remedy
