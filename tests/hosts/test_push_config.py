import stat
import tomllib
from pathlib import Path

import pytest

from rlmaster.errors import HostError, UsageError
from rlmaster.hosts.inventory import Host
from rlmaster.hosts.push_config import remove_push_config, send_push_config
from rlmaster.hosts.remote import RemoteHost
from rlmaster.user_config import PATH_VARIABLE, UserConfig, read_user_config

pytestmark = pytest.mark.system

SECRET = 'ntfys://me:s3cret@example.org/tøpic-"quoted"-\\-\''
CONFIG = UserConfig(Path("config.toml"), (SECRET, "json://x"), True, frozenset({"lost", "failed"}))


@pytest.fixture
def file(office) -> Path:
    """Return where the file is, or would be, on the host."""
    return office.home / ".config" / "rlmaster" / "config.toml"


@pytest.mark.usefixtures("namespaces")
def test_workers_there_read_the_same_addresses_and_kinds(remote, file, monkeypatch):
    assert send_push_config(remote, CONFIG) == "/root/.config/rlmaster/config.toml"

    monkeypatch.setenv(PATH_VARIABLE, str(file))
    there = read_user_config()
    assert (there.push, there.kinds, there.desktop) == (CONFIG.push, CONFIG.kinds, False)
    assert there.warning == ""
    assert set(tomllib.loads(file.read_text())) == {"notify"}


def test_nobody_else_may_read_it_or_anything_beside_it(remote, file):
    send_push_config(remote, CONFIG)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [path.name for path in file.parent.iterdir()] == ["config.toml"]


@pytest.mark.usefixtures("namespaces")
def test_it_is_replaced_and_taken_back(remote, file):
    send_push_config(remote, CONFIG)
    send_push_config(remote, UserConfig(Path("c"), ("json://other",)))

    assert SECRET not in file.read_text()
    assert "json://other" in file.read_text()

    for _ in range(2):  # also where there is none
        assert remove_push_config(remote) == "/root/.config/rlmaster/config.toml"
        assert not file.exists()


@pytest.mark.parametrize("action", [lambda r: send_push_config(r, CONFIG), remove_push_config])
def test_what_a_person_wrote_there_is_left_alone(remote, file, action):
    file.parent.mkdir(parents=True)
    file.write_text("# mine\n")

    with pytest.raises(HostError, match="was not written by `rlmaster hosts setup --push`"):
        action(remote)

    assert file.read_text() == "# mine\n"


def test_without_addresses_there_is_nothing_to_send(remote, file):
    with pytest.raises(UsageError, match="has no push addresses"):
        send_push_config(remote, UserConfig(Path("config.toml")))

    assert not file.exists()


def test_no_program_there_has_an_address_among_its_arguments(lab, office, file):
    program = lab.shared / "bin" / "python3"
    program.parent.mkdir()
    program.write_text(
        '#!/bin/sh\necho "$0 $*" >>/root/started\nenv >>/root/started\nexec /usr/bin/python3 "$@"\n'
    )
    program.chmod(0o755)
    office.set_environment({"PATH": "/srv/shared/bin:/usr/bin:/bin"})

    with RemoteHost.connect(Host("office", "ssh")) as remote:
        send_push_config(remote, CONFIG)

    started = (office.home / "started").read_text()
    assert "python3" in started
    assert "s3cret" not in started
    assert SECRET.split('"')[0] in file.read_text()


def test_a_full_disk_keeps_the_old_one_and_repeats_no_address(office, remote, file):
    send_push_config(remote, UserConfig(Path("c"), ("json://old",)))
    content = file.read_text()
    office.small_disk("/full", 1)
    office.set_environment({"XDG_CONFIG_HOME": "/full"})
    office.inside("/full/rlmaster").mkdir()
    office.inside("/full/rlmaster/config.toml").write_text(content)
    office.fill("/full")

    with RemoteHost.connect(Host("office", "ssh")) as again, pytest.raises(HostError) as caught:
        send_push_config(again, CONFIG)

    assert "No space left on device" in str(caught.value)
    assert "s3cret" not in str(caught.value)
    left = list(office.inside("/full/rlmaster").iterdir())
    assert [path.read_text() for path in left] == [content]
