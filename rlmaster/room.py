"""How much room a run needs, as its experiment tells, and whether a computer has it.

Asked when a run is launched, of what a host has said, and by the run, before hours are spent on it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from rlmaster import embedder_choices
from rlmaster.errors import TrainingError
from rlmaster.experiment_data import plays

Storage = Literal["auto", "device", "memory", "disk"]
"""`auto` takes the first of the others that has room."""
Place = Literal["device", "memory", "disk"]

GIB = 2**30
FRAME_SHAPE = (84, 84)
"""Height and width of the frames that embedders look at, in pixels."""
FRAME_BYTES = FRAME_SHAPE[0] * FRAME_SHAPE[1]
USABLE_SHARES: dict[Place, float] = {"device": 0.6, "memory": 0.8, "disk": 0.9}
"""How much of what is free the frames may take; networks and other programs need the rest."""
FROZEN_WEIGHT_BYTES = 4
"""A weight, or a number of a latent, float32."""
TRAINED_WEIGHT_BYTES = 12 * FROZEN_WEIGHT_BYTES
"""A weight, its gradient, the two moments that Adam keeps of it, and what two checkpoints hold of
all but the gradient while they wait to be written; 51 were measured."""


@dataclass(frozen=True)
class FreeRoom:
    """What is free, in bytes; None where nobody says, which never stands in the way."""

    device: int | None
    memory: int | None
    disk: int | None
    """Of the file system of the run's folder; 0 without a folder."""


def choose_storage(wanted: Storage, needed_bytes: int, free: FreeRoom) -> Place:
    """Return where the frames go: where it is wanted, or the fastest place with room.

    Args:
        wanted: The setting.
        needed_bytes: Size of all frames, and of what else is kept of each.
        free: What there is.

    Raises:
        TrainingError: If there is not enough room, with what is needed and what is free.
    """
    places: tuple[Place, ...] = ("device", "memory", "disk") if wanted == "auto" else (wanted,)
    usable: list[str] = []
    for place in places:
        room = getattr(free, place)
        if room is None or needed_bytes <= USABLE_SHARES[place] * room:
            return place
        if place != "device" or room != free.memory or wanted == "device":  # else it is the same
            where = "in memory" if place == "memory" else f"on the {place}"
            usable.append(f"{USABLE_SHARES[place] * room / GIB:,.1f} GiB {where}")
    raise TrainingError(
        f"the frames need {needed_bytes / GIB:,.1f} GiB, and they may take {', '.join(usable)}; "
        "keep fewer steps (agent.replay_steps, frames.steps) or free some space"
    )


@dataclass(frozen=True)
class Room:
    """What a run needs at the least, in bytes."""

    frames: int = 0
    """All frames that it keeps."""
    storage: Storage = "auto"
    """Where they shall live."""
    networks: int = 0
    """What it keeps of its embedder's weights in memory, while it learns."""

    @classmethod
    def of(cls, experiment: Mapping[str, Any]) -> "Room":
        """Return what an experiment's JSON data tells; of a user's own classes that is little."""
        frames = _number(experiment.get("frames"), "steps") * FRAME_BYTES
        if plays(experiment):
            frames = _replay_bytes(experiment)
        storage = experiment.get("frame_storage", "auto")
        return cls(frames, cast("Storage", storage), _network_bytes(experiment))

    def lacking(self, free: FreeRoom) -> str:
        """Return in a sentence what a computer with so much room lacks, or nothing."""
        try:
            choose_storage(self.storage, self.frames, free)
        except TrainingError as error:
            return str(error)
        if free.memory is None or self.networks <= free.memory:
            return ""
        return (
            f"the latent's weights need {self.networks / GIB:,.1f} GiB of memory, and "
            f"{free.memory / GIB:,.1f} GiB are there; ask for a smaller latent or fewer channels "
            "(embedder.latent_dim, embedder.channels)"
        )


def frames_of_replay(steps: int) -> int:
    """Return for how many frames a replay of some steps has room, since not all lead to a step."""
    return steps * 17 // 16


def _replay_bytes(experiment: Mapping[str, Any]) -> int:
    """Return what an agent's replay needs: frames, and the latents of what nothing changes."""
    played = _number(experiment.get("agent_training"), "steps")
    steps = min(_number(experiment.get("agent"), "replay_steps"), played)
    is_frozen = cast("dict[str, Any]", experiment.get("encoder") or {}).get("losses") == "none"
    latent = _number(experiment.get("embedder"), "latent_dim") * FROZEN_WEIGHT_BYTES * is_frozen
    return frames_of_replay(steps) * (FRAME_BYTES + latent)


def _network_bytes(experiment: Mapping[str, Any]) -> int:
    """Return what the layers between feature map and latent need; 0 where nobody can say."""
    data = experiment.get("embedder")
    if not isinstance(data, dict):
        return 0
    module, _, name = str(cast("dict[str, Any]", data).get("type")).partition(":")
    kind = getattr(embedder_choices, name, None) if module == embedder_choices.__name__ else None
    if not (isinstance(kind, type) and issubclass(kind, embedder_choices.ConvolutionalEmbedder)):
        return 0
    embedder = kind.model_construct(**cast("dict[str, Any]", data))  # it has been validated
    if embedder.projection == "none":
        return 0
    layers = 1 + issubclass(kind, embedder_choices.DrawingEmbedder)
    encoder = experiment.get("encoder")
    learns = not plays(experiment) or not isinstance(encoder, dict) or encoder["losses"] != "none"
    each = TRAINED_WEIGHT_BYTES if learns else FROZEN_WEIGHT_BYTES
    return layers * embedder.latent_dim * embedder.feature_map_size * each


def _number(part: object, name: str) -> int:
    value = cast("dict[str, Any]", part).get(name) if isinstance(part, dict) else None
    return value if isinstance(value, int) else 0
