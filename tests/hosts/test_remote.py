import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lab import LabHost

from rlmaster.errors import HostError, RemoteError, SilenceError
from rlmaster.hosts import remote as remote_module
from rlmaster.hosts.inventory import Host
from rlmaster.hosts.remote import RemoteHost, cleaned, parse_answer

PACKAGE = Path(remote_module.__file__).parents[1]
HOSTILE = ["", "a'b\"c", "$(touch x)`touch x`", "a\nb;c", "-x", "--", "ü\x1b[2J", "\\", "!1", "*"]
ECHO = """\
import json, sys
print(json.dumps([sys.argv[1:], sys.stdin.buffer.read().hex()]))
"""
ECHO_ENVIRONMENT = """\
import json, os, sys
names = ("RLMASTER_PROJECT", "PYTHONUNBUFFERED")
answer = {"arguments": sys.argv[1:], "folder": os.getcwd(), "read": sys.stdin.read()}
print(json.dumps({**answer, **{name: os.environ[name] for name in names}}))
"""


@pytest.fixture
def script(tmp_path, monkeypatch) -> Callable[[str], str]:
    """Let a text be one of the scripts, and return what it is called."""
    monkeypatch.setattr(remote_module, "SCRIPTS", tmp_path)
    shutil.copy(PACKAGE / "hosts" / "scripts" / "exec_script.py", tmp_path)

    def write(text: str) -> str:
        (tmp_path / "script.py").write_text(text)
        return "script.py"

    return write


def refusal(call: Callable[[], object], kind: type[HostError] = HostError) -> str:
    with pytest.raises(HostError) as caught:
        call()
    assert type(caught.value) is kind
    assert str(caught.value).replace("\n", "").isprintable()
    return str(caught.value)


@pytest.mark.system
def test_a_script_gets_what_it_is_given_whatever_that_is(remote, script):
    name, content = script(ECHO), bytes(range(256)) * 5000
    said = remote.run_script(name, HOSTILE, content)
    assert json.loads(said) == [HOSTILE, content.hex()]


@pytest.mark.system
def test_a_script_runs_where_no_module_of_the_account_disturbs_it(office, remote, script):
    (office.home / "json.py").write_text("raise SystemExit('mine')")
    assert remote.run_script(script("import json; print('fine')")) == b"fine\n"


@pytest.mark.system
@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import sys; sys.exit('the reason\\x1b[2J')", "the reason\N{REPLACEMENT CHARACTER}[2J"),
        ("raise ValueError('the reason')", "ValueError: the reason"),
        ("raise SystemExit(3)", "the program there failed with exit code 3, without a word"),
        ("import os; os.kill(os.getpid(), 9)", "a signal ended the program there"),
        ("open('/small/x', 'wb').write(bytes(10**7))", "its disk is full ("),
    ],
)
def test_why_a_script_fails_is_one_sentence(office, remote, script, text, why):
    if "/small" in text:
        office.small_disk("/small", 1)
    said = refusal(lambda: remote.run_script(script(text)))
    assert said.startswith(f"office: {why}")


@pytest.mark.system
def test_a_script_that_does_not_end_is_not_waited_for(remote, script):
    name = script("import time; time.sleep(600)")
    said = refusal(lambda: remote.run_script(name, timeout_s=1), SilenceError)
    assert "did not end within" in said


@pytest.mark.system
def test_a_script_that_says_a_gigabyte_is_not_listened_to(remote, script):
    name = script("import sys\nwhile True: sys.stdout.write('x' * 65536)")
    assert "said more than 16,777,216 bytes" in refusal(lambda: remote.run_script(name))


@pytest.mark.system
def test_a_script_is_talked_to(remote, script):
    name = script(
        "import sys\nprint(sys.argv[1], flush=True)\nfor line in sys.stdin: print(line, end='')"
    )
    with remote.start_script(name, ["hello"]) as process:
        assert process.read(100, timeout_s=30) == b"hello\n"
        process.write(b"a\n")
        process.end_input()
        assert process.read(100, timeout_s=30) == b"a\n"
        assert process.read(100, timeout_s=30) == b""
        assert process.exit_code() == 0


