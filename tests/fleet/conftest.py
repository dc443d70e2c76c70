"""What the tests of runs elsewhere share: hosts of a project with a quick training."""

import pytest
from lab import Lab, LabHost
from launches import make_ready
from project_command import Rlmaster
from quick_training import shorten


@pytest.fixture
def office(lab: Lab, rlmaster: Rlmaster) -> LabHost:
    """A host that the project may use."""
    host = lab.add_host("office")
    make_ready(rlmaster, lab)
    return host


@pytest.fixture
def hosts(lab: Lab, rlmaster: Rlmaster) -> dict[str, LabHost]:
    """Two hosts that the project may use, beside this computer."""
    office, attic = lab.add_hosts("office", "attic")
    make_ready(rlmaster, lab, local=True)
    return {"office": office, "attic": attic}


HASTE = {
    "ssh/link.py": {"IDLE_S": 1, "ASKED_EVERY_S": 1, "ASKED_TIMES": 2},
    "fleet/session.py": {"CONNECT_S": 3.0},
    "fleet/control.py": {"ABANDON_PROBE_S": 2.0},
    "fleet/host_watch.py": {"LONGEST_PAUSE_S": 4.0},
}
"""What takes long until a host that says nothing is given up, or tried again."""


@pytest.fixture
def hasty(rlmaster: Rlmaster) -> None:
    """Let the command give up silent hosts soon; to be asked for behind the hosts."""
    for module, constants in HASTE.items():
        for constant, value in constants.items():
            shorten(rlmaster.project, module, constant, value)
