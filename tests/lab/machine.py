"""What a host sees of the machine that it runs on: its programs and libraries, and nothing else."""

import secrets
import sys
import sysconfig
import uuid
from collections.abc import Mapping
from pathlib import Path

PYTHON = "/opt/environment/bin/python"
"""An interpreter in every host that has all libraries, and not the package under test."""
HOST_FOLDER = "/opt/host"
SHARED_FOLDER = "/srv/shared"
GPUS_FILE = f"{HOST_FOLDER}/gpus.txt"
SEARCHED = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin:/opt/environment/bin"
OWN_ETC = ("hostname", "hosts", "machine-id", "ssh", "shadow", "resolv.conf")
"""What a host has in /etc of its own; the rest is the machine's."""
PACKAGES_UNDER_TEST = ("rlmaster", "tui")

SSHD_CONFIG = """\
HostKey {key}
PidFile {pid_file}
AuthorizedKeysFile {authorized_keys}
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
MaxStartups 100:30:300
MaxSessions 50
Subsystem sftp internal-sftp
SetEnv {environment}
"""


def environment() -> dict[str, str]:
    """Return the environment of whoever logs in, besides what sshd and the shell set."""
    libraries = [f"{HOST_FOLDER}/lib"]
    if sysconfig.get_config_var("Py_ENABLE_SHARED") and sys.base_prefix != "/usr":
        libraries.append("/opt/python/lib")
    return {"PATH": SEARCHED, "LD_LIBRARY_PATH": ":".join(libraries), "FAKE_GPUS": GPUS_FILE}


def sshd_config(
    environment: Mapping[str, str],
    *,
    key: str | Path = "/etc/ssh/host_key",
    pid_file: str | Path = "/run/sshd.pid",
    authorized_keys: str | Path = ".ssh/authorized_keys",
) -> str:
    """Return what sshd of a host reads when it starts."""
    settings = " ".join(f'"{name}={value}"' for name, value in environment.items())
    return SSHD_CONFIG.format(
        environment=settings, key=key, pid_file=pid_file, authorized_keys=authorized_keys
    )


def make_environment(folder: Path) -> None:
    """Make the folder that hosts see as /opt/environment: this Python's libraries, by links."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = folder / "lib" / version / "site-packages"
    packages.mkdir(parents=True)
    (folder / "bin").mkdir()
    (folder / "pyvenv.cfg").write_text(
        "home = /opt/python/bin\ninclude-system-site-packages = false\n"
    )
    for name in ("python", "python3"):
        (folder / "bin" / name).symlink_to(f"/opt/python/bin/{version}")
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if path.name not in PACKAGES_UNDER_TEST and "rlmaster" not in path.name:
            (packages / path.name).symlink_to(f"/opt/libraries/{path.name}")


def make_etc(folder: Path, name: str) -> None:
    """Make a host's /etc: the machine's, by links, but for what tells one host from another."""
    (folder / "ssh").mkdir(parents=True)
    (folder / "hostname").write_text(f"{name}\n")
    (folder / "hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {name}\n")
    (folder / "machine-id").write_text(secrets.token_hex(16) + "\n")
    (folder / "resolv.conf").write_text("")
    (folder / "shadow").write_text("root:*:19000:0:99999:7:::\n")
    for path in Path("/etc").iterdir():
        if path.name not in OWN_ETC:
            (folder / path.name).symlink_to(f"/opt/etc/{path.name}")


def write_fstab(folder: Path, lab_folder: Path, home: Path) -> None:
    """Write what is mounted where under `root` for a host's next start.

    A new boot id is among it.
    """
    (folder / "boot_id").write_text(f"{uuid.uuid4()}\n")
    packages = sysconfig.get_path("purelib")
    temporary = "tmpfs mode=1777,size=2g"
    mounts = [
        ("tmpfs", "", "tmpfs mode=755,size=64m"),
        ("proc", "/proc", "proc defaults"),
        (folder / "boot_id", "/proc/sys/kernel/random/boot_id", "none bind"),
        ("/dev", "/dev", "none rbind"),
        ("tmpfs", "/dev/shm", temporary),
        ("/sys", "/sys", "none rbind,ro"),
        *((f"/{name}", f"/{name}", "none rbind,ro") for name in _program_folders()),
        ("/etc", "/opt/etc", "none bind,ro"),
        (sys.base_prefix, "/opt/python", "none bind,ro"),
        (packages, "/opt/libraries", "none bind,ro"),
        (lab_folder / "environment", "/opt/environment", "none bind,ro"),
        (folder / "host", HOST_FOLDER, "none bind"),
        (folder / "etc", "/etc", "none bind"),
        (home, "/root", "none bind"),
        (lab_folder / "shared", SHARED_FOLDER, "none bind"),
        ("tmpfs", "/tmp", temporary),
        ("tmpfs", "/run", "tmpfs mode=755"),
    ]
    lines = [
        f"{_word(source)} {_word(f'{folder}/root{target}')} {options}"
        + (",X-mount.mkdir" if target.count("/") < 3 and target else "")
        for source, target, options in mounts
    ]
    (folder / "fstab").write_text("\n".join(lines) + "\n")


def _program_folders() -> list[str]:
    """Return the folders of programs that are no links into /usr."""
    names = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32")
    return [name for name in names if Path("/", name).is_dir() and not Path("/", name).is_symlink()]


def _word(path: str | Path) -> str:
    """Return a path as fstab(5) takes it."""
    return str(path).replace("\\", "\\134").replace(" ", "\\040").replace("\t", "\\011")
