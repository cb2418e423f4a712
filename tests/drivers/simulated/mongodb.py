"""The MongoDB driver before a replica set that exists only in memory; its state is that of the wire simulator."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, ClassVar

from pymongo.errors import AutoReconnect, NotPrimaryError, OperationFailure

from drivers.acts import Act
from drivers.base import Driver
from drivers.mongodb import MongoDB
from drivers.secret import SecretStore
from tests.drivers.contract import World
from tests.drivers.simulated.mongodb_wire import ReplicaSet

NAMES = ["127.0.0.1:27017", "127.0.0.1:27018", "127.0.0.1:27019"]


class Client:
    """What the driver asks of pymongo's client, answered without a network."""

    def __init__(self, replica_set: ReplicaSet, member: str) -> None:
        self.replica_set, self.member = replica_set, member
        self.admin = SimpleNamespace(command=self.command)
        self.local = {"oplog.rs": SimpleNamespace(find_one=self.end)}

    def command(self, name: str, value: Any = 1, **more: Any) -> dict[str, Any]:
        answer = self.replica_set.answer(self.member, {name: value, **more})
        if answer["ok"]:
            return answer
        if answer["code"] == 10107:
            raise NotPrimaryError(answer["errmsg"], answer)
        raise OperationFailure(answer["errmsg"], answer["code"], answer)

    def end(self, *_: Any, sort: list[tuple[str, int]], **__: Any) -> dict[str, Any]:
        return self.command("find", "oplog.rs", sort=dict(sort))["cursor"]["firstBatch"][0]

    def close(self) -> None:
        pass


class ReplicaSetWorld(World):
    """Three members with a shared state; the acts are tried on the one where they make sense."""

    driver_class: ClassVar[type[Driver]] = MongoDB
    examples: ClassVar[dict[str, dict[str, Any]]] = {
        "step-down": {"lag_limit_seconds": 10, "stay_down_seconds": 60},
        "freeze": {"seconds": 600},
    }

    def __init__(self, replica_set: ReplicaSet) -> None:
        self.replica_set = replica_set
        self.member = next(iter(replica_set.members))

    def facts(self, member: str) -> dict[str, Any]:
        host, _, port = member.rpartition(":")
        plain = {"user": None, "password": None, "ca": None, "tls": False}
        return {"host": host, "port": int(port), "replica_set": self.replica_set.name, **plain}

    def driver(self) -> MongoDB:
        return MongoDB(self.facts(self.member), SecretStore())

    def prepare(self, act: Act[Any, Any]) -> None:
        for each in self.replica_set.members.values():
            each.stepped_down, each.frozen_seconds = False, 0
        leader = self.replica_set.primary()
        others = [name for name in self.replica_set.members if name != leader]
        self.member = str(leader if act.name == "step-down" else others[0])

    def picture(self) -> Any:
        return [(each.name, each.state, each.frozen_seconds) for each in self.replica_set.members.values()]


class SimulatedMongoDB(ReplicaSetWorld):
    def __init__(self) -> None:
        replica_set = ReplicaSet(NAMES)
        super().__init__(replica_set)

        class InMemory(MongoDB):
            def client(self, read_seconds: float) -> Any:
                if self.where not in replica_set.members:
                    raise AutoReconnect("connection refused")
                return Client(replica_set, self.where)

        self._class = InMemory

    def driver(self) -> MongoDB:
        return self._class(self.facts(self.member), SecretStore())

    def unreachable(self) -> MongoDB:
        return self._class(self.facts("127.0.0.1:1"), SecretStore())


SIMULATED = {"mongodb": SimulatedMongoDB}
