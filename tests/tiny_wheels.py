"""Packages of a few bytes that pip installs like any other, with the names that runs need."""

import io
import re
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from rlmaster.hosts.installing import NEEDED_MODULES

TORCH = """\
class version:
    cuda = None
class cuda:
    @staticmethod
    def is_available():
        return False
"""
"""What is asked of torch when an environment is looked at."""


def make_wheels(folder: Path, lines: Iterable[str]) -> None:
    """Make a wheel for each `name==version`, with the module of that name."""
    folder.mkdir(exist_ok=True)
    for line in lines:
        name, _, version = line.partition("==")
        module = re.sub(r"\W", "_", name)
        make_wheel(folder, module, version, TORCH if module == "torch" else "")


def make_wheel(folder: Path, module: str, version: str, source: str) -> None:
    """Make one wheel, of one module."""
    about = f"{module}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{module}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{module}/__init__.py", source)
        wheel.writestr(
            f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {module}\nVersion: {version}\n"
        )
        wheel.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{about}/RECORD", "")


def make_slow_source(folder: Path, name: str, version: str, begun: str) -> None:
    """Make a package that must be built, which makes a file and then takes ten minutes."""
    project = f'[project]\nname = "{name}"\nversion = "{version}"\n'
    build = '[build-system]\nrequires = []\nbuild-backend = "slow_backend"\nbackend-path = ["."]\n'
    backend = f"import time\nopen({begun!r}, 'w').close()\ntime.sleep(600)\n"
    files = {"pyproject.toml": project + build, "slow_backend.py": backend, "PKG-INFO": ""}
    with tarfile.open(folder / f"{name}-{version}.tar.gz", "w:gz") as source:
        for file, content in files.items():
            entry = tarfile.TarInfo(f"{name}-{version}/{file}")
            entry.size = len(content)
            source.addfile(entry, io.BytesIO(content.encode()))


NEEDED = tuple(f"{name.replace('_', '-')}==1.0" for name in NEEDED_MODULES)
"""The packages without which no run can train."""
