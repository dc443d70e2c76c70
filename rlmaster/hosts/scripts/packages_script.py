"""Say in one JSON object which packages an interpreter has, and whether they work.

Run by the interpreter itself, as `python -c PROGRAM NAMES MODULES`, both JSON lists: names of
packages whose versions are wanted, and modules to import. The last line of stdout is the answer,
since a module may print something when it is imported.
"""

from __future__ import annotations

import importlib
import json
import platform
import sys
import warnings
from importlib import metadata
from typing import Any


def versions(names: list[str]) -> dict[str, str]:
    """Return the version of each package, nothing where there is none."""
    found: dict[str, str] = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = ""
    return found


def failures(modules: list[str]) -> dict[str, str]:
    """Return why modules cannot be imported, for those that cannot."""
    found: dict[str, str] = {}
    for name in modules:
        try:
            importlib.import_module(name)
        except BaseException as error:  # a library that ends the process is as good as none
            found[name] = f"{type(error).__name__}: {error}"
    return found


def cuda() -> dict[str, Any]:
    """Compute something on a GPU, if torch finds one; a driver that is too old shows only then."""
    answer: dict[str, Any] = {"built": False, "devices": [], "problem": ""}
    if "torch" not in sys.modules:
        return answer
    torch: Any = sys.modules["torch"]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            answer["built"] = torch.version.cuda is not None
            if torch.cuda.is_available():
                torch.ones(8, device="cuda").sum().item()
                count = torch.cuda.device_count()
                answer["devices"] = [torch.cuda.get_device_name(i) for i in range(count)]
        except Exception as error:
            answer["problem"] = f"{type(error).__name__}: {error}"
    if caught and not answer["devices"]:
        answer["problem"] = answer["problem"] or str(caught[-1].message)
    return answer


def main(names: list[str], modules: list[str]) -> None:
    """Print the object."""
    answer = {
        "python": platform.python_version(),
        "versions": versions(names),
        "failed": failures(modules),
        "cuda": cuda(),
    }
    sys.stdout.write("\n" + json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), json.loads(sys.argv[2]))
