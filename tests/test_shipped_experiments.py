"""The project's own experiment scripts describe themselves, and there is one for each embedder."""

from pathlib import Path

import pytest

from rlmaster import embedder_choices
from rlmaster.embedder_choices import DrawingEmbedder
from rlmaster.experiment_script import describe_script

SCRIPTS = sorted((Path(__file__).resolve().parents[1] / "experiments").glob("pong_*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_describes_itself(script: Path) -> None:
    found = describe_script(script)
    assert found.experiment["name"] == script.stem.replace("_", "-")
    assert found.title.startswith("Pong: ")
    assert found.title.endswith("?")


def test_every_embedder_has_a_script() -> None:
    shown = {describe_script(script).experiment["embedder"]["type"] for script in SCRIPTS}
    offered = {
        f"{embedder_choices.__name__}:{name}"
        for name, part in vars(embedder_choices).items()
        if isinstance(part, type) and issubclass(part, DrawingEmbedder) and "builds" in vars(part)
    }
    assert len(offered) == 5
    assert offered <= shown
