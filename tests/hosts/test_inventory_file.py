import multiprocessing
import os
import tomllib
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlmaster.errors import InventoryError
from rlmaster.hosts.inventory import read_inventory
from rlmaster.hosts.inventory_file import HostsEditor

SHIPPED = (Path(__file__).parents[2] / "hosts.toml").read_text()
THREE_HOSTS = """\
# Our computers.

[defaults]
cpu_slots = 1     # each is small

# The one that I sit at
[hosts.local]
kind="local"

# The big one, which hums
[ hosts . "office" ]  # beside the door
kind = "ssh"
tags = [
  "a100",  # two of them
]

# The old one
[hosts.attic]
kind = 'ssh'
# the end
"""


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "hosts.toml"


@pytest.fixture
def own_file(tmp_path, monkeypatch) -> Path:
    path = tmp_path / "home" / "rlmaster" / "hosts.toml"
    monkeypatch.setenv("RLMASTER_HOSTS", str(path))
    return path


def test_a_host_is_added_below_all_that_is_there(file):
    file.write_text(SHIPPED)

    host = HostsEditor(file).add(
        "gpu1",
        {"kind": "ssh", "address": None, "tags": ["a100", "quiet"], "notes": 'say "hi" \\ ü'},
    )

    added = (
        '\n[hosts.gpu1]\nkind = "ssh"\ntags = ["a100", "quiet"]\nnotes = "say \\"hi\\" \\\\ ü"\n'
    )
    assert file.read_text() == SHIPPED + added
    assert read_inventory(file).find("gpu1") == host
    assert (host.tags, host.notes) == (("a100", "quiet"), 'say "hi" \\ ü')


def test_a_host_goes_and_every_comment_outside_it_stays(file):
    file.write_text(THREE_HOSTS)

    HostsEditor(file).remove("office")

    begin, end = THREE_HOSTS.index("[ hosts"), THREE_HOSTS.index("\n# The old one")
    assert file.read_text() == THREE_HOSTS[:begin] + THREE_HOSTS[end:]
    assert [host.name for host in read_inventory(file).hosts] == ["local", "attic"]


def test_the_last_host_of_a_file_goes_without_a_trace_of_its_place(file):
    file.write_text('[hosts.local]\nkind = "local"\n\n[hosts.gpu1]\nkind = "ssh"\n')

    HostsEditor(file).remove("gpu1")

    assert file.read_text() == '[hosts.local]\nkind = "local"\n'


def test_line_ends_of_another_system_stay(file):
    text = THREE_HOSTS.replace("\n", "\r\n").encode()
    file.write_bytes(text)

    HostsEditor(file).remove("attic")

    assert text.startswith(file.read_bytes().partition(b"# the end")[0])
    assert file.read_bytes().endswith(b"# the end\r\n")


names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", fullmatch=True).filter(
    lambda name: name not in {"auto", "local", "office", "attic"}
)
printable = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Zl", "Zp", "Zs")))


@given(name=names, notes=printable, tags=st.lists(st.sampled_from(["a100", "b.c-d"])))
@pytest.mark.parametrize("text", [SHIPPED, THREE_HOSTS, '[hosts.local]\nkind = "local"'])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_added_reads_back_and_goes_again(file, text, name, notes, tags):
    file.write_text(text)
    editor = HostsEditor(file)

    host = editor.add(name, {"kind": "ssh", "notes": notes, "tags": tags})
    assert (host.name, host.notes, host.tags) == (name, notes, tuple(tags))
    editor.remove(name)

    assert file.read_text() == text.rstrip("\n") + "\n"


def test_this_computer_is_written_down_with_the_first_other_one(file):
    HostsEditor(file).add("gpu1", {"kind": "ssh"})

    assert [host.name for host in read_inventory(file).hosts] == ["local", "gpu1"]
    assert list(tomllib.loads(file.read_text())["hosts"]) == ["local", "gpu1"]


def test_the_persons_own_file_is_made_and_the_projects_stays(file, own_file):
    file.write_text(SHIPPED)

    host = HostsEditor(file, for_user=True).add("mine", {"kind": "ssh"})

    assert host.origin == own_file
    assert own_file.read_text() == '[hosts.mine]\nkind = "ssh"\n'
    assert file.read_text() == SHIPPED
    HostsEditor(file, for_user=True).remove("mine")
    assert own_file.read_text() == ""


