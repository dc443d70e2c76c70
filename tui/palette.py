"""What the command palette offers: what has a key here, what can be done with a run, every run."""

# pyright: reportUnknownMemberType=false
# Textual leaves open what its own `app` is.

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from rlmaster.errors import RlmasterError
from rlmaster.run_index import RunIndex
from rlmaster.run_index.query import parse_query
from rlmaster.run_index.row import RunRow
from tui.acts.actions import read_run, suiting
from tui.messages import OpenRun
from tui.screens.acting import TEXTUALS_OWN, ActsOnRuns
from tui.threads import in_thread
from tui.words.plain_text import one_line

if TYPE_CHECKING:
    from tui.app import RlmasterApp

Offer = tuple[str, Callable[[], Any], str]
"""What something is called, what does it, and a note on it."""
MOST_RUNS = 20
"""So many runs are offered, the newest of those that fit."""
SURE = 0.5
"""How well a run fits whose words were found by the index, beside commands that match 0 to 1."""


class _Offers(Provider):
    """Offers things that are few and known once the palette opens."""

    def offers(self) -> Iterator[Offer]:
        """Yield what each is called, what does it and its help."""
        raise NotImplementedError

    async def discover(self) -> Hits:
        """Offer all of them."""
        for words, command, note in self.offers():
            yield DiscoveryHit(Content(words), command, words, _note(note))

    async def search(self, query: str) -> Hits:
        """Offer those whose words fit."""
        matcher = self.matcher(query)
        for words, command, note in self.offers():
            if (score := matcher.match(words)) > 0:
                yield Hit(score, matcher.highlight(words), command, words, _note(note))


class KeysProvider(_Offers):
    """What has a key on the present screen."""

    def offers(self) -> Iterator[Offer]:
        """Yield each once, with its first key."""
        seen = {"command_palette", *TEXTUALS_OWN}
        for active in self.screen.active_bindings.values():
            binding = active.binding
            if active.enabled and binding.description and binding.action not in seen:
                seen.add(binding.action)
                act = partial(self.app.run_action, binding.action, active.node)
                yield binding.description, act, f"key {self.app.get_key_display(binding)}"


class ActionsProvider(_Offers):
    """What can be done with the runs that the present screen is about."""

    _found: Sequence[Offer] = ()

    async def startup(self) -> None:
        """Look at the runs once, in a thread."""
        app = cast("RlmasterApp", self.app)
        found: list[Offer] = [("Bring back the run deleted last", app.actor.restore_last, "")]
        paths = self.screen.runs_at_hand() if isinstance(self.screen, ActsOnRuns) else ()
        looked_at = await in_thread(lambda cancelled: [read_run(path) for path in paths])
        runs = [run for run in looked_at if run is not None]
        whose = runs[0].label if len(runs) == 1 else f"{len(runs)} runs"
        for action, fitting in suiting(runs).items() if runs else ():
            act = partial(app.actor.do, action.name, [run.path for run in runs])
            found.append((action.title(fitting, len(runs)), act, whose))
        self._found = found

    def offers(self) -> Iterator[Offer]:
        """Yield what suits them."""
        yield from self._found


class RunsProvider(Provider):
    """Every run, by its words, as the index finds it."""

    async def discover(self) -> Hits:
        """Offer the newest."""
        for row in await self._find(""):
            words, command, note = self._offer(row)
            yield DiscoveryHit(Content(words), command, words, _note(note))

    async def search(self, query: str) -> Hits:
        """Offer those that have all of the words somewhere."""
        for row in await self._find(query):
            words, command, note = self._offer(row)
            yield Hit(SURE, Content(words), command, words, _note(note))

    async def _find(self, query: str) -> list[RunRow]:
        runs = cast("RlmasterApp", self.app).project.runs
        return await in_thread(lambda cancelled: find_runs(runs, query))

    def _offer(self, row: RunRow) -> Offer:
        path = cast("RlmasterApp", self.app).project.runs / row.path
        words = one_line(f"{row.name} {row.short_id}  {row.state}")
        return words, partial(self.app.post_message, OpenRun(path)), one_line(row.rationale)


def _note(text: str) -> str | None:
    """Return text for the palette, which would take a string for markup."""
    return cast("str", Content(text)) if text else None


def find_runs(runs: Path, query: str) -> list[RunRow]:
    """Return the newest runs that have all words of a query, or that its filters fit."""
    try:
        with RunIndex(runs) as index:
            return index.rows(parse_query(query.split(), index.config_fields), MOST_RUNS)
    except (RlmasterError, OSError, ValueError):  # a filter that is not written out yet
        return []
