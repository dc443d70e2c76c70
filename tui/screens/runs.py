"""The first screen: all runs, as many as one sees, and a glance at the one under the cursor."""

# pyright: reportUnknownMemberType=false
# Textual leaves open what its own `app` is.

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Footer, Input, Static

from rlmaster.project import Project
from rlmaster.run_index.order import RunOrder
from tui.messages import (
    ChooseAction,
    CompareRuns,
    OpenHosts,
    OpenNewRun,
    OpenRun,
    RunsMarked,
    RunsRead,
)
from tui.reading.run_pages import PageRequest, RunPage, RunPages
from tui.screens.acting import ACTIONS_KEY
from tui.screens.order_choice import ORDER_WORDS, OrderChoiceScreen
from tui.screens.polling import PollingScreen
from tui.settings import Settings
from tui.threads import cancelled_event
from tui.widgets.filter_line import FilterLine
from tui.widgets.first_run import FirstRun
from tui.widgets.host_strip import HostStrip
from tui.widgets.run_glance import RunGlance
from tui.widgets.run_list import RunList
from tui.words.wording import place

ROOM_FOR_GLANCE = 120
"""Columns from which on the run under the cursor is shown beside the list."""
ROOM_FOR_HOSTS = 12
"""Rows from which on the hosts are shown above the list."""


