"""The Python environment of a host: made there once for a set of packages, or looked at.

The work is done by `scripts/environment_script.py` there; here its words are passed on, and what
went wrong becomes a sentence that says what to do.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, ValidationError

from rlmaster.durable_files import JsonObject
from rlmaster.errors import HostError
from rlmaster.hosts.environment import OLDEST_PYTHON, PREFERRED_PYTHON, Pins
from rlmaster.hosts.remote import SCRIPTS, RemoteHost, parse_answer, wrong_answer
from rlmaster.ssh.process import Process

NEEDED_MODULES = (
    "torch",
    "numpy",
    "ale_py",
    "gymnasium",
    "safetensors",
    "tensorboard",
    "pydantic",
    "typer",
    "rich",
    "packaging",
)
"""Without one of these no run can train, or no command run there; others cost only a part."""
CHECK_S = 300.0
"""The first import of torch from a network file system may take minutes."""
SILENCE_S = CHECK_S + 30
"""The program there says something every ten seconds, but while it checks."""
MOST_LINE_BYTES = 256 * 1024
MOST_CHARACTERS = 300
"""Longest text that is taken from an answer."""
LEAST_FREE_BYTES = 16 * 2**20
NO_ROOM = re.compile(r"No space left|Errno 28|os error 28|quota exceeded|os error 122", re.I)
NO_NETWORK = re.compile(
    r"NewConnectionError|ConnectTimeout|ProxyError|Temporary failure in name resolution"
    r"|Name or service not known|Network is unreachable|Connection (refused|timed out)"
    r"|dns error|tcp connect error|client error \(Connect\)|Failed to fetch",
    re.I,
)
CAUSE = re.compile(r"\[Errno -?\d+\] ([^'\")]+)")
"""How the system's own words for what went wrong look in a line of pip."""
NO_VERSION = "(from versions: none)"
AN_ERROR = re.compile(r"\s*(error|fatal)\b(?!.*for help visit)", re.I)

Tell = Callable[[str], None]
"""Tells a person what is being done."""


@dataclass(frozen=True)
class Cuda:
    """Whether torch can compute on GPUs there."""

    built: bool
    """Whether this build of torch knows GPUs at all."""
    devices: tuple[str, ...]
    """The GPUs that it can use, by name."""
    problem: str
    """Why it uses none, in the words of torch; often empty."""


@dataclass(frozen=True)
class Environment:
    """What an interpreter on a host has, and whether it works."""

    executable: str
    made: bool
    """Whether it was made just now."""
    python: str
    """Version of Python."""
    torch: str
    """Version of torch, empty where there is none."""
    cuda: Cuda
    failures: Mapping[str, str]
    """Why needed modules cannot be imported, by name."""
    lacking: tuple[str, ...]
    """Packages that are not there."""
    differing: tuple[str, ...]
    """Packages of another version than here, such as `numpy 2.1.0 (2.4.6)`."""

    @property
    def is_fit(self) -> bool:
        """Whether runs can train with it."""
        return not self.failures and _version(self.python) >= OLDEST_PYTHON

    @property
    def cuda_sentence(self) -> str:
        """What networks are trained on."""
        if self.cuda.devices:
            return f"torch computes on {', '.join(self.cuda.devices)}"
        why = self.cuda.problem or ("it finds none" if self.cuda.built else "this build knows none")
        return f"torch computes on the processor and not on a GPU: {why}"

    def to_data(self) -> JsonObject:
        """Return it as JSON data."""
        return {**asdict(self), "is_fit": self.is_fit}


def make_environment(remote: RemoteHost, pins: Pins, tell: Tell) -> Environment:
    """Make the environment of these packages in the host's workspace, unless it is there.

    It may be cut at any moment: nothing half-made is ever used, and the next one begins anew.

    Raises:
        HostError: If it cannot be made, with what to do.
    """
    task = {
        "do": "make",
        "check_s": CHECK_S,
        "workspace": remote.workspace,
        "name": pins.digest,
        "pins": pins.text,
        "oldest": OLDEST_PYTHON,
        "prefer": PREFERRED_PYTHON,
    }
    return _environment(remote, pins, task, tell)