@pytest.mark.parametrize(
    ("name", "keys", "problem"),
    [
        ("office", {"kind": "ssh"}, "there is a host 'office' in .*hosts.toml already; change"),
        ("auto", {"kind": "ssh"}, "hosts.auto is no name for a host"),
        ("a b", {"kind": "ssh"}, "is no name for a host"),
        ('x"]\n[hosts.y', {"kind": "ssh"}, "is no name for a host"),
        ("new", {"kind": "ssh", "address": "-x"}, "hosts.new.address must be a name from"),
        ("new", {"kind": "ssh", "notes": "a\nb"}, "hosts.new.notes must be one line"),
    ],
)
def test_what_would_not_be_valid_is_not_written(file, name, keys, problem):
    file.write_text(THREE_HOSTS)

    with pytest.raises(InventoryError, match=problem):
        HostsEditor(file).add(name, keys)

    assert file.read_text() == THREE_HOSTS


@pytest.mark.parametrize(
    ("text", "name", "problem"),
    [
        (THREE_HOSTS, "offcie", "no host 'offcie' .*; did you mean office?"),
        ("", "local", "has no host 'local': it is this computer"),
        ('[hosts]\na = {kind = "ssh"}\n', "a", r"as a table \[hosts.a\]; remove it in an editor"),
        ('hosts.a.kind = "ssh"\n', "a", r"as a table \[hosts.a\]; remove it in an editor"),
    ],
)
def test_what_cannot_be_removed_stays(file, text, name, problem):
    file.write_text(text)

    with pytest.raises(InventoryError, match=problem):
        HostsEditor(file).remove(name)

    assert file.read_text() == text


def test_the_file_that_has_a_host_is_named(file, own_file):
    HostsEditor(file).add("gpu1", {"kind": "ssh"})
    HostsEditor(file, for_user=True).add("mine", {"kind": "ssh"})

    with pytest.raises(InventoryError, match=f"{own_file} has it: add --user"):
        HostsEditor(file).remove("mine")
    with pytest.raises(InventoryError, match=f"{file} has it: leave out --user"):
        HostsEditor(file, for_user=True).remove("gpu1")


def test_a_host_that_the_own_file_changes_cannot_go_before_the_changes(file, own_file):
    HostsEditor(file).add("gpu1", {"kind": "ssh"})
    own_file.parent.mkdir(parents=True)
    own_file.write_text("[hosts.gpu1]\ncpu_slots = 3\n")

    with pytest.raises(InventoryError, match=r"nothing was changed, for then\n.*has no kind"):
        HostsEditor(file).remove("gpu1")


def test_a_link_and_who_may_read_stay(file, tmp_path):
    kept = tmp_path / "kept.toml"
    kept.write_text(SHIPPED)
    kept.chmod(0o600)
    file.symlink_to(kept)

    HostsEditor(file).add("gpu1", {"kind": "ssh"})

    assert file.is_symlink()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert kept.read_text().startswith(SHIPPED)


def test_a_folder_that_cannot_be_made_is_named(file, own_file):
    own_file.parent.parent.write_text("not a folder")

    with pytest.raises(InventoryError, match="cannot be changed"):
        HostsEditor(file, for_user=True).add("mine", {"kind": "ssh"})


def add_many(file: Path, process: int, begin: Barrier) -> None:
    """Add hosts as fast as it goes, once the other process is there too."""
    os.environ["RLMASTER_HOSTS"] = os.devnull
    begin.wait(60)
    for number in range(10):
        HostsEditor(file).add(f"gpu{process}-{number}", {"kind": "ssh"})


def test_of_hosts_that_are_added_at_once_none_is_lost(file):
    context = multiprocessing.get_context("spawn")
    begin = context.Barrier(2)
    adding = [context.Process(target=add_many, args=(file, n, begin)) for n in range(2)]
    for process in adding:
        process.start()
    for process in adding:
        process.join(60)

    assert [process.exitcode for process in adding] == [0, 0]
    assert len(read_inventory(file).hosts) == 1 + 2 * 10
