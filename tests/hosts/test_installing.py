"""Environments on real hosts of the lab, by the real pip and uv, of tiny packages."""

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from lab import Lab, LabHost
from tiny_wheels import NEEDED, make_slow_source, make_wheel, make_wheels
from waiting import wait_until

from rlmaster.errors import HostError
from rlmaster.hosts import installing
from rlmaster.hosts.environment import Pins
from rlmaster.hosts.installing import Environment, check_environment, make_environment
from rlmaster.hosts.inventory import Host
from rlmaster.hosts.remote import RemoteHost

pytestmark = pytest.mark.system

PINS = Pins(NEEDED)
UV = Path(sys.executable).parent / "uv"
PROGRAMS = "/srv/shared/bin"
PATH = f"{PROGRAMS}:/usr/local/bin:/usr/bin:/bin"
ENVIRONMENTS = "rlmaster-workspace/environments"


def quiet(_text: str) -> None:
    """Tell nobody."""


@pytest.fixture
def pip_office(lab: Lab) -> LabHost:
    """A host that finds tiny packages in a folder, and has pip."""
    host = lab.add_host("office")
    make_wheels(lab.shared / "wheels", NEEDED)
    (lab.shared / "bin").mkdir()
    found = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/srv/shared/wheels"}
    host.set_environment({**found, "PIP_CONFIG_FILE": "/dev/null", "PATH": PATH})
    return host


@pytest.fixture
def office(lab: Lab, pip_office: LabHost) -> LabHost:
    """The same with uv, which is ten times as fast; without it, everything holds for pip too."""
    if UV.exists():
        shutil.copy(UV, lab.shared / "bin")
        settings = pip_office.home / ".config" / "uv" / "uv.toml"
        settings.parent.mkdir(parents=True)
        settings.write_text('no-index = true\nfind-links = ["/srv/shared/wheels"]\n')
    return pip_office


@pytest.fixture
def remote(pip_office: LabHost) -> Iterator[RemoteHost]:
    with RemoteHost.connect(Host("office", "ssh")) as connected:
        yield connected


def again(host: Host | None = None) -> RemoteHost:
    """Connect anew, with what has been changed about the host's environment."""
    return RemoteHost.connect(host or Host("office", "ssh"))


def folders(office: LabHost) -> list[str]:
    """Return what lies beside an environment: nothing but its own folder and lock."""
    names = (path.name for path in (office.home / ENVIRONMENTS).iterdir())
    return sorted(name.split(".")[0] or name[:17] for name in names if not name.endswith(".lock"))


def sentence(caught: pytest.ExceptionInfo[HostError]) -> str:
    text = str(caught.value)
    assert "\n" not in text
    return text


def assert_whole(office: LabHost, made: Environment) -> None:
    """Check that the environment works, and that nothing else is there."""
    assert made.is_fit
    assert made.executable.endswith(f"{ENVIRONMENTS}/{PINS.digest}/bin/python")
    office.execute([made.executable, "-c", "import torch, ale_py"])
    assert folders(office) == [f".{PINS.digest}", PINS.digest]


def test_pip_makes_it_once(remote, pip_office):
    said: list[str] = []

    made = make_environment(remote, PINS, said.append)

    assert made.made
    assert_whole(pip_office, made)
    assert (made.torch, made.lacking, made.differing) == ("1.0", (), ())
    assert any("torch-1.0" in text for text in said)  # what pip does is passed on
    assert not any("pins.txt" in text for text in said)

    said.clear()
    assert not make_environment(remote, PINS, said.append).made
    assert not any("pip" in text for text in said)


@pytest.mark.skipif(not UV.exists(), reason="uv is not installed beside Python")
def test_uv_makes_it_where_it_is(remote, office):
    said: list[str] = []

    made = make_environment(remote, PINS, said.append)

    assert_whole(office, made)
    assert f"{PROGRAMS}/uv" in said[0]
    assert office.execute([made.executable, "-m", "pip", "--version"], check=False).returncode