def check_environment(
    remote: RemoteHost, python: str, pins: Pins, tell: Tell, *, check_s: float = CHECK_S
) -> Environment:
    """Look at an interpreter of a host: what differs, and what does not work.

    Args:
        remote: The host.
        python: Its interpreter: a path, one under `~/`, or a name on PATH.
        pins: What runs need.
        tell: Hears what is being done.
        check_s: How long its imports may take.

    Raises:
        HostError: If there is none, or it does not start.
    """
    return _environment(remote, pins, {"do": "check", "python": python, "check_s": check_s}, tell)


def _environment(remote: RemoteHost, pins: Pins, task: JsonObject, tell: Tell) -> Environment:
    wanted = dict(line.split("==") for line in pins.lines if "==" in line)
    others = [re.split(r"[^\w.-]", line)[0] for line in pins.lines if "==" not in line]
    task = {
        **task,
        "names": [*wanted, *others],
        "modules": NEEDED_MODULES,
        "packages_script": (SCRIPTS / "packages_script.py").read_text(encoding="utf-8"),
    }
    name = remote.host.name
    try:
        with remote.start_script("environment_script.py", [json.dumps(task)]) as process:
            answer = _result(process, name, tell)
    except ValidationError as error:
        raise wrong_answer(name) from error
    if isinstance(answer, _Failure):
        raise HostError(_why(name, remote.workspace, answer))
    return _read(answer, wanted)


def _result(process: Process, name: str, tell: Tell) -> "_Answer | _Failure":
    """Pass on what the program says until it has done what it was asked.

    Raises:
        HostError: If it ends before, or falls silent.
    """
    for line in _lines(process, name):
        message = parse_answer(line, name)
        if "result" in message:
            result = message["result"]
            failed = isinstance(result, dict) and "failed" in result
            return (_Failure if failed else _Answer).model_validate(result)
        tell(_cleaned(str(message.get("say", ""))))
    words = process.complaint().decode(errors="replace").strip().splitlines()
    raise HostError(f"{name}: {_cleaned(words[-1]) if words else 'the program there was ended'}")


def _lines(process: Process, name: str) -> Iterator[bytes]:
    """Yield whole lines of a program.

    Raises:
        HostError: If one has no end.
    """
    rest = b""
    while piece := process.read(MOST_LINE_BYTES, timeout_s=SILENCE_S):
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines
        if len(rest) > MOST_LINE_BYTES:
            raise wrong_answer(name)


# -------------------------------------------------------------- what it says, nothing of it trusted


def _cleaned(text: str) -> str:
    """Return text that cannot move a cursor or fill a screen."""
    return "".join(c if c.isprintable() else " " for c in text[:MOST_CHARACTERS])


_Text = Annotated[str, AfterValidator(_cleaned)]
_Texts = Annotated[list[_Text], Field(max_length=1000)]
_TextByName = Annotated[dict[_Text, _Text], Field(max_length=1000)]


class _CudaAnswer(BaseModel):
    """How torch finds the GPUs."""

    built: bool
    devices: _Texts
    problem: _Text


class _Answer(BaseModel):
    """What was made or looked at."""

    executable: _Text
    made: bool
    python: _Text
    versions: _TextByName
    failed_modules: _TextByName
    cuda: _CudaAnswer


class _Failure(BaseModel):
    """Why nothing came of it; which of the facts there are depends on what failed."""

    failed: _Text
    python: _Text = ""
    pythons: Annotated[list[tuple[_Text, list[int], bool]], Field(max_length=1000)] = []
    step: _Text = ""
    lines: _Texts = []
    silent: bool = False
    free_bytes: int = LEAST_FREE_BYTES
    modules: _TextByName = {}
    problem: _Text = ""
    path: _Text = ""
    computer: _Text = ""