@pytest.mark.system
def test_what_start_up_files_print_is_set_apart_and_kept(office, script):
    office.start_up_file("printf 'Welcome!\\n\\033[31mred\\n\\n'; echo complaint >&2\n")
    with RemoteHost.connect(Host("office", "ssh")) as remote:
        assert json.loads(remote.run_script(script(ECHO), ["a"], b"\1")) == [["a"], "01"]
        assert remote.noise == "Welcome!\n\N{REPLACEMENT CHARACTER}[31mred"
        said = refusal(lambda: remote.run_script(script("raise SystemExit(3)")))
        assert "complaint" not in said
        with remote.start_script(script("print('fine', flush=True)")) as process:
            assert process.read(100, timeout_s=30) == b"fine\n"


@pytest.mark.system
def test_a_start_up_file_that_reads_takes_nothing_from_a_program(office, script):
    office.start_up_file("read -t 0.1 line\n")
    with RemoteHost.connect(Host("office", "ssh")) as remote:
        assert json.loads(remote.run_script(script(ECHO), ["a"], b"\1")) == [["a"], "01"]


@pytest.mark.system
@pytest.mark.parametrize(
    ("text", "does", "kind"),
    [
        ("exit 1", "ends it before a program begins; see", HostError),
        ("echo gone >&2; exit 0", "ends it before a program begins (its last words: gone); see",
         HostError),
        ("kill -9 $$", "ends it before a program begins; see", HostError),
        ("exec sleep 600", "hangs, or the computer does; see", SilenceError),
        ("read line", "hangs, or the computer does; see", SilenceError),
        ("yes", "prints without end (its last words: y", HostError),
        ("yes | tr -d '\\n'", "prints without end (its last words: y", HostError),
    ],
)  # fmt: skip
def test_a_start_up_file_that_lets_no_program_begin_is_named(office, text, does, kind):
    office.start_up_file(f"{text}\n")
    with RemoteHost.connect(Host("office", "ssh")) as remote:
        timeout_s = 1 if kind is SilenceError else 30
        for call in (remote.run_script, remote.start_script):
            said = refusal(lambda call=call: call("probe_script.py", timeout_s=timeout_s), kind)
            assert said.startswith(
                f"office: a start-up file of the shell there, such as ~/.bashrc, {does}"
            )
            assert len(said) < 500


@pytest.fixture
def python3(office: LabHost, remote: RemoteHost) -> Callable[[str], None]:
    """Let the `python3` of the host be something else."""

    def replace(script: str) -> None:
        folder = office.home / "programs"
        folder.mkdir()
        for program in ("sh", "cat", "sleep"):
            (folder / program).symlink_to(f"/bin/{program}")
        if script:
            (folder / "python3").write_text(f"#!/bin/sh\n{script}\n")
            (folder / "python3").chmod(0o755)
        office.start_up_file("export PATH=~/programs\n")

    return replace


@pytest.mark.system
@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("", "there is no python3 on the PATH of its shell; install Python 3.8 or later"),
        (
            'exec /usr/bin/python3 -c "import sys; sys.version_info = (3, 6, 9); $3"',
            "its python3 is version 3.6, and 3.8 is needed",
        ),
    ],
)
def test_a_host_without_the_right_python_is_told_so(remote, python3, script, why):
    python3(script)
    for call in (remote.run_script, remote.start_script):
        assert refusal(lambda call=call: call("probe_script.py")) == f"office: {why}"