def test_two_at_once_make_one(remote, office):
    with again() as other, ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda r: make_environment(r, PINS, quiet), (remote, other)))

    assert sorted(environment.made for environment in both) == [False, True]
    assert_whole(office, both[0])


@pytest.mark.parametrize("moment", [1, 2, 4, "trying what"])
def test_one_that_is_killed_is_made_anew(remote, office, moment):
    said: list[str] = []

    def kill_at(text: str) -> None:
        said.append(text)
        if len(said) == moment or text.startswith(str(moment)):
            for pid in office.processes("sys.stdin.buffer"):  # the program that was sent
                os.kill(pid, signal.SIGKILL)

    with pytest.raises(HostError):
        make_environment(remote, PINS, kill_at)

    assert not (office.home / ENVIRONMENTS / PINS.digest).is_symlink()
    wait_until(lambda: not office.processes("environments"))  # what it had started ends too
    assert_whole(office, make_environment(remote, PINS, quiet))


@pytest.mark.parametrize("moment", [1, 2, 4])
def test_whoever_loses_patience_leaves_nothing_there(remote, office, moment):
    said: list[str] = []

    def interrupt_at(text: str) -> None:
        said.append(text)
        if len(said) == moment:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_environment(remote, PINS, interrupt_at)

    wait_until(lambda: not office.processes("python") and folders(office) == [])


@pytest.fixture
def slow(lab: Lab) -> Pins:
    """What is needed, and a package that is built for ten minutes, by a process of its own."""
    make_slow_source(lab.shared / "wheels", "slow", "1.0", begun="/root/begun")
    return Pins((*NEEDED, "slow==1.0"))


def test_whatever_is_being_built_ends_with_whoever_asked(pip_office, slow):
    with ThreadPoolExecutor(1) as pool, again() as remote:
        making = pool.submit(make_environment, remote, slow, quiet)
        wait_until((pip_office.home / "begun").exists)
        builders = pip_office.processes("python")
        remote.connection.close()
        with pytest.raises(HostError):
            making.result()

    assert len(builders) >= 3  # what was sent, pip, what pip has started
    wait_until(lambda: not pip_office.processes("python"))


def test_a_pip_whose_parent_is_killed_ends_too(pip_office, slow):
    with ThreadPoolExecutor(1) as pool, again() as remote:
        making = pool.submit(make_environment, remote, slow, quiet)
        wait_until((pip_office.home / "begun").exists)
        [pip] = pip_office.processes("-m pip install")
        # A wheel of torch is unpacked on the way, which would fill many a /tmp.
        assert b"TMPDIR=/root/rlmaster-workspace/" in Path(f"/proc/{pip}/environ").read_bytes()
        [sent] = pip_office.processes("sys.stdin.buffer")
        os.kill(sent, signal.SIGKILL)
        with pytest.raises(HostError):
            making.result()

    wait_until(lambda: not pip_office.processes("-m pip install"))


def test_an_environment_whose_python_is_gone_is_made_anew(remote, office):
    made = make_environment(remote, PINS, quiet)
    for link in (office.home / ENVIRONMENTS / PINS.digest / "bin").glob("python*"):
        link.unlink()

    made = make_environment(remote, PINS, quiet)

    assert made.made
    assert_whole(office, made)


def test_a_home_that_hosts_share_has_one_environment(lab):
    make_wheels(lab.shared / "wheels", NEEDED)
    found = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/srv/shared/wheels"}
    names = ("one", "other")
    for host in lab.add_hosts(*names, shared_home=True):
        host.set_environment({**found, "PIP_CONFIG_FILE": "/dev/null"})
    with again(Host("one", "ssh")) as one, again(Host("other", "ssh")) as other:
        assert make_environment(one, PINS, quiet).made

        assert not make_environment(other, PINS, quiet).made

        # As on a computer that lacks the Python of the other.
        (lab.hosts["one"].home / ENVIRONMENTS / PINS.digest / "bin" / "python").unlink()
        with pytest.raises(HostError) as caught:
            make_environment(other, PINS, quiet)
        assert "was made on one, with a Python that other does not have" in sentence(caught)
        assert make_environment(one, PINS, quiet).made