class RunsScreen(PollingScreen):
    """Lists, filters, sorts and marks runs, and opens one."""

    AUTO_FOCUS = "RunList"  # never a filter that is not shown
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "new_run", "New run"),
        Binding("slash", "filter", "Find", key_display="/"),
        Binding("s", "sort", "Sort"),
        Binding("c", "compare", "Compare"),
        ACTIONS_KEY,
        Binding("h", "hosts", "Hosts"),
        Binding("p", "toggle_glance", "Pane", show=False),
        Binding("asterisk,ctrl+a", "mark_all", "Mark all that fit", show=False, key_display="*"),
        Binding("escape", "back", "Unmark, or end the filter", show=False),
    ]

    def __init__(
        self, project: Project, clock: Callable[[], datetime], settings: Settings | None = None
    ) -> None:
        """Say whose runs are listed, what time it is, and how one left the list last."""
        super().__init__(look=self._look_at_runs)
        self._project = project
        self._clock = clock
        self._pages = RunPages(project.runs)
        self._settings = settings or Settings()
        self._request = PageRequest(order=_order(self._settings.remembered.sort))
        self._page: RunPage | None = None
        self._wants_glance = self._settings.remembered.side_pane

    def compose(self) -> ComposeResult:
        """Lay out titles, hosts, filter, the list, and what stands for it while it is empty."""
        yield Static(id="title")
        with Vertical(id="host-strips"):
            yield HostStrip(id="host-strip")
        yield FilterLine(id="filter")
        yield Static(id="filter-problem")
        with Horizontal(id="runs"):
            yield FirstRun(id="first-run")
            yield RunList()
            yield RunGlance(id="glance")
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        """Say at once that the runs are being read."""
        for hidden in ("#first-run", "#filter", "#filter-problem"):
            self.query_one(hidden).display = False
        self._show_title()
        self.query_one(RunList).focus()

    # -------------------------------------------------------------------------------------- looking

    def _look_at_runs(self) -> None:
        """Look at the runs, in a thread."""
        cancelled = cancelled_event()

        def take(page: RunPage) -> None:
            if not cancelled.is_set():
                self.post_message(RunsRead(page))

        self._pages.look(lambda: self._request, take, cancelled)

    def finish_looking(self) -> None:
        """Let go of the index."""
        self._pages.close()

    @on(events.ScreenResume)
    def start_glancing(self) -> None:
        """Read the run under the cursor while somebody sees it."""
        self.query_one(RunGlance).resume()

    @on(events.ScreenSuspend)
    def stop_glancing(self) -> None:
        """Leave that run alone."""
        self.query_one(RunGlance).stop()

    @on(RunsRead)
    def show_runs(self, message: RunsRead) -> None:
        """Show what was read, unless something else is asked for by now."""
        page = message.page
        if (page.request.words, page.request.order) != (self._request.words, self._request.order):
            return
        if page.note and not page.total and self._page:
            page = replace(self._page, note=page.note)
        self._page = page
        is_empty = page.total == 0 and page.reading is None and not page.note
        self.query_one("#first-run").display = is_empty
        self.query_one(RunList).display = not is_empty
        if not is_empty and self.focused is None:
            self.query_one(RunList).focus()
        self.query_one(RunList).show(page, self._clock())
        self._show_problem(page.problem)
        self._show_title()
        self._ask()

    @on(RunList.Moved)
    def _ask(self) -> None:
        """Ask for the rows that one sees, at once if any of them is missing."""
        run_list = self.query_one(RunList)
        first, count = run_list.wanted
        self._request = replace(
            self._request, first=first, count=count, run=run_list.run, marked=run_list.marked
        )
        if run_list.lacks_rows:
            self.look_now()
        self._glance()

    def _start_over(self, **changes: str | RunOrder) -> None:
        """Ask for other runs, or for the same in another order, from the first on."""
        self.query_one(RunList).start_over()
        self._request = replace(self._request, first=0, run="", **changes)  # type: ignore
        self.look_now()

    # --------------------------------------------------------------------------------- what is told

    def _show_title(self) -> None:
        parts = [Content.styled("RLmaster", "bold"), Content(self._how_many())]
        if marked := self.query_one(RunList).marked:
            parts.append(Content.styled(f"{len(marked):,} marked", "$text-accent"))
        if self._request.order is not RunOrder.NEWEST:
            parts.append(Content(ORDER_WORDS[self._request.order]))
        if self._page and self._page.note:
            parts.append(Content.styled(self._page.note, "$text-warning"))
        else:
            parts.append(Content.styled(place(self._project.root), "dim"))
        self.query_one("#title", Static).update(Content("  ").join(parts))

    def _how_many(self) -> str:
        page = self._page
        if page is None or (page.reading == (0, 0) and not page.total):
            return "reading runs"
        if page.reading and page.reading[1]:
            done, total = page.reading
            return f"reading runs: {done:,} of {total:,}"
        if self._request.words:
            return f"{page.fitting:,} of {page.total:,} runs"
        return f"{page.total:,} run{'' if page.total == 1 else 's'}"

    def _show_problem(self, problem: str) -> None:
        static = self.query_one("#filter-problem", Static)
        static.display = bool(problem)
        static.update(Content(problem))

    # ------------------------------------------------------------------------------ filter and sort

    def action_filter(self) -> None:
        """Let the person type what the runs shall have."""
        line = self.query_one(FilterLine)
        line.display = True
        line.focus()

    @on(Input.Changed, "#filter")
    def filter_runs(self, event: Input.Changed) -> None:
        """Show what fits by now."""
        if event.value.split() != self._request.words.split():
            self._start_over(words=event.value)

    @on(FilterLine.Left)
    def leave_filter(self) -> None:
        """Go back to the list with what fits."""
        line = self.query_one(FilterLine)
        line.display = bool(line.value.strip())
        self.query_one(RunList).focus()

    def action_back(self) -> None:
        """Take back what was done last to choose runs: the marks, or the filter."""
        run_list, line = self.query_one(RunList), self.query_one(FilterLine)
        if run_list.marked and not line.has_focus:
            run_list.marked = frozenset()
            return
        line.value = ""
        self.leave_filter()

    def action_sort(self) -> None:
        """Ask for the order."""
        self.app.push_screen(OrderChoiceScreen(self._request.order), self._sort)

    @on(RunList.SortAsked)
    def sort_by_title(self, message: RunList.SortAsked) -> None:
        """Sort by the column whose title was clicked."""
        self._sort(message.order)

    def _sort(self, order: RunOrder | None) -> None:
        if order is not None:
            self._settings.remember(sort=order.value)
            self._start_over(order=order)

    # ---------------------------------------------------------------------------------------- marks

    def action_mark_all(self) -> None:
        """Mark every run that fits the filter, also those that one does not see."""
        self._mark_all(self._request.words)

    @work(thread=True, exclusive=True, group="marking")
    def _mark_all(self, words: str) -> None:
        self.post_message(RunsMarked(RunPages(self._project.runs).paths(words)))

    @on(RunsMarked)
    def mark_runs(self, message: RunsMarked) -> None:
        """Mark what was found."""
        self.query_one(RunList).marked |= frozenset(message.paths)

    @on(RunList.MarksChanged)
    def show_marks(self) -> None:
        """Say how many are marked."""
        self._show_title()
        self._ask()

    def _marked_folders(self) -> list[Path]:
        """Return the folders of the runs that are marked, the newest first."""
        marked = self.query_one(RunList).marked
        newest_first = sorted(marked, key=lambda path: path.rpartition("/")[2], reverse=True)
        return [self._project.runs / path for path in newest_first]

    def action_compare(self) -> None:
        """Ask for the marked runs side by side."""
        folders = self._marked_folders()
        if len(folders) < 2:
            self.app.notify("Mark two runs or more with the space bar, then press c.")
        else:
            self.post_message(CompareRuns(folders))

    def runs_at_hand(self) -> list[Path]:
        """Return the folders of the marked runs, or of the one under the cursor."""
        line = self.query_one(RunList).line
        return self._marked_folders() or ([self._project.runs / line.path] if line else [])

    def action_choose_action(self) -> None:
        """Ask what shall be done with the runs at hand."""
        if folders := self.runs_at_hand():
            self.post_message(ChooseAction(folders))

    # -------------------------------------------------------------------------------- other screens

    @on(RunList.Chosen)
    def open_run(self, message: RunList.Chosen) -> None:
        """Ask for a run's own screen."""
        self.post_message(OpenRun(self._project.runs / message.path))

    def action_new_run(self) -> None:
        """Ask for the screen that starts a run."""
        self.post_message(OpenNewRun())

    def action_hosts(self) -> None:
        """Ask for the screen of the computers."""
        self.post_message(OpenHosts())

    # ---------------------------------------------------------------------------------- the glance

    def on_resize(self, event: events.Resize) -> None:
        """Show the hosts and the run under the cursor where there is room."""
        self.query_one("#host-strips").display = event.size.height >= ROOM_FOR_HOSTS
        self._glance()

    def action_toggle_glance(self) -> None:
        """Give the list all the room, or share it."""
        self._wants_glance = not self._wants_glance
        self._settings.remember(side_pane=self._wants_glance)
        self._glance()
        if self._wants_glance and self.size.width < ROOM_FOR_GLANCE:
            self.app.notify(f"The pane needs {ROOM_FOR_GLANCE} columns; enter opens the run.")

    def _glance(self) -> None:
        glance, line = self.query_one(RunGlance), self.query_one(RunList).line
        has_room = self._wants_glance and self.size.width >= ROOM_FOR_GLANCE
        glance.display = has_room and line is not None
        folder = self._project.runs / line.path if line and has_room else None
        glance.follow(line, folder)

    @on(RunGlance.Read)
    def show_glance(self, message: RunGlance.Read) -> None:
        """Show what was read of the run under the cursor."""
        self.query_one(RunGlance).show(message, self._clock())


def _order(name: str) -> RunOrder:
    """Return the order of that name; newest first where there is none."""
    return RunOrder(name) if name in set(RunOrder) else RunOrder.NEWEST
