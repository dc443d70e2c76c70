import json
import os

import pytest

GIVEN = ("experiments", "tiny", "--json")


def form_of(outcome):
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.out)


def fields_of(form):
    return {field["name"]: field for field in form["fields"]}


def test_every_field_is_told_with_what_it_accepts(command):
    form = form_of(command(*GIVEN))

    fields = fields_of(form)
    assert (form["name"], form["problems"], form["number_of_runs"]) == ("tiny-pong", [], 1)
    assert list(fields)[:3] == ["name", "agent", "frame_storage"]
    assert fields["agent"]["allowed"].startswith("one of RandomAgent, ValueAgent, DQN")
    assert not any(name.startswith(("encoder.", "agent_training.")) for name in fields)
    assert fields["training.updates"] == {
        "name": "training.updates",
        "kind": "integer",
        "allowed": "a whole number, at least 1 and at most 1000000000 (default 50000)",
        "value": 20,
        "default": 50_000,
        "has_default": True,
        "differs_from_default": True,
        "help": "Optimiser updates in total, at least 1.",
        "choices": [],
        "bounds": {"minimum": 1, "maximum": 1_000_000_000},
        "pattern": "",
    }
    assert fields["environment.protocol"]["choices"][0] == "machado2018"
    assert fields["environment.game"]["has_default"] is False
    assert fields["training.learning_rate"]["bounds"] == {"above": 0, "maximum": 1}
    assert fields["requires.gpu"]["kind"] == "switch"
    assert fields["embedder.channels"]["kind"] == "list"
    assert not [name for name, field in fields.items() if not field["help"]]


def test_what_cannot_be_set_is_told_beside_what_can(command):
    wrong = ["--set", "training.updates=0", "--set", "sed=1"]
    form = form_of(command(*GIVEN, *wrong, "--set", "seed=5"))

    assert [problem["field"] for problem in form["problems"]] == ["sed", "training.updates"]
    fields = fields_of(form)
    assert (fields["seed"]["value"], fields["training.updates"]["value"]) == (5, 20)


def test_a_grid_is_counted_and_each_of_its_values_judged(command):
    form = form_of(command(*GIVEN, "--set", "seed=1,2,3", "--set", "embedder.latent_dim=8,16"))
    assert (form["number_of_runs"], form["problems"]) == (6, [])

    form = form_of(command(*GIVEN, "--set", "training.updates=10,0"))
    assert [problem["field"] for problem in form["problems"]] == ["training.updates"]
    assert form["number_of_runs"] == 0


def test_a_person_sees_a_table_with_the_problems_below(command):
    outcome = command("experiments", "tiny", "--set", "seed=1,2")

    assert outcome.out.startswith("tiny-pong: Pong: a tiny autoencoder.\n")
    [row] = [line for line in outcome.out.splitlines() if "training.updates" in line]
    assert row.split()[:3] == ["*", "training.updates", "20"]
    assert "these are 2 runs" in outcome.err


def test_a_run_is_described_like_a_script(command, project, finished_run):
    form = form_of(command("experiments", "--run", str(finished_run.folder.path), "--json"))

    assert form["run"] == finished_run.folder.id
    assert fields_of(form)["seed"]["value"] == 7


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["tiny", "--run", "last"], "name an experiment or a --run, not both\n"),
        (["--set", "seed=1"], "name the experiment whose fields you want to set\n"),
        (["tinny"], "there is no experiment script 'tinny'; did you mean tiny?\n"),
    ],
)
def test_a_bad_request_is_one_sentence(command, arguments, sentence):
    outcome = command("experiments", *arguments)

    assert (outcome.code, outcome.out, outcome.err) == (2, "", sentence)


def test_what_is_known_already_is_not_read_again_until_a_neighbour_changes(command, project):
    folder = project / "experiments"
    script = folder / "tiny.py"
    (folder / "neighbour.py").write_text("UPDATES = 30\n")
    text = script.read_text().replace("updates=20", "updates=UPDATES")
    script.write_text(text.replace("\nfrom ", "\nfrom neighbour import UPDATES\nfrom ", 1))

    def updates():
        for file in folder.glob("*.py"):
            os.utime(file, (1, 1))
        return fields_of(form_of(command(*GIVEN)))["training.updates"]["value"]

    assert updates() == 30
    (project / "hidden").mkdir()
    assert "reading tiny.py" not in command("experiments").err
    (folder / "neighbour.py").write_text("UPDATES = 31\n")
    assert updates() == 31


def test_each_script_is_told_as_soon_as_it_is_read(command, project):
    (project / "experiments" / "a_slow.py").write_text("import time\ntime.sleep(1.5)\n")
    (project / "experiments" / "b_broken.py").write_text("x = (\n")

    outcome = command("experiments", "--live", "--json")

    rows = [json.loads(line) for line in outcome.out.splitlines()]
    assert [row["name"] for row in rows] == ["b_broken", "tiny-pong", "a_slow"]


def test_hosts_are_ranked_for_what_a_run_needs(command):
    (host,) = json.loads(command("hosts", "--need", 'tags=["big"]', "--json").out)["hosts"]

    assert not host["fits"]
    assert "it has no tag big" in host["reason"]
    assert command("hosts", "--need", "gpus=1").err.startswith("gpus: there is no field 'gpus'")