@pytest.mark.system
@pytest.mark.parametrize("shell", ["dash", "bash", "zsh", "fish", "tcsh"])
def test_every_login_shell_will_do(lab, shell, script):
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"{shell} is not installed")
    office = lab.add_host("office")
    passwd = office.folder / "etc" / "passwd"
    if not passwd.is_symlink():
        office.needs_namespaces()
    passwd.unlink()
    passwd.write_text(f"root:x:0:0::/root:{path}\nsshd:x:100:65534::/run/sshd:/bin/false\n")
    with RemoteHost.connect(Host("office", "ssh")) as remote:
        assert remote.connection.execute("echo $SHELL", timeout_s=30).stdout.decode() == f"{path}\n"
        assert json.loads(remote.run_script(script(ECHO), HOSTILE, b"\1")) == [HOSTILE, "01"]
        assert remote.noise == ""


@pytest.fixture
def workspace(office: LabHost) -> Path:
    """The usual workspace of the host, with a package that says how it was called."""
    folder = office.home / "rlmaster-workspace"
    code = folder / "code" / "rlmaster"
    code.mkdir(parents=True)
    (code / "__init__.py").touch()
    (code / "__main__.py").write_text(ECHO_ENVIRONMENT)
    return folder


@pytest.mark.system
def test_the_command_is_run_in_the_workspace_with_exact_arguments(lab, workspace, remote):
    code = "~/rlmaster-workspace/code"
    answer = remote.rlmaster(lab.python, code, "tag", *HOSTILE[:4], "-x", "--", *HOSTILE[5:])
    there = remote.connection.execute("cd rlmaster-workspace; pwd", timeout_s=30).stdout.decode()
    assert answer == {
        "arguments": ["tag", *HOSTILE[:4], "-x", "--json", "--", *HOSTILE[5:]],
        "folder": there.strip(),
        "read": "",
        "RLMASTER_PROJECT": there.strip(),
        "PYTHONUNBUFFERED": "1",
    }
    assert not list(workspace.glob("x"))


@pytest.mark.system
def test_the_workspace_may_be_another(lab, office, workspace):
    (office.home / "it's here").mkdir()
    with RemoteHost.connect(Host("office", "ssh", workspace="~/it's here")) as remote:
        answer = remote.rlmaster(lab.python, "~/rlmaster-workspace/code", "runs")
    assert str(answer["folder"]).endswith("/it's here")


@pytest.mark.system
def test_what_the_command_refuses_is_its_own_sentence(lab, office, workspace, remote):
    shutil.rmtree(workspace / "code")
    copied = workspace / "code" / "rlmaster"
    shutil.copytree(PACKAGE, copied, ignore=shutil.ignore_patterns("__pycache__"))
    (workspace / "experiments").mkdir()
    (workspace / "hosts.toml").touch()
    assert remote.rlmaster(lab.python, "~/rlmaster-workspace/code", "runs")["runs"] == []
    with pytest.raises(RemoteError, match=r"^office: there is no run in /") as caught:
        remote.rlmaster(lab.python, "~/rlmaster-workspace/code", "show", "nobody")
    assert caught.value.remote_exit_code == 2


@pytest.mark.system
def test_a_workspace_or_an_interpreter_that_is_not_there_is_named(lab, office, remote):
    said = refusal(lambda: remote.rlmaster(lab.python, "/code", "runs"), RemoteError)
    assert said.endswith("rlmaster-workspace: No such file or directory; `rlmaster hosts setup` "
                         "makes it")  # fmt: skip
    (office.home / "rlmaster-workspace").mkdir()
    said = refusal(lambda: remote.rlmaster("~/none", "/code", "runs"), RemoteError)
    assert said.endswith("none cannot be started: No such file or directory")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"null", b"[" * 100_000, b"{}{}"])
def test_an_answer_that_is_none_is_refused(content):
    with pytest.raises(HostError, match="office answered with something else than was asked"):
        parse_answer(content, "office")


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_whatever_is_said_is_shown_without_moving_the_cursor(said):
    assert all(line.isprintable() and line.strip() for line in cleaned(said).split("\n") if line)
    assert len(cleaned(said * 100)) <= remote_module.MOST_CHARACTERS
