"""`rlmaster notify`: how people hear of their runs, and whether that works."""

from typing import TYPE_CHECKING

import typer

from rlmaster.cli.arguments import JsonOption
from rlmaster.cli.terminal import answer, answer_json, say

if TYPE_CHECKING:
    from rlmaster.notify import Delivery
    from rlmaster.user_config import UserConfig

EXAMPLE = """\
[notify]
push = ["ntfys://ntfy.sh/a-topic-that-only-you-know"]  # any URL of https://appriseit.com
desktop = true
kinds = ["finished", "failed", "lost", "diverged"]  # what is pushed; without this line, more"""
"""What a first config.toml may hold."""

notify_app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)


@notify_app.callback()
def notify() -> None:
    """Try how you hear of your runs: on the desktop, and by push."""


@notify_app.command("test")
def send_test_command(as_json: JsonOption = False) -> None:
    """Send a test notice everywhere, and say where it arrived."""
    from rlmaster.events import Severity
    from rlmaster.notify import channels
    from rlmaster.user_config import read_user_config

    config = read_user_config()
    title, body = "RLmaster: a test", "Notices of your runs arrive here."
    if reached := channels(config):
        say(f"asking {len(reached)} {'service' if len(reached) == 1 else 'services'}")
    deliveries = [channel.deliver(title, body, Severity.INFO) for channel in reached]
    if as_json:
        answer_json(_to_data(config, deliveries))
    else:
        _show(config, deliveries)
    raise typer.Exit(0 if all(delivery.delivered for delivery in deliveries) else 1)


def _to_data(config: "UserConfig", deliveries: "list[Delivery]") -> dict[str, object]:
    rows = [{"channel": d.channel, "delivered": d.delivered, "note": d.note} for d in deliveries]
    return {"config_file": str(config.path), "warning": config.warning, "channels": rows}


def _show(config: "UserConfig", deliveries: "list[Delivery]") -> None:
    for delivery in deliveries:
        answer(str(delivery))
    if config.warning:
        say(config.warning)
    if not deliveries:
        say("nobody was told: there is no desktop here, and nowhere to push to")
    if not config.push:
        say(f"to have notices pushed to you, put lines like these into {config.path}:")
        answer(EXAMPLE)
