"""A catalog in a git repository: fetched at a pinned revision, read out of the object store, never checked out.

The repository is bare and lies in the state folder. Nothing of it is ever run: no hooks, no submodules, no filters, no
configuration but what is said here. Only repositories of ``PORTAL_CATALOG_SOURCES`` are asked for.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from django.conf import settings

from inventory.catalog import source
from portal.errors import Conflict, Invalid

MAX_REPOSITORY = 256 * 1024 * 1024
SECONDS = 60
_REF = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+-]{0,199}")
_ENTRY = re.compile(r"(\d{6}) (\w+) ([0-9a-f]+) +(\d+|-)\t(.+)", re.DOTALL)
_HARDENED = (
    *("-c", "core.hooksPath=/dev/null", "-c", "protocol.allow=never", "-c", "core.fsmonitor=false"),
    *("-c", "protocol.https.allow=always", "-c", "protocol.ssh.allow=always", "-c", "protocol.file.allow=always"),
    *("-c", "fetch.recurseSubmodules=false", "-c", "gc.auto=0", "-c", "transfer.fsckObjects=true"),
)
# The largest file that git may write is limited, and with it what a fetch can bring.
_LIMITED = (
    "import os, resource, sys; limit = int(sys.argv[1]); resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)); \
os.execvp(sys.argv[2], sys.argv[2:])"
)


@dataclass(frozen=True)
class Remote:
    """One entry of the allow-list: ``name=repository#ref:folder``. Without a name the repository's own is taken."""

    name: str
    repository: str
    ref: str
    folder: str

    @property
    def label(self) -> str:
        """Where it is, without a password that somebody may have put into the address."""
        return re.sub(r"//[^/@]*@", "//", self.repository)


@dataclass(frozen=True)
class Fetched:
    """The files of a catalog at one commit."""

    files: list[tuple[str, bytes | str]]
    commit: str


def remotes() -> dict[str, Remote]:
    """The repositories that may be read, by name."""
    found = {}
    for entry in filter(None, (entry.strip() for entry in settings.CATALOG_SOURCES)):
        named = re.match(r"([\w.-]+)=", entry)
        repository, _, pinned = entry[named.end() if named else 0 :].partition("#")
        name = named[1] if named else PurePosixPath(repository).name.removesuffix(".git")
        ref, _, folder = pinned.partition(":")
        found[name] = Remote(name, repository, ref or "HEAD", folder.strip("/"))
    return found


def fetch(name: str, ref: str = "") -> Fetched:
    """The catalog ``name`` at its pinned revision, or at another ``ref``: a branch, a tag or a whole commit id.

    Raises ``Invalid`` for a name or revision that cannot be, ``Conflict`` when the repository cannot be read now. Must
    not be called inside a transaction.
    """
    remote = remotes().get(name)
    if remote is None:
        raise Invalid("There is no such source.", [f"“{name[:80]}” is none of the sources that may be read."])
    ref = ref or remote.ref
    if not _REF.fullmatch(ref) or ".." in ref or ref.endswith((".lock", "/")):
        raise Invalid("This is no revision.", [f"“{ref[:80]}” is not the name of a branch, a tag or a commit."])
    folder = _store(remote)
    _git(folder, "fetch", "--quiet", "--no-tags", "--depth=1", "--force", "--", remote.repository, ref)
    commit = _git(folder, "rev-parse", "--verify", "FETCH_HEAD^{commit}").decode().strip()
    _bounded(folder)
    return Fetched(_files(folder, commit, remote), commit)


def _store(remote: Remote) -> Path:
    folder = settings.STATE_DIR / "catalogs" / f"{hashlib.sha256(remote.repository.encode()).hexdigest()[:20]}.git"
    if not (folder / "HEAD").exists():
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _git(folder.parent, "init", "--quiet", "--bare", "--template=", str(folder))
    return folder


def _bounded(folder: Path) -> None:
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if size > MAX_REPOSITORY:
        shutil.rmtree(folder, ignore_errors=True)
        raise Conflict(f"The repository is larger than {MAX_REPOSITORY // 1024 // 1024} MiB.")


def _files(folder: Path, commit: str, remote: Remote) -> list[tuple[str, bytes | str]]:
    where = f"{commit}:{remote.folder}" if remote.folder else f"{commit}^{{tree}}"
    listed = _git(folder, "ls-tree", "-z", "-l", where).decode(errors="replace").split("\x00")
    entries = [match.groups() for line in listed if (match := _ENTRY.fullmatch(line))]
    wanted = [entry for entry in entries if PurePosixPath(entry[4]).suffix in source.SUFFIXES]
    if not wanted:
        raise Invalid(
            "The catalog cannot be read.", [f"There is no .yaml file in {remote.folder or 'the repository'}."]
        )
    if len(wanted) > source.MAX_FILES:
        raise Invalid("The catalog cannot be read.", [f"There are more than {source.MAX_FILES} files in it."])
    return [(name, _blob(folder, mode, digest, size)) for mode, _, digest, size, name in sorted(wanted, key=_name)]


def _name(entry: tuple[str | None, ...]) -> str:
    return str(entry[4])


def _blob(folder: Path, mode: str, digest: str, size: str) -> bytes | str:
    """A file's bytes. A link is a blob that holds a path, a submodule is no blob at all."""
    if mode not in ("100644", "100755"):
        return "This is not a regular file."
    if not size.isdigit() or int(size) > source.MAX_FILE_BYTES:
        return f"The file is larger than {source.MAX_FILE_BYTES // 1024} KiB."
    return _git(folder, "cat-file", "blob", digest)


def _git(folder: Path, *words: str) -> bytes:
    limit = [sys.executable, "-c", _LIMITED, str(MAX_REPOSITORY), "git"]
    environment = {
        **{name: os.environ[name] for name in ("PATH", "SSH_AUTH_SOCK", "LANG") if name in os.environ},
        "HOME": str(settings.STATE_DIR),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "true",
        "GIT_SSH_COMMAND": "ssh -oBatchMode=yes",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_OPTIONAL_LOCKS": "0",
    }
    if words[0] == "init":
        command = [*limit, *_HARDENED, *words]
    else:
        command = [*limit, *_HARDENED, f"--git-dir={folder}", *words]
    try:
        done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise Conflict(f"The repository did not answer within {SECONDS} s.") from None
    except OSError:
        raise Conflict("The program git is not installed.") from None
    if done.returncode:
        # git may repeat an address with a password in it, so only the kind of failure is told.
        raise Conflict("The repository cannot be read.", [_told(words[0], done.stderr)])
    return done.stdout


def _told(word: str, said: bytes) -> str:
    text = said.decode(errors="replace").lower()
    known = {
        "couldn't find remote ref": "It has no such branch, tag or commit.",
        "not our ref": "It has no such commit.",
        "not found": "It is not there, or not for us.",
        "does not appear to be a git repository": "There is no git repository.",
        "dubious ownership": "It belongs to another account than the portal's.",
        "could not resolve host": "Its host is not known.",
        "authentication failed": "It wants other credentials.",
        "permission denied": "It wants other credentials.",
        "not a valid object name": "The folder is not in it.",
    }
    return next((sentence for words, sentence in known.items() if words in text), f"git {word} failed.")
