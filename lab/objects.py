"""Object storage: one SeaweedFS server with a bucket and a key pair per environment."""

from __future__ import annotations

import contextlib
import json
from functools import partial
from pathlib import Path
from typing import Any

from drivers import web
from lab import broken, files, programs
from lab.daemon import Daemon, until
from lab.layout import ENVIRONMENTS, Lab
from lab.ports import OBJECTS
from lab.unit import Row, Unit, require

REGION = "us-east-1"
_PROBE = ".lab/ready"


def bucket(environment: str) -> str:
    """The bucket of an environment."""
    return f"edye-cloud-{environment}"


class Objects(Unit):
    """SeaweedFS, keys `<env>/us-central/objects`. A key pair reaches the bucket of its own environment only."""

    def __init__(self, lab: Lab, numbers: dict[str, int], environments: set[str]) -> None:
        super().__init__(lab, "objects", environments)
        self.numbers = {part: numbers[f"objects/{part}"] for part in OBJECTS}
        self.endpoint = f"http://127.0.0.1:{self.numbers['s3']}"
        # A polite stop takes 17 s, its parts wait for one another; killed, it has lost nothing and starts again in 3 s.
        self.daemon = Daemon(
            lab, self.name, self._argv(), self.check, prepare=self.prepare, grace=2, leftovers=self._sockets()
        )
        self.stages = [[self.daemon]]

    def _argv(self) -> list[str]:
        flags = {
            "dir": self.lab.of("objects"),
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "master.port": self.numbers["master"],
            "master.port.grpc": self.numbers["master-grpc"],
            "master.volumeSizeLimitMB": 64,
            "master.telemetry": "false",
            "master.electionTimeout": "1s",  # it is alone; its own 10 s would be waited out at each start
            "volume.port": self.numbers["volume"],
            "volume.port.grpc": self.numbers["volume-grpc"],
            "volume.max": 20,
            "volume.preStopSeconds": 1,
            "filer.port": self.numbers["filer"],
            "filer.port.grpc": self.numbers["filer-grpc"],
            "filer.localSocket": self.lab.runtime / "filer.sock",
            "s3.port": self.numbers["s3"],
            "s3.port.grpc": self.numbers["s3-grpc"],
            "s3.port.iceberg": 0,  # these two listen on fixed ports unless told not to, and a taken one ends the server
            "s3.port.lance": 0,
            "s3.localSocket": self.lab.runtime / "s3.sock",
            "s3.config": self._config,
        }
        named = [f"-{name}={value}" for name, value in flags.items()]
        return [str(programs.weed()), "-logtostderr=true", "server", *named, "-filer", "-s3"]

    @property
    def _config(self) -> Path:
        return self.lab.root / "secrets" / "objects.json"

    def _sockets(self) -> tuple[Path, ...]:
        """Sockets named after ports, which a killed server leaves in /tmp whatever TMPDIR says."""
        parts = ("master", "volume", "filer", "s3")
        return tuple(Path(f"/tmp/seaweedfs-{part}-grpc-{self.numbers[f'{part}-grpc']}.sock") for part in parts)

    def prepare(self) -> None:
        """Write the identities: one key pair per environment and one of the lab's own that makes the buckets."""
        self.lab.of("objects").mkdir(parents=True, exist_ok=True)
        identities = [self._identity("lab", ["Admin", "Read", "Write", "List", "Tagging"])]
        identities += [self._identity(name, [f"Admin:{bucket(name)}"]) for name in ENVIRONMENTS]
        files.write_json(self._config, {"identities": identities}, 0o600)
        for path in self._sockets():
            path.unlink(missing_ok=True)

    def _identity(self, name: str, actions: list[str]) -> dict[str, Any]:
        keys = {
            "accessKey": self.lab.value(f"objects-{name}-access-key"),
            "secretKey": self.lab.value(f"objects-{name}-secret-key"),
        }
        return {"name": name, "credentials": [keys], "actions": actions}

    def client(self, identity: str) -> Any:
        """An S3 client with the keys of an environment or of `lab`."""
        import boto3  # takes half a second to load, which most commands need not wait for
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=self.lab.value(f"objects-{identity}-access-key"),
            aws_secret_access_key=self.lab.value(f"objects-{identity}-secret-key"),
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": "path"},
                connect_timeout=2,
                read_timeout=5,
                retries={"max_attempts": 1},
                proxies={},
            ),
        )

    def check(self) -> str:
        """Ready when the S3 side says so."""
        answer = web.get(f"{self.endpoint}/healthz", seconds=3.0)
        require(answer.status == 200, f"/healthz answered {answer.status}")
        return "S3 answers"

    def finish(self, seconds: float) -> None:
        """Make the buckets, and prove with the environment's own keys that each takes an object."""
        with contextlib.closing(self.client("lab")) as client:
            for environment in ENVIRONMENTS:
                with contextlib.suppress(
                    client.exceptions.BucketAlreadyOwnedByYou, client.exceptions.BucketAlreadyExists
                ):
                    client.create_bucket(Bucket=bucket(environment))
        for environment in ENVIRONMENTS:
            # The volume servers register a moment after the S3 side answers.
            until(partial(self._stores, environment), seconds, f"bucket {bucket(environment)}")

    def _stores(self, environment: str) -> str:
        name = bucket(environment)
        with contextlib.closing(self.client(environment)) as client:
            client.put_object(Bucket=name, Key=_PROBE, Body=json.dumps({"ready": True}).encode())
            client.delete_object(Bucket=name, Key=_PROBE)
        return f"bucket {name}"

    def _listed(self, environment: str) -> str:
        with contextlib.closing(self.client(environment)) as client:
            client.head_bucket(Bucket=bucket(environment))
        return f"bucket {bucket(environment)}"

    def connections(self) -> dict[str, dict[str, Any]]:
        return {
            f"{environment}/us-central/objects": {
                "driver": "s3",
                "endpoint": self.endpoint,
                "region": REGION,
                "access_key": f"file:{self.lab.secret(f'objects-{environment}-access-key')}",
                "secret_key": f"file:{self.lab.secret(f'objects-{environment}-secret-key')}",
                "bucket": bucket(environment),
            }
            for environment in self.environments
        }

    def rows(self) -> list[Row]:
        stopped = broken.daemons(self.lab)
        rows = []
        for environment in sorted(self.environments):
            key = f"{environment}/us-central/objects"
            row = self.probe(key, "s3", self.endpoint, self.daemon, stopped)
            if row.state == "up":
                try:
                    row = Row(key, "s3", self.endpoint, row.state, self._listed(environment))
                except Exception as error:  # noqa: BLE001 - botocore makes its error classes at run time
                    row = Row(key, "s3", self.endpoint, "down", str(error)[:200])
            rows.append(row)
        return rows