def _read(answer: _Answer, wanted: Mapping[str, str]) -> Environment:
    versions = answer.versions
    differing = tuple(
        f"{name} {versions[name]} ({version})"
        for name, version in wanted.items()
        if versions.get(name) and versions[name].partition("+")[0] != version
    )
    return Environment(
        executable=answer.executable,
        made=answer.made,
        python=answer.python,
        torch=versions.get("torch", ""),
        cuda=Cuda(answer.cuda.built, tuple(answer.cuda.devices), answer.cuda.problem),
        failures=answer.failed_modules,
        lacking=tuple(sorted(name for name, version in versions.items() if not version)),
        differing=differing,
    )


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])


# --------------------------------------------------------------------------------- what went wrong


def _why(host: str, workspace: str, failure: _Failure) -> str:
    """Say what went wrong, and what to do."""
    name_one = f'name an existing Python: python = "/path/to/python" for {host} in hosts.toml'
    pythons = ", ".join(f"{'.'.join(map(str, v))} at {path}" for path, v, _ in failure.pythons)
    sentences: dict[str, str] = {
        "python": f"{host} has no Python {'.'.join(map(str, OLDEST_PYTHON))} or newer "
        f"({pythons or 'none at all'}); install one or uv there, or {name_one}",
        "venv": f"{host} has Python {pythons}, but without the modules that make environments; "
        f"run `apt install python3-venv` there, install uv, or {name_one}",
        "imports": f"{host} has all packages, but {_failures(failure.modules)}; install what is "
        f"missing there and run it again, or {name_one}",
        "busy": f"somebody else has been making the same environment on {host} for an hour; "
        "see what is running there, and try again",
        "elsewhere": f"{failure.path} was made on {failure.computer}, with a Python that {host} "
        f"does not have; give {host} a folder of its own: workspace = in hosts.toml, or remove "
        f"that one if {failure.computer} needs it no more",
        "missing": f"{host} has no Python {failure.python}; correct `python` in hosts.toml, or "
        f"remove it there and run `rlmaster hosts setup {host}`",
        "check": f"{failure.python} on {host} does not start, hangs, or is no Python; "
        "try it there, and correct `python` in hosts.toml",
        "file": f"{host}: {failure.path or workspace}: {failure.problem}; make room there, or "
        "choose another folder: workspace = in hosts.toml",
    }
    if failure.failed == "command":
        return _why_it_stopped(host, workspace, failure, name_one)
    return sentences.get(failure.failed) or str(wrong_answer(host))


def _why_it_stopped(host: str, workspace: str, failure: _Failure, name_one: str) -> str:
    said = "\n".join(failure.lines)
    if NO_ROOM.search(said) or failure.free_bytes < LEAST_FREE_BYTES:
        room = f"{failure.free_bytes / 2**20:,.0f} MiB are free"
        return (
            f"the disk of {workspace} on {host} is full ({room}; an environment takes about 6 GB "
            "with CUDA, 2 GB without); make room there, or choose another folder: workspace = in "
            "hosts.toml"
        )
    if unreached := [line for line in failure.lines if NO_NETWORK.search(line)]:
        return f"{host} reaches no package index ({_cause(unreached[-1])}); {name_one}"
    if NO_VERSION in said:
        return (
            f"{host} reaches no package index, or one that has nothing of the kind "
            f"({_last_words(failure)}); correct that there, or {name_one}"
        )
    if failure.silent:
        return f"{failure.step} on {host} fell silent after: {_last_words(failure)}; try again"
    return (
        f"{failure.step} failed on {host}: {_last_words(failure)}; correct that there and run it "
        f"again, or {name_one}"
    )


def _cause(line: str) -> str:
    """Return why a connection failed, in the system's own words where a line has them."""
    found = CAUSE.search(line)
    return found.group(1) if found else line


def _last_words(failure: _Failure) -> str:
    """Return the line that says most: the last that calls itself an error, else the last."""
    errors = [line for line in failure.lines if AN_ERROR.match(line)]
    return (errors or failure.lines or ["it said nothing"])[-1].removeprefix("ERROR: ")


def _failures(modules: Mapping[str, str]) -> str:
    return "; ".join(f"{name} does not work ({why})" for name, why in modules.items())
