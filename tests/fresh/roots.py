"""Root directories: made once by mmdebstrap, kept as archives, unpacked for one use."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SYSTEMS = {"debian-12": "bookworm", "debian-13": "trixie", "debian-sid": "sid"}
"""Their names here, and Debian's."""
# What the README asks for: Python with venv and its headers, a C compiler, make.
PREREQUISITES = ("python3-venv", "python3-dev", "gcc", "libc6-dev", "make")
USER = "user"
UID = 1000


class UnavailableError(Exception):
    """A system cannot be made here."""


def said_by(*command: str) -> str:
    """What a command prints; nothing, where it cannot be run."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except OSError:
        return ""


def mirror() -> str:
    """Where this host takes Debian's packages from; nothing where it is no Debian."""
    targets = said_by(
        "apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages",
        "Origin: Debian", "Label: Debian",
    )  # fmt: skip
    return next(iter(targets.split()), "")


def apt_settings() -> str:
    """How this host's apt goes to its mirror: proxies, certificates, what it believes."""
    kept = ("Acquire::http", "Acquire::https", "Acquire::Check-Valid-Until")
    lines = said_by("apt-config", "dump").splitlines()
    return "".join(f"{line}\n" for line in lines if line.startswith(kept) and '""' not in line)


def pip_settings() -> dict[str, str]:
    """How this host's pip goes to its index, from its files and its environment."""
    settings = {}
    for line in said_by(sys.executable, "-m", "pip", "config", "list").splitlines():
        name, _, value = line.partition("=")
        section, _, key = name.rpartition(".")
        if section in ("global", ":env:"):
            settings[key] = str(ast.literal_eval(value))
    proxy = os.environ.get("https_proxy") or os.environ.get("HTTPS_PROXY")
    if proxy:
        settings.setdefault("proxy", proxy)
    return settings


def host_paths() -> list[str]:
    """Files and folders of this host that pip's settings speak of."""
    words = " ".join(pip_settings().values()).split()
    paths = [word for word in words if word.startswith("/")]
    # An index on the disk is a folder of pages, and keeps its files beside that.
    paths += [str(Path(word[7:]).parent) for word in words if word.startswith("file:///")]
    return [path for path in paths if Path(path).exists()]


def base(system: str, cache: Path, *, anew: bool = False) -> Path:
    """The archive of a system, made if there is none yet; raises UnavailableError."""
    archive = cache / f"{system}.tar"
    if anew or not archive.exists():
        if shutil.which("mmdebstrap") is None:
            raise UnavailableError("mmdebstrap is not installed: apt-get install mmdebstrap")
        print(f"{system}: making {archive}", flush=True)
        cache.mkdir(parents=True, exist_ok=True)
        made = archive.with_suffix(".new.tar")
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as settings:
            settings.write(apt_settings())
            settings.flush()
            command = [
                "mmdebstrap", "--quiet", "--variant=minbase", f"--aptopt={settings.name}",
                f"--include={','.join(PREREQUISITES)}",
                SYSTEMS[system], str(made), *mirror().split(),
            ]  # fmt: skip
            done = subprocess.run(command, stdin=subprocess.DEVNULL, check=False)
        if done.returncode:
            made.unlink(missing_ok=True)
            raise UnavailableError(f"mmdebstrap could not make {system}")
        made.rename(archive)
    return archive


@contextmanager
def unpacked(archive: Path, sources: Path) -> Iterator[Path]:
    """The system in a folder of its own, with a user, pip set up, and our sources in both homes."""
    folder = Path(tempfile.mkdtemp(prefix="dr-fresh-", dir=archive.parent))
    try:
        folder.chmod(0o755)
        subprocess.run(
            ["tar", "-x", "-C", folder, "--numeric-owner", "--exclude=./dev/*", "-f", archive],
            check=True,
        )
        _set_up(folder)
        for home, owner in (("root", 0), (f"home/{USER}", UID)):
            _copy(sources, folder / home / "dr_forwarder", owner)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _set_up(root: Path) -> None:
    useradd = ["useradd", "--root", str(root), "--create-home", "--uid", str(UID), USER]
    subprocess.run(useradd, check=True)
    lines = "".join(f"{key} = {value}\n" for key, value in pip_settings().items())
    (root / "etc/pip.conf").write_text(f"[global]\n{lines}")
    for name in ("resolv.conf", "hosts"):
        there = root / "etc" / name
        there.unlink(missing_ok=True)
        there.write_text((Path("/etc") / name).read_text())


def _copy(sources: Path, to: Path, owner: int) -> None:
    """What git tracks or would track, as it is now; without its history, as in a release."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=sources, capture_output=True, check=True).stdout
    to.mkdir()
    for name in filter(None, names.decode().split("\0")):
        if (sources / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(sources / name, to / name)
    subprocess.run(["chown", "-R", f"{owner}:{owner}", to], check=True)
