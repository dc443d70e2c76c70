import subprocess
import sys
from collections.abc import Iterator

import pytest
from changed_hosts import set_up
from lab import LabHost
from waiting import wait_until

from rlmaster.errors import HostError, SilenceError
from rlmaster.ssh.connection import Connection

pytestmark = pytest.mark.system

LOST = r"^the connection to office was lost$"
SAY_MUCH = "head -c 10000000 /dev/zero"


@pytest.fixture
def connection(office: LabHost) -> Iterator[Connection]:
    with Connection.open(office.name) as connection:
        yield connection


def test_a_command_says_what_it_says_and_ends_as_it_ends(connection):
    done = connection.execute("cat; echo oh >&2; exit 3", b"a\0\xff", timeout_s=30)
    assert (done.stdout, done.stderr, done.exit_code) == (b"a\0\xff", b"oh\n", 3)


def test_much_goes_in_and_out_at_the_same_time(connection):
    content = bytes(range(256)) * 40_000
    done = connection.execute("cat; echo end >&2", content, timeout_s=60)
    assert done.stdout == content
    assert (done.stderr, done.exit_code) == (b"end\n", 0)


def test_input_that_is_not_wanted_is_no_error(connection):
    assert connection.execute("exit 4", bytes(10_000_000), timeout_s=60).exit_code == 4


def test_who_says_too_much_is_not_listened_to(connection):
    with pytest.raises(HostError, match="a command on office said more than 9,999,999 bytes"):
        connection.execute(SAY_MUCH, timeout_s=60, most_bytes=9_999_999)
    assert len(connection.execute(SAY_MUCH, timeout_s=60, most_bytes=10_000_000).stdout) == 10**7


def test_of_much_on_stderr_the_end_is_kept(connection):
    done = connection.execute(f"{SAY_MUCH} >&2; echo end >&2; echo out", timeout_s=60)
    assert done.stdout == b"out\n"
    assert len(done.stderr) < 100_000
    assert done.stderr.endswith(b"\0end\n")


@pytest.mark.parametrize("command", ["sleep 600", "cat /dev/zero >&2", "sleep 600 & exit 0"])
def test_a_command_that_does_not_end_is_not_waited_for(connection, command):
    with pytest.raises(SilenceError, match="a command on office did not end within 1 s"):
        connection.execute(command, timeout_s=1)
    assert connection.execute("echo and on", timeout_s=30).stdout == b"and on\n"


def test_a_command_that_a_signal_ends_is_told_from_a_lost_connection(connection):
    done = connection.execute("echo a; kill -9 $$", timeout_s=30)
    assert (done.stdout, done.exit_code) == (b"a\n", None)
    assert connection.is_alive


def test_a_connection_that_is_lost_in_the_middle_is_an_error(connection, office):
    with connection.start("echo a; sleep 600") as process:
        assert process.read(100, timeout_s=30) == b"a\n"
        office.kill_sshd()
        with pytest.raises(HostError, match=LOST):
            process.read(100, timeout_s=60)
        with pytest.raises(HostError, match=LOST):
            process.exit_code(timeout_s=60)
        with pytest.raises(HostError, match=LOST):
            process.write(b"x", timeout_s=60)
    assert not connection.is_alive
    with pytest.raises(HostError, match=LOST):
        connection.execute("true", timeout_s=30)


def test_a_command_is_talked_to(connection):
    with connection.start("while read x; do echo $x $x; done; echo bye") as process:
        for word in (b"a", b"b"):
            process.write(word + b"\n")
            assert process.read(100, timeout_s=30) == word + b" " + word + b"\n"
        process.end_input()
        assert process.read(1, timeout_s=30) == b"b"
        assert process.read(100, timeout_s=30) == b"ye\n"
        assert process.read(100, timeout_s=30) == b""
        assert process.exit_code() == 0


def test_silence_has_a_bound_and_the_command_may_speak_afterwards(connection):
    with connection.start("read x; echo $x") as process:
        with pytest.raises(SilenceError, match=r"a command on office said nothing for 0\.2 s"):
            process.read(100, timeout_s=0.2)
        process.write(b"x\n")
        assert process.read(100, timeout_s=30) == b"x\n"


def test_a_command_that_reads_nothing_is_not_waited_for(connection):
    with (
        connection.start("sleep 600") as process,
        pytest.raises(SilenceError, match="did not take its input within 1 s"),
    ):
        process.write(bytes(50_000_000), timeout_s=1)


def write_on(process):
    while True:
        process.write(b"x")


def test_a_command_that_has_ended_takes_no_input(connection):
    with connection.start("exit 0") as process:
        assert process.exit_code() == 0
        with pytest.raises(HostError, match="ended before it had taken its input"):
            write_on(process)  # the word that it is closed follows that of how it ended


def test_a_command_learns_that_nobody_listens_any_more(connection, office):
    process = connection.start("cat > /dev/null; echo over > over; exec sleep 600")
    process.close()
    wait_until((office.home / "over").exists)


def test_commands_run_side_by_side(connection):
    processes = [connection.start("cat") for _ in range(20)]
    for number, process in enumerate(processes):
        process.write(b"%d" % number)
    assert [process.read(9, timeout_s=30) for process in processes] == [
        b"%d" % number for number in range(20)
    ]


def test_an_account_that_may_hold_few_sessions_is_told_so(office):
    set_up(office, "MaxSessions 1")
    with Connection.open("office") as connection, connection.start("cat") as process:
        with pytest.raises(
            HostError, match=r"office refuses to start a command .* try again later"
        ):
            connection.start("true")
        process.end_input()
        assert process.read(1, timeout_s=30) == b""


def test_a_stopped_server_holds_nobody(connection, office):
    office.pause_sshd(sessions=True)
    for call in (
        lambda: connection.execute("true", timeout_s=1),
        lambda: connection.start("true", timeout_s=1),
    ):
        with pytest.raises(SilenceError, match="office started no command within 1 s"):
            call()
    office.resume_sshd()
    assert connection.execute("echo and on", timeout_s=30).stdout == b"and on\n"


QUIET = """\
import logging, sys
from rlmaster.errors import HostError
from rlmaster.ssh.connection import Connection
logging.basicConfig(level=logging.DEBUG)
logging.getLogger("paramiko").setLevel(logging.DEBUG)
connection = Connection.open("office")
process = connection.start("sleep 600")
print("ready", flush=True)
try:
    process.read(1, timeout_s=60)
except HostError as error:
    print(error)
"""


def test_the_library_writes_nothing_to_the_screen(office):
    child = subprocess.Popen(
        [sys.executable, "-c", QUIET], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout
        assert child.stdout.readline() == "ready\n"
        office.kill_sshd()
        assert child.communicate() == ("the connection to office was lost\n", "")
