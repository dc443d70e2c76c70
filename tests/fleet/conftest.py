"""What the tests of runs elsewhere share: hosts of a project with a quick training."""

import pytest
from lab import Lab, LabHost
from launches import make_ready
from project_command import Rlmaster


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
