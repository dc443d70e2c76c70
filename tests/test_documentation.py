"""What the documents show works as they show it."""

import re
from pathlib import Path

import pytest

from rlmaster.run_folder import list_runs

ROOT = Path(__file__).resolve().parents[1]
TINY = [
    *("--set", "frames.steps=1000"),
    *("--set", "training.updates=20"),
    *("--set", "training.evaluations=3"),
    *("--set", "recording.previews=2"),
    *("--set", "recording.video_episodes=0"),
]
REBUILD = """
import rlmaster, torch
run = rlmaster.load_run("last")
embedder = run.embedder()
assert type(embedder).__name__ == "LinearEmbedder", embedder
assert embedder.embed(torch.zeros(2, 4, 84, 84, dtype=torch.uint8)).shape == (2, 64)
assert run.config["embedder"]["latent_noise"] == 0.2
assert len(run.scalars()["canonical/error"].values) == 4
assert len(run.scalars()["train/latent_size"].values) == 20
"""
TINY_PLAY = [
    *("--set", "agent.warm_up_steps=200"),
    *("--set", "agent.target_period_updates=20"),
    *("--set", "agent_training.steps=400"),
    *("--set", "agent_training.evaluations=3"),
    *("--set", "agent_training.evaluation_episodes=1"),
    *("--set", "recording.video_episodes=0"),
]
REBUILD_AGENT = """
import rlmaster, torch
run = rlmaster.load_run("last")
agent = run.agent()
assert type(agent).__name__ == "SoftValues", agent
assert agent.act(torch.zeros(2, 4, 84, 84, dtype=torch.uint8)).shape == (2,)
assert run.config["agent"]["temperature"] == 0.1
assert not torch.equal(agent.values.weight, agent.target_values.weight)  # which move at 20 and 40
assert len(run.scalars()["evaluation/return"].values) == 4
"""


def code_blocks(document: str) -> dict[str, str]:
    """Return the Python files that a document shows, by the name above each."""
    text = (ROOT / document).read_text()
    return dict(re.findall(r"^`(experiments/\w+\.py)`\n\n```python\n(.*?)```", text, re.M | re.S))


def test_an_embedder_in_the_users_own_files_trains_and_comes_back(rlmaster) -> None:
    files = code_blocks("docs/your_own_embedder.md")
    assert len(files) == 3
    for name, code in files.items():
        (rlmaster.project / name).write_text(code)
    given = ["--rationale", "as documented", "--yes", "--follow", *TINY]
    done = rlmaster("launch", "pong_linear", *given, "--set", "embedder.latent_noise=0.2")
    assert done.returncode == 0, done.stderr
    (run,) = list_runs(rlmaster.project / "runs")
    assert "Linear" in run.report_tex.read_text()
    shown = rlmaster("experiments", "pong_linear", "--json")  # which the app's form is made of
    assert '"embedder.latent_noise"' in shown.stdout
    for name in files:  # it is rebuilt from the snapshot, not from what the project is now
        (rlmaster.project / name).unlink()
    rebuilt = rlmaster.python("-c", REBUILD)
    assert rebuilt.returncode == 0, rebuilt.stderr


def test_an_agent_in_the_users_own_files_learns_and_comes_back(rlmaster) -> None:
    files = code_blocks("docs/your_own_agent.md")
    assert len(files) == 3
    for name, code in files.items():
        (rlmaster.project / name).write_text(code)
    given = ["--rationale", "as documented", "--yes", "--follow", *TINY_PLAY]
    done = rlmaster("launch", "pong_soft", *given, "--set", "agent.temperature=0.1")
    assert done.returncode == 0, done.stderr
    rebuilt = rlmaster.python("-c", REBUILD_AGENT)
    assert rebuilt.returncode == 0, rebuilt.stderr


@pytest.mark.parametrize("document", ["docs/your_own_embedder.md", "docs/your_own_agent.md"])
def test_what_is_shown_is_what_is_in_experiments(document: str) -> None:
    for name, code in code_blocks(document).items():
        assert (ROOT / name).read_text() == code, name


def test_the_readme_shows_the_demos_own_experiment() -> None:
    shown = re.search(r"```python\n(\"\"\"Pong.*?)```", (ROOT / "README.md").read_text(), re.S)
    script = (ROOT / "experiments" / "pong_autoencoder.py").read_text()
    assert shown is not None
    assert shown[1].partition("experiment = ")[2] == script.partition("experiment = ")[2]


def test_links_between_documents_lead_somewhere() -> None:
    for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"
