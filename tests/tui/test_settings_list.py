from driving import drive, wait_for_text
from textual.app import App
from textual.widgets import Footer

from tui.drafts.form import Form, parse_fields
from tui.widgets.settings_list import SettingsList


class ListApp(App):
    def compose(self):
        yield SettingsList(id="settings")
        yield Footer()


def form_of(*fields):
    return Form(parse_fields({"fields": list(fields)}), {})


def test_the_offered_keys_are_those_of_the_fields_that_are_shown_now():
    rate = {"name": "training.rate", "kind": "number", "value": 0.5}
    protocol = {
        "name": "environment.protocol",
        "kind": "choice",
        "value": "classic",
        "choices": ["classic", "machado2018"],
    }

    async def scenario(pilot):
        settings = pilot.app.query_one(SettingsList)
        settings.focus()
        settings.show(form_of(rate))
        await wait_for_text(pilot, "Edit")
        await pilot.pause(0.5)  # until all that the first led to is drawn
        settings.show(form_of(protocol))  # the cursor stays where it was: on the first
        await wait_for_text(pilot, "Other value")

    drive(ListApp(), scenario)
