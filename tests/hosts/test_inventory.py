from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlmaster.errors import InventoryError
from rlmaster.hosts.inventory import Host, Inventory, read_inventory

SHIPPED = Path(__file__).parents[2] / "hosts.toml"


def read(folder: Path, text: str) -> Inventory:
    path = folder / "hosts.toml"
    path.write_text(text, encoding="utf-8")
    return read_inventory(path)


def refusal(folder: Path, text: str) -> list[str]:
    with pytest.raises(InventoryError) as caught:
        read(folder, text)
    assert caught.value.exit_code == 2
    return str(caught.value).replace(f"{folder}/", "").split("\n")


def test_shipped_file_names_this_computer():
    assert read_inventory(SHIPPED).hosts == (Host("local"),)


def test_commented_examples_of_the_shipped_file_are_refused_as_not_yet_accepted(tmp_path):
    text = SHIPPED.read_text()
    for kind in ("ssh", "slurm"):
        text = text.replace(f'# kind = "{kind}"', f'kind = "{kind}"')
    text = text.replace("# [hosts.", "[hosts.")
    assert [line.partition(": ")[2] for line in refusal(tmp_path, text)] == [
        'hosts.office.kind "ssh" is not accepted yet: this version runs on kind "local" only',
        'hosts.cluster.kind "slurm" is not accepted yet: this version runs on kind "local" only',
    ]


def test_other_commented_lines_of_the_shipped_file_are_valid(tmp_path):
    text = SHIPPED.read_text()
    for key in ("cpu_slots", "python", "notes"):
        assert f"\n# {key} = " in text
        text = text.replace(f"\n# {key} = ", f"\n{key} = ")
    assert read(tmp_path, text).hosts == (
        Host("local", cpu_slots=2, python="~/environments/rl/bin/python", notes="quiet after six"),
    )


@pytest.mark.parametrize("text", ["", "[defaults]\n", "[hosts]\n"])
def test_file_without_hosts_means_this_computer(tmp_path, text):
    assert read(tmp_path, text).hosts == (Host("local"),)


def test_missing_file_means_this_computer(tmp_path):
    assert read_inventory(tmp_path / "hosts.toml").hosts == (Host("local"),)


def test_defaults_hold_where_a_host_says_nothing_else(tmp_path):
    inventory = read(
        tmp_path,
        '[defaults]\ncpu_slots = 3\npython = "python3.12"\n'
        '[hosts.one]\nkind = "local"\n[hosts.two]\nkind = "local"\ncpu_slots = 1\n',
    )
    assert inventory.hosts == (
        Host("one", cpu_slots=3, python="python3.12"),
        Host("two", cpu_slots=1, python="python3.12"),
    )


def test_defaults_hold_for_this_computer_where_no_host_is_named(tmp_path):
    assert read(tmp_path, "[defaults]\ncpu_slots = 3\n").hosts == (Host("local", cpu_slots=3),)


def test_find_knows_its_hosts_and_what_was_meant(tmp_path):
    inventory = read(tmp_path, '[hosts.one]\nkind = "local"\n[hosts.laptop]\nkind = "local"\n')
    assert inventory.find("laptop").name == "laptop"
    with pytest.raises(InventoryError, match=r"no host 'labtop' .*; did you mean laptop\?"):
        inventory.find("labtop")
    with pytest.raises(InventoryError, match=r"no host 'xyz' .*; there is one, laptop"):
        inventory.find("xyz")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            '[host.local]\nkind = "local"\n',
            "hosts.toml, line 1: host is no table that is known here; did you mean hosts?",
        ),
        (
            '\n[hosts.a]\nkind = "local"\nslot = 2\n',
            "hosts.toml, line 4: hosts.a.slot is no key that is known here; "
            "did you mean cpu_slots?",
        ),
        (
            '[hosts.a]\nkind = "local"\ncpu_slots = 1\n[hosts.b]\nkind = "local"\ncpu_slots = 0\n',
            "hosts.toml, line 6: hosts.b.cpu_slots must be a whole number from 1 to 1,024, not 0",
        ),
        (
            "[defaults]\ncpu_slots = true\n",
            "hosts.toml, line 2: defaults.cpu_slots must be a whole number from 1 to 1,024, "
            "not true",
        ),
        (
            '[hosts.a]\nkind = "lokal"\n',
            'hosts.toml, line 2: hosts.a.kind must be "local", not "lokal"',
        ),
        (
            "[hosts.a]\ncpu_slots = 1\n",
            'hosts.toml, line 1: hosts.a has no kind; write kind = "local"',
        ),
        (
            '[hosts.a]\nkind = "local"\npython = "bin/python"\n',
            "hosts.toml, line 3: hosts.a.python must be an interpreter's absolute path, a path "
            'under ~/ or a name on PATH, not "bin/python"',
        ),
        (
            '[hosts.a]\nkind = "local"\nnotes = "two\\nlines"\n',
            'hosts.toml, line 3: hosts.a.notes must be one line of text, not "two\\nlines"',
        ),
        (
            '[hosts.auto]\nkind = "local"\n',
            "hosts.toml, line 1: hosts.auto is no name for a host: --host auto means the best one",
        ),
        (
            '[hosts."a;b"]\nkind = "local"\n',
            "hosts.toml, line 1: hosts.a;b is no name for a host: it must be up to 64 letters, "
            "digits, _ and -, with a letter or digit first",
        ),
        ("hosts = 3\n", "hosts.toml, line 1: hosts must be a table, not 3"),
        ('[hosts]\na = "local"\n', 'hosts.toml, line 2: hosts.a must be a table, not "local"'),
        (
            "[hosts.a\n",
            "hosts.toml is not valid TOML: Expected ']' at the end of a table declaration "
            "(at line 1, column 9)",
        ),
    ],
)
def test_each_mistake_has_its_line_and_what_would_be_right(tmp_path, text, problem):
    assert problem in refusal(tmp_path, text)


def test_all_mistakes_are_named_at_once(tmp_path):
    text = '[hosts.a]\nkind = "local"\ncpu_slots = 0\nnote = "x"\n'
    assert [line.partition(": ")[0] for line in refusal(tmp_path, text)] == [
        "hosts.toml, line 3",
        "hosts.toml, line 4",
    ]


def test_what_is_not_text_is_refused(tmp_path):
    path = tmp_path / "hosts.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InventoryError, match="is not text in UTF-8"):
        read_inventory(path)
    with pytest.raises(InventoryError, match="cannot be read: Is a directory"):
        read_inventory(tmp_path)


toml_lines = st.sampled_from(
    [
        "[hosts.a]",
        "[hosts]",
        "[[hosts]]",
        "[hosts.a.b]",
        "[defaults]",
        "kind='local'",
        "cpu_slots=2",
        "hosts.a.kind='local'",
        "a={}",
        "cpu_slots=[1]",
        '"\\u001b"=1',
        "python=''",
        "a='''",
    ]
)


@given(text=st.text(st.characters(codec="utf-8")) | st.lists(toml_lines).map("\n".join))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_an_inventory_or_printable_refusals(tmp_path, text):
    try:
        hosts, problems = read(tmp_path, text).hosts, []
    except InventoryError as error:
        hosts, problems = (), str(error).split("\n")
    assert bool(hosts) != bool(problems)
    assert all(problem.isprintable() for problem in problems)
    assert all(host.kind == "local" and (host.cpu_slots or 1) >= 1 for host in hosts)
