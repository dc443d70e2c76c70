"""Checkpoints as training leaves them, of no networks in particular."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from made_runs import make_run, set_state

from rlmaster.embedder_choices import Autoencoder, Embedder
from rlmaster.run_folder import RunFolder
from rlmaster.run_status import State


def keep_checkpoint(run: RunFolder, name: str = "update-000000100") -> Path:
    """Let a run have kept a checkpoint, which is named after its step."""
    folder = run.checkpoints / name
    folder.mkdir(parents=True)
    sums: dict[str, str] = {}
    for file in ("networks.safetensors", "state.pt"):
        content = os.urandom(1_000)
        (folder / file).write_bytes(content)
        sums[file] = hashlib.sha256(content).hexdigest()
    manifest = {"step": int(name.partition("-")[2]), "sha256": sums}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def make_trained_run(runs: Path, embedder: Embedder | None = None, **config: Any) -> RunFolder:
    """Make a run of an embedder of Pong that has completed after 100 updates on 1000 steps."""
    data = (embedder or Autoencoder(latent_dim=64)).to_data()
    run = make_run(runs, "trained", config={"embedder": data, **config})
    keep_checkpoint(run)
    set_state(run, State.COMPLETED)
    return run
