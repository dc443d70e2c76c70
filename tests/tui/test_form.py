from itertools import groupby

import pytest

from rlmaster.errors import SpecificationError
from rlmaster.experiment import Atari, Experiment
from rlmaster.experiment_form import form_fields
from rlmaster.specification import with_overrides
from tui.drafts.form import (
    Form,
    number_of_runs_in,
    parse_fields,
    parse_problems,
    problem_of,
    set_options,
)
from tui.drafts.line_edit import LineEdit

EXPERIMENT = Experiment(name="x", environment=Atari(game="pong"), seed=5)
FIELDS = {field.name: field for field in parse_fields({"fields": form_fields(EXPERIMENT)})}
TEXTS = (
    *("", "0", "1", "-1", "7", "1e3", "1_000", "0.5", "3.0", "nan", "inf", "99999999999999"),
    *("true", "False", "yes", "on", "2", "auto", "Auto", "none", "classic", "pong", "no-such-game"),
    *("[1,2]", "[32,64,64]", "[32,64,0]", '["a"]', "[", "null", "a b", "x" * 70),
)


@pytest.mark.parametrize("name", FIELDS)
def test_nothing_is_called_wrong_that_the_command_would_take(name):
    for text in TEXTS:
        if problem_of(FIELDS[name], text):
            with pytest.raises(SpecificationError):
                with_overrides(EXPERIMENT, [f"{name}={text}"])


@pytest.mark.parametrize(
    ("name", "text", "part"),
    [
        ("training.updates", "0", "at least 1"),
        ("training.updates", "many", "a whole number"),
        ("training.updates", "10,0", "'0' is not allowed"),
        ("training.updates", "10,,20", "there is an empty value in the list"),
        ("training.learning_rate", "0", "above 0"),
        ("frames.held_out_share", "1", "below 1"),
        ("environment.protocol", "nature", "one of machado2018, classic, atari_100k"),
        ("requires.gpu", "perhaps", "true or false"),
        ("tags", "a,b", 'a list such as ["one", "two"]'),
        ("name", "a/b", "1 to 64 letters, digits"),
    ],
)
def test_what_is_wrong_is_said_at_once(name, text, part):
    assert part in problem_of(FIELDS[name], text)


def test_each_part_has_one_heading():
    headings = [group for group, _ in groupby(FIELDS.values(), key=lambda field: field.group)]
    assert headings[0] == "run"
    assert len(headings) == len(set(headings))


def form_with(**changes):
    form = Form(list(FIELDS.values()), {})
    for name, text in changes.items():
        form.put(FIELDS[name.replace("__", ".")], text)
    return form


def test_the_scripts_own_value_is_no_change():
    form = form_with(seed=" 6 ", training__updates="9")
    assert form.changes == {"seed": "6", "training.updates": "9"}
    form.put(FIELDS["seed"], "5")
    assert form.changes == {"training.updates": "9"}
    assert set_options(form.changes) == ["--set", "training.updates=9"]


def test_values_are_compared_by_what_they_mean():
    form = form_with(embedder__foreground_weight="30")
    field = FIELDS["embedder.foreground_weight"]
    form.last_run = {field.name: 3e1}
    assert form.is_changed(field)
    assert not form.differs_from_default(field)
    assert not form.differs_from_last(field)
    assert form.differs_from_default(FIELDS["seed"])


def test_runs_are_counted_as_the_command_counts_them():
    assert number_of_runs_in({}) == 1
    assert number_of_runs_in({"seed": "1,2,3", "embedder.channels": "[1,2,3]"}) == 3
    assert number_of_runs_in({"seed": "1,,3"}) == 0


def test_what_the_command_says_is_forgotten_when_something_changes():
    form = form_with(seed="6")
    answer = {
        "problems": [{"field": "seed", "message": "no"}, {"field": "", "message": "\x1b[2J!"}]
    }
    form.told_problems = parse_problems(answer)
    assert form.first_problem() == ("seed", "no")
    assert form.told_problems[""] == "!"
    form.put(FIELDS["seed"], "7")
    assert form.first_problem() == ("", "")


def test_fields_are_found_by_all_of_the_words():
    assert [field.name for field in form_with().matching("size ADAM")] == ["training.learning_rate"]
    assert len(form_with().matching("  ")) == len(FIELDS)


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        (["x"], "abcx"),
        (["home", "x"], "xabc"),
        (["left", "left", "backspace"], "bc"),
        (["home", "backspace", "delete"], "bc"),
        (["left", "ctrl+u"], "c"),
        (["left", "ctrl+k"], "ab"),
        (["ctrl+u", "x", "ctrl+a", "y", "ctrl+e", "z", "right"], "yxz"),
    ],
)
def test_a_line_is_edited(keys, text):
    line = LineEdit.of("abc")
    for key in keys:
        assert line.press(key, key if len(key) == 1 else None)
    assert line.text == text


def test_a_line_takes_only_what_shows_and_leaves_other_keys():
    line = LineEdit.of("")
    line.insert("\x1b[31mred\nmore")
    assert line.text == "red"
    assert not line.press("f5", None)
    assert line.window(3) == ("ed", " ", "")
