"""A strip of frames to look at: the console's colours above, what the learner sees below.

`python -m rlmaster.atari.strip pong --out pong.png`; `rlmaster frames pong` runs it as a child.

Shapes: H and W pixels of the console's screen, h and w pixels of the learner's frame.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from rlmaster.atari.emulator import Emulator
from rlmaster.atari.environment import AtariEnvironments, environment_seed
from rlmaster.atari.policies import RandomPolicy
from rlmaster.atari.protocols import PROTOCOLS
from rlmaster.errors import RlmasterError, UsageError
from rlmaster.experiment import Atari

SCREEN_SCALE = 2
FRAME_SCALE = 4
MARGIN_PIXELS = 8
LABEL_PIXELS = 30


@dataclass(frozen=True)
class Look:
    """One moment of the game."""

    step: int
    """Agent steps since the start."""
    screen: NDArray[np.uint8]
    """What the console shows, `(H, W, 3)`."""
    frame: NDArray[np.uint8]
    """What the learner sees, `(h, w)` grey."""


def play(atari: Atari, seed: int, steps: int, count: int) -> list[Look]:
    """Play random actions and look at `count` moments, spread evenly over `steps` agent steps."""
    protocol = PROTOCOLS[atari.protocol]
    environment = AtariEnvironments(
        atari.game, protocol, num_environments=1, seed=seed, reseed_after_steps=steps
    )
    policy = RandomPolicy(num_actions=environment.num_actions, seed=seed)
    emulator = Emulator(atari.game, protocol, environment_seed(seed, 0, 0))
    step = environment.reset()
    emulator.reset()
    moments = set(np.linspace(0, steps, count).round().astype(int).tolist())
    looks: list[Look] = []
    for number in range(steps + 1):
        if number in moments:
            looks.append(Look(number, emulator.screen(), step.observation[0, -1]))
        actions = policy.actions(step)
        step = environment.step(actions)
        if step.episode_start[0]:
            emulator.reset()
        else:
            emulator.act(int(actions[0]))
    return looks


def draw(looks: Sequence[Look]) -> Image.Image:
    """Draw moments side by side, each pixel as a whole square, under the number of its step."""
    columns = [_column(look) for look in looks]
    width = sum(column.width + MARGIN_PIXELS for column in columns) + MARGIN_PIXELS
    strip = Image.new("RGB", (width, columns[0].height + MARGIN_PIXELS), "white")
    left = MARGIN_PIXELS
    for column in columns:
        strip.paste(column, (left, 0))
        left += column.width + MARGIN_PIXELS
    return strip


def _column(look: Look) -> Image.Image:
    screen = _enlarged(Image.fromarray(look.screen), SCREEN_SCALE)
    frame = _enlarged(Image.fromarray(look.frame), FRAME_SCALE)
    width = max(screen.width, frame.width)
    height = LABEL_PIXELS + screen.height + MARGIN_PIXELS + frame.height
    column = Image.new("RGB", (width, height), "white")
    label = ImageDraw.Draw(column)
    font = ImageFont.load_default(size=20)
    label.text((width // 2, LABEL_PIXELS // 2), f"step {look.step}", "black", font, anchor="mm")
    column.paste(screen, ((width - screen.width) // 2, LABEL_PIXELS))
    column.paste(frame, ((width - frame.width) // 2, height - frame.height))
    return column


def _enlarged(image: Image.Image, scale: int) -> Image.Image:
    return image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the strip, print its path, and return the exit code."""
    parser = argparse.ArgumentParser(prog="rlmaster frames", description=__doc__)
    parser.add_argument("game", help="Atari game, by any spelling")
    parser.add_argument("--out", type=Path, required=True, help="PNG file to write")
    parser.add_argument("--steps", type=int, default=150, help="agent steps to play")
    parser.add_argument("--count", type=int, default=6, help="moments to show")
    parser.add_argument("--seed", type=int, default=1, help="seed of the game and of the actions")
    parser.add_argument("--protocol", default="machado2018", help=", ".join(PROTOCOLS))
    chosen = parser.parse_args(arguments)
    try:
        if not (1 <= chosen.count <= 50 and chosen.steps >= chosen.count - 1 and chosen.seed >= 0):
            raise UsageError(
                "--count must be 1 to 50, --steps at least one less than --count, --seed 0 or more"
            )
        atari = Atari(game=chosen.game, protocol=chosen.protocol)
        strip = draw(play(atari, chosen.seed, chosen.steps, chosen.count))
        try:
            strip.save(chosen.out, format="PNG")
        except OSError as error:
            raise UsageError(f"cannot write {chosen.out} ({error.strerror or error})") from error
    except RlmasterError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(f"{chosen.out}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
