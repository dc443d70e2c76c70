from acting_app import bare_app, told
from driving import drive, screen_text, wait_for_text, wait_until

from rlmaster.run_index import RunIndex
from rlmaster.run_status import State, Status
from tui.messages import OpenRun
from tui.palette import MOST_RUNS, find_runs
from tui.screens.help import HelpScreen


def test_runs_are_found_by_their_words_the_newest_first_and_not_all(empty_project, make_run):
    for number in range(MOST_RUNS + 5):
        make_run(f"Number {number}.")
    fish = make_run("Of fish.", name="freeway")
    with RunIndex(empty_project.runs) as index:
        index.sync()
    assert [row.id for row in find_runs(empty_project.runs, "FISH")] == [fish.id]
    assert [row.id for row in find_runs(empty_project.runs, "name:freeway fish")] == [fish.id]
    assert len(find_runs(empty_project.runs, "number")) == MOST_RUNS
    assert find_runs(empty_project.runs, "state:") == []


def test_the_palette_opens_a_run(empty_project, make_run, fake_command):
    fish = make_run("Of [bold]fish.", name="freeway")
    make_run("Of birds.")
    opened: list[OpenRun] = []

    async def scenario(pilot):
        app = pilot.app
        post = app.post_message
        app.post_message = lambda m: opened.append(m) if isinstance(m, OpenRun) else post(m)
        with RunIndex(empty_project.runs) as index:
            index.sync()
        await pilot.press("colon", *"[bold]fish")
        await wait_for_text(pilot, f"freeway {fish.short_id}")
        assert "Of [bold]fish." in screen_text(app)
        await pilot.press("down", "enter")
        await wait_until(pilot, lambda: opened)
        assert opened[0].path == fish.path

    drive(bare_app(empty_project, command=fake_command.line), scenario)


def test_the_palette_does_what_suits_the_run_at_hand(empty_project, make_run, fake_command):
    run = make_run()
    run.write_status(Status(State.COMPLETED))

    async def scenario(pilot):
        await pilot.press("ctrl+p", *"copy the path")
        await wait_for_text(pilot, "Copy the path")
        await wait_for_text(pilot, run.short_id)
        assert "Stop" not in screen_text(pilot.app)
        await pilot.press("down", "enter")
        await wait_until(pilot, lambda: pilot.app.clipboard == str(run.path))

    drive(bare_app(empty_project, [run.path], fake_command.line), scenario)


def test_the_palette_offers_what_has_a_key(empty_project, fake_command):
    async def scenario(pilot):
        await pilot.press("colon", *"dark")
        await wait_for_text(pilot, "Dark/light")
        await wait_for_text(pilot, "key ^t")
        await pilot.press("down", "enter")
        await wait_until(pilot, lambda: pilot.app.theme == "textual-light")

    drive(bare_app(empty_project, command=fake_command.line), scenario)


def test_help_explains_keys_states_and_places(empty_project, fake_command):
    async def scenario(pilot):
        await pilot.press("question_mark")
        await wait_until(pilot, lambda: isinstance(pilot.app.screen, HelpScreen))
        for text in ("Keys everywhere", "^t  Dark/light", "✓ completed  has done all"):
            await wait_for_text(pilot, text)
        assert "Focus Next" not in screen_text(pilot.app).partition("Keys everywhere")[0]
        await pilot.press("end")
        await wait_for_text(pilot, "your settings")
        await pilot.press("escape")
        await wait_until(pilot, lambda: not isinstance(pilot.app.screen, HelpScreen))

    drive(bare_app(empty_project, command=fake_command.line), scenario, size=(120, 30))


def test_nothing_breaks_in_a_tiny_terminal(empty_project, make_run, fake_command):
    run = make_run()
    run.write_status(Status(State.COMPLETED))

    async def scenario(pilot):
        for key in ("question_mark", "m", "colon"):
            await pilot.press(key)
            await pilot.resize_terminal(140, 45)
            await pilot.resize_terminal(20, 5)
            await pilot.press("escape")
        pilot.app.notify("word " * 50)
        assert "word" in told(pilot.app)

    drive(bare_app(empty_project, [run.path], fake_command.line), scenario, size=(20, 5))