def test_without_internet_an_existing_python_may_be_given(pip_office):
    pip_office.set_environment({"PIP_NO_INDEX": "0", "PIP_FIND_LINKS": "", "PIP_RETRIES": "1"})

    with again() as remote, pytest.raises(HostError) as caught:
        make_environment(remote, PINS, quiet)

    why = "Temporary failure in name resolution"
    assert sentence(caught).startswith(f"office reaches no package index ({why});")
    assert 'python = "/path/to/python" for office in hosts.toml' in sentence(caught)
    assert folders(pip_office) == []


@pytest.mark.skipif(not UV.exists(), reason="uv is not installed beside Python")
def test_uv_without_internet_is_told_alike(office):
    (office.home / ".config" / "uv" / "uv.toml").unlink()
    office.set_environment({"UV_HTTP_RETRIES": "0"})

    with again() as remote, pytest.raises(HostError) as caught:
        make_environment(remote, PINS, quiet)

    assert sentence(caught).startswith("office reaches no package index (")


def test_a_package_that_the_index_does_not_have_is_named(remote, pip_office):
    with pytest.raises(HostError) as caught:
        make_environment(remote, Pins((*NEEDED, "torch-vision==1.0")), quiet)

    assert "No matching distribution found for torch-vision==1.0" in sentence(caught)
    assert folders(pip_office) == []


def test_a_package_that_does_not_work_there_is_named(remote, office, lab):
    make_wheel(lab.shared / "wheels", "torch", "1.0", "raise OSError('libgomp.so.1: not found')")

    with pytest.raises(HostError) as caught:
        make_environment(remote, PINS, quiet)

    assert "torch does not work (OSError: libgomp.so.1: not found)" in sentence(caught)
    assert folders(office) == []


GPUS = """\
class version:
    cuda = "12.8"
class cuda:
    is_available = staticmethod(lambda: True)
    device_count = staticmethod(lambda: 2)
    get_device_name = staticmethod(lambda index: f"H{index}00")
class ones:
    def __init__(self, *_, device): pass
    sum = item = lambda self: self
"""
NO_KERNEL = GPUS.replace("pass", "raise RuntimeError('no kernel image is available')")
OLD_DRIVER = """\
import warnings
class version:
    cuda = "12.8"
class cuda:
    is_available = staticmethod(lambda: warnings.warn("the driver is too old") or False)
"""


@pytest.mark.parametrize(
    ("torch", "said"),
    [
        (GPUS, "torch computes on H000, H100"),
        (NO_KERNEL, "and not on a GPU: RuntimeError: no kernel image is available"),
        (OLD_DRIVER, "and not on a GPU: the driver is too old"),
    ],
)
def test_what_torch_computes_on_is_told(office, remote, lab, torch, said):
    make_wheel(lab.shared / "wheels", "torch", "1.0", torch)

    found = make_environment(remote, PINS, quiet)

    assert found.is_fit
    assert found.cuda_sentence.endswith(said)


def test_pythons_that_are_too_old_are_named(remote, pip_office, monkeypatch):
    monkeypatch.setattr(installing, "OLDEST_PYTHON", (3, 99))
    version = pip_office.execute(
        ["python3", "-c", "import sys; print(sys.version.split()[0])"]
    ).stdout

    with pytest.raises(HostError) as caught:
        make_environment(remote, PINS, quiet)

    assert sentence(caught).startswith("office has no Python 3.99 or newer (")
    assert f"{version.strip()} at /" in sentence(caught)
    assert "install one or uv there" in sentence(caught)


