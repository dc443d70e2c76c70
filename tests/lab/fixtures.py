"""The fixture `lab`, for the tests of every folder."""

from collections.abc import Iterator

import pytest

from lab import Lab, new_lab
from lab.host import NEEDED
from lab.namespace_lab import namespaces_can_be_made


@pytest.fixture
def lab(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """A lab without hosts, which this process reaches by name, and the command `rlmaster` too."""
    with new_lab() as new:
        for name, text in new.environment.items():
            monkeypatch.setenv(name, text)
        if "rlmaster" in request.fixturenames:
            request.getfixturevalue("rlmaster").environment.update(new.environment)
        yield new


@pytest.fixture
def namespaces() -> None:
    """Skip the test where a host of the lab would be this computer itself, with its identity."""
    if not namespaces_can_be_made():
        pytest.skip(NEEDED)
