from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlmaster.errors import InventoryError
from rlmaster.hosts.inventory import Host, Inventory, read_inventory, user_hosts_path

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


def uncommented(text: str, *keys: str) -> str:
    for key in keys:
        assert f"\n# {key} = " in text
        text = text.replace(f"\n# {key} = ", f"\n{key} = ")
    return text


def test_the_commented_example_of_another_computer_is_valid(tmp_path):
    text = SHIPPED.read_text().replace("# [hosts.office]", "[hosts.office]")
    text = text.replace('# kind = "ssh"', 'kind = "ssh"')
    text = text.replace('# address = "office"', 'address = "office"')
    assert read(tmp_path, text).find("office") == Host("office", "ssh", address="office")


def test_the_commented_example_of_a_cluster_is_refused_as_not_yet_accepted(tmp_path):
    text = SHIPPED.read_text().replace("# [hosts.cluster]", "[hosts.cluster]")
    text = text.replace('# kind = "slurm"', 'kind = "slurm"')
    assert [line.partition(": ")[2] for line in refusal(tmp_path, text)] == [
        'hosts.cluster.kind "slurm" is not accepted yet; there is "local" and "ssh"',
    ]


def test_other_commented_lines_of_the_shipped_file_are_valid(tmp_path):
    keys = ("cpu_slots", "workspace", "python", "tags", "notes")
    assert read(tmp_path, uncommented(SHIPPED.read_text(), *keys)).hosts == (
        Host(
            "local",
            tags=("quiet",),
            cpu_slots=2,
            python="~/environments/rl/bin/python",
            notes="quiet after six",
        ),
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
            'hosts.toml, line 2: hosts.a.kind must be "local" or "ssh", not "lokal"',
        ),
        (
            "[hosts.a]\ncpu_slots = 1\n",
            'hosts.toml, line 1: hosts.a has no kind; write kind = "ssh" or kind = "local"',
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
        (
            '[hosts.a]\nkind = "local"\naddress = "a"\n',
            'hosts.toml, line 3: hosts.a.address is for hosts of kind "ssh"; this one is "local"',
        ),
        (
            '[hosts.a]\nkind = "ssh"\naddress = "-oProxyCommand=reboot"\n',
            "hosts.toml, line 3: hosts.a.address must be a name from the ssh configuration or "
            'user@host:port, not "-oProxyCommand=reboot"',
        ),
        (
            '[hosts.a]\nkind = "ssh"\nworkspace = "runs"\n',
            "hosts.toml, line 3: hosts.a.workspace must be a folder's absolute path, or one under "
            '~/, not "runs"',
        ),
        (
            '[hosts.a]\nkind = "ssh"\ntags = ["fast", "two words"]\n',
            "hosts.toml, line 3: hosts.a.tags must be a list of words of up to 64 letters, digits, "
            '`.`, `_` and `-`, with a letter or digit first, not "two words"',
        ),
        (
            "[defaults]\nadress = 3\n",
            "hosts.toml, line 2: defaults.adress is no key that is known here; "
            "there is workspace, python, cpu_slots, slots_per_gpu",
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


@pytest.fixture
def own_file(tmp_path, monkeypatch) -> Path:
    """Return where the person's own hosts are; there is none yet."""
    path = tmp_path / "own.toml"
    monkeypatch.setenv("RLMASTER_HOSTS", str(path))
    return path


def test_another_computer_has_all_that_is_said_of_it(tmp_path):
    inventory = read(
        tmp_path,
        '[defaults]\nworkspace = "/data/rlmaster"\n[hosts.a]\nkind = "ssh"\n'
        '[hosts.b]\nkind = "ssh"\naddress = "me@[fe80::1]:2222"\nworkspace = "~/w"\n'
        'tags = ["a100", "quiet"]\n[hosts.local]\nkind = "local"\n',
    )
    assert inventory.hosts == (
        Host("a", "ssh", workspace="/data/rlmaster"),
        Host("b", "ssh", "me@[fe80::1]:2222", "~/w", ("a100", "quiet")),
        Host("local"),
    )


def test_the_own_file_changes_single_keys_and_adds_hosts(tmp_path, own_file):
    own_file.write_text(
        "[defaults]\ncpu_slots = 3\n"
        '[hosts.office]\naddress = "through-vpn"\n[hosts.mine]\nkind = "ssh"\n'
    )

    inventory = read(
        tmp_path,
        "[defaults]\ncpu_slots = 1\nslots_per_gpu = 2\n"
        '[hosts.office]\nkind = "ssh"\naddress = "office"\nnotes = "loud"\n'
        '[hosts.other]\nkind = "ssh"\ncpu_slots = 5\n',
    )

    shared = {"kind": "ssh", "slots_per_gpu": 2}
    assert inventory.hosts == (
        Host("office", address="through-vpn", notes="loud", cpu_slots=3, **shared),
        Host("other", cpu_slots=5, **shared),
        Host("mine", cpu_slots=3, **shared),
    )
    assert [host.origin for host in inventory.hosts] == [inventory.path] * 2 + [own_file]


def test_this_computer_stays_where_only_the_own_file_names_hosts(tmp_path, own_file):
    own_file.write_text('[hosts.mine]\nkind = "ssh"\n')

    hosts = read(tmp_path, "").hosts

    assert hosts == (Host("local"), Host("mine", "ssh"))
    assert hosts[0].origin is None


def test_the_own_file_says_that_a_host_is_this_computer(tmp_path, own_file):
    own_file.write_text('[hosts.office]\nkind = "local"\n')

    assert read(tmp_path, '[hosts.office]\nkind = "ssh"\naddress = "o"\n').hosts == (
        Host("office"),
    )


def test_mistakes_in_the_own_file_are_named_there(tmp_path, own_file):
    own_file.write_text(
        '[hosts.local]\naddress = "x"\n[hosts.mine]\ncpu_slots = 0\n[hosts.offcie]\n'
    )

    assert refusal(tmp_path, '[hosts.local]\nkind = "local"\nslot = 1\n') == [
        "hosts.toml, line 3: hosts.local.slot is no key that is known here; "
        "did you mean cpu_slots?",
        "own.toml, line 4: hosts.mine.cpu_slots must be a whole number from 1 to 1,024, not 0",
        'own.toml, line 2: hosts.local.address is for hosts of kind "ssh"; this one is "local"',
        'own.toml, line 3: hosts.mine has no kind; write kind = "ssh" or kind = "local"',
        'own.toml, line 5: hosts.offcie has no kind; write kind = "ssh" or kind = "local"',
    ]


def test_a_host_that_is_not_there_is_looked_for_in_both_files(tmp_path, own_file):
    own_file.write_text('[hosts.mine]\nkind = "ssh"\n')

    with pytest.raises(InventoryError, match=rf"hosts\.toml or {own_file}; did you mean mine\?"):
        read(tmp_path, "").find("mime")


def test_the_own_file_lies_where_configuration_does(tmp_path, monkeypatch):
    monkeypatch.delenv("RLMASTER_HOSTS")
    monkeypatch.setenv("HOME", "/home/me")
    for variable in ("", "relative"):
        monkeypatch.setenv("XDG_CONFIG_HOME", variable)
        assert user_hosts_path() == Path("/home/me/.config/rlmaster/hosts.toml")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert user_hosts_path() == tmp_path / "rlmaster" / "hosts.toml"


toml_lines = st.sampled_from(
    [
        "[hosts.a]",
        "[hosts]",
        "[[hosts]]",
        "[hosts.a.b]",
        "[defaults]",
        "kind='local'",
        "kind='ssh'",
        "address='a'",
        "tags=['a']",
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
    assert all(host.kind in ("local", "ssh") for host in hosts)
    assert all((host.cpu_slots or 1) >= 1 for host in hosts)
    assert not [host for host in hosts if host.kind == "local" and host.address]