def test_a_python_without_what_makes_environments_is_named(pip_office):
    office = pip_office
    where = "import ensurepip; print(ensurepip.__path__[0])"
    place = office.execute(["/usr/bin/python3", "-c", where], check=False).stdout.strip()
    if place:
        office.small_disk(place, 1)  # an empty one

    with again() as remote, pytest.raises(HostError) as caught:
        make_environment(remote, PINS, quiet)

    assert "without the modules that make environments" in sentence(caught)
    assert "apt install python3-venv" in sentence(caught)


def test_a_full_disk_is_named_and_left_as_it_was(pip_office):
    office = pip_office
    office.small_disk("/data", 8)

    with (
        again(Host("office", "ssh", workspace="/data/w")) as remote,
        pytest.raises(HostError) as caught,
    ):
        make_environment(remote, PINS, quiet)

    assert sentence(caught).startswith("the disk of /data/w on office is full (")
    assert "make room there, or choose another folder" in sentence(caught)
    left = office.inside("/data/w/environments").iterdir()
    assert [path.name for path in left] == [f".{PINS.digest}.lock"]


def test_a_disk_that_takes_nothing_is_named(office):
    office.small_disk("/data", 1)
    office.make_read_only("/data")

    with (
        again(Host("office", "ssh", workspace="/data/w")) as remote,
        pytest.raises(HostError) as caught,
    ):
        make_environment(remote, PINS, quiet)

    assert "Read-only file system" in sentence(caught)
    assert "/data/w" in sentence(caught)


def test_an_existing_python_is_looked_at(remote, lab):
    found = check_environment(remote, lab.python, Pins.here(lab.folder), quiet)

    assert found.is_fit
    assert found.differing == found.lacking == ()
    assert not found.made


def test_what_differs_and_what_is_missing_is_told(remote, lab):
    pins = Pins(("numpy==1.0", "not-here==1.0", "nor-here>=2", *Pins.here(lab.folder).lines))
    pins = Pins(tuple(line for line in pins.lines if line.startswith(("numpy==1.0", "no"))))

    found = check_environment(remote, lab.python, pins, quiet)

    assert found.is_fit  # all the same
    assert found.lacking == ("nor-here", "not-here")
    assert [text.split()[0] for text in found.differing] == ["numpy"]
    assert found.differing[0].endswith("(1.0)")


def test_a_python_that_has_nothing_is_not_fit(remote):
    found = check_environment(remote, "/usr/bin/python3", PINS, quiet)

    assert not found.is_fit
    assert found.failures["torch"] == "ModuleNotFoundError: No module named 'torch'"


@pytest.mark.parametrize(
    ("python", "problem"),
    [
        ("/no/such/python", "office has no Python /no/such/python"),
        ("~/python", "office has no Python ~/python"),
        ("/bin/cat", "/bin/cat on office does not start, hangs, or is no Python"),
    ],
)
def test_a_python_that_is_none_is_named(remote, python, problem):
    with pytest.raises(HostError) as caught:
        check_environment(remote, python, PINS, quiet)

    assert sentence(caught).startswith(problem)


@pytest.mark.parametrize(
    "words",
    [
        "cat; echo garbage",
        "head -c 100000000 /dev/zero",
        'echo \'{"say": "\\u001b[2J"}\'; echo \'{"result": {"failed": "\\u001b[2J"}}\'',
        'echo \'{"result": {"executable": 3}}\'',
        'echo \'{"result": {"executable": "a", "made": true, "python": "3", "versions": {},\'',
        "true",
    ],
)
def test_a_host_that_answers_anything_is_told_in_a_sentence(pip_office, lab, words):
    program = lab.shared / "bin" / "python3"
    program.write_text(f"#!/bin/sh\n{words}\n")
    program.chmod(0o755)
    said: list[str] = []

    with again() as remote, pytest.raises(HostError) as caught:
        make_environment(remote, PINS, said.append)

    assert sentence(caught).isprintable()
    assert len(sentence(caught)) < 1000
    assert all(text.isprintable() for text in said)
