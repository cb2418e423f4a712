"""Catalogs from wherever they are kept: the folder, a git repository, an upload of YAML, a state of Terraform."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from django.conf import settings

from inventory.catalog import Estate, archive, export, read, source, terraform
from inventory.models import CatalogDraft, DataCenter, Environment, Service
from inventory.reconcile import git
from portal.errors import Invalid


@dataclass(frozen=True)
class Reading:
    """The files of a catalog and where they were read. ``name`` is the catalog's when no file says another."""

    files: list[tuple[str, bytes | str]]
    name: str
    source: str
    commit: str = ""
    said: str = ""
    """What a reader should know about it, such as resources that were left out."""

    def estate(self) -> Estate:
        """What the files declare. Raises ``CatalogInvalid`` with every problem of each."""
        return read(self.files, self.name)

    @property
    def facts(self) -> dict[str, str]:
        """Where it was read, as the verb keeps it."""
        return {"source": self.source, "commit": self.commit}


def read_catalog(
    *, source: str = "", ref: str = "", file: Any = None, placing: dict[str, str] | None = None
) -> Reading:
    """The catalog of an upload, of a git repository by its name, or else of the folder the portal was started with.

    ``file`` has a name and bytes (``read()``). ``placing`` says where the resources of a state stand. Must not be
    called inside a transaction, because a repository is fetched. Raises ``Refused`` with all that is wrong.
    """
    if file is not None:
        return _upload(str(file.name or ""), file.read(archive.MAX_UPLOAD + 1), placing or {})
    if source:
        fetched = git.fetch(source, ref)
        remote = git.remotes()[source]
        where = f"{remote.label}#{ref or remote.ref}" + (f":{remote.folder}" if remote.folder else "")
        return Reading(fetched.files, source, where[:300], fetched.commit)
    return folder(settings.CATALOG_DIR)


def folder(path: Any) -> Reading:
    """The catalog in a folder of this machine."""
    return Reading(list(source.files(path)), path.resolve().name, f"folder {path.name}")


def _upload(name: str, data: bytes, placing: dict[str, str]) -> Reading:
    if name.endswith((".tfstate", ".json")) or data[:64].lstrip().startswith(b"{"):
        return _state(name, data, placing)
    files = archive.unpack(name, data)
    stem = PurePosixPath(name.replace("\\", "/")).name.partition(".")[0].lower()
    return Reading(files, stem or "upload", f"upload {PurePosixPath(name).name}"[:300])


def _state(name: str, data: bytes, asked: dict[str, str]) -> Reading:
    """A catalog made of a state. The state itself is forgotten with this call."""
    state = terraform.read("state", data)
    placing = _placing(asked)
    text = export.text(terraform.catalog(state, placing))
    left = sum(state.ignored.values())
    said = f"{left} resources of {len(state.ignored)} other types were left out." if left else ""
    label = f"Terraform state {state.lineage or PurePosixPath(name).name}"[:300]
    return Reading([(f"{placing.catalog}.yaml", text.encode())], placing.catalog, label, said=said)


def _placing(asked: dict[str, str]) -> terraform.Placing:
    """Where resources stand; every name is one that is declared, by a catalog that this one then relies on."""
    nouns: dict[str, Any] = {"environment": Environment, "service": Service, "data_center": DataCenter}
    known = {
        name: dict(model._default_manager.order_by().values_list("slug", "declared_by"))
        for name, model in nouns.items()
    }
    problems = {}
    for name in ("environment", "service"):
        if asked.get(name) not in known[name]:
            problems[name] = [f"A state needs the {name} in which its resources stand."]
    center = asked.get("data_center") or "global"
    if center != "global" and center not in known["data_center"]:
        problems["data_center"] = ["There is no such data center."]
    if not asked.get("catalog"):
        problems["catalog"] = ["A state needs a catalog name of its own."]
    if problems:
        raise Invalid("It is not said where the resources of this state stand.", fields=problems)
    regions = DataCenter.objects.exclude(region="").order_by("slug").values_list("region", "slug")
    relied = {by or export.BY_HAND for rows in known.values() for by in rows.values()} - {asked["catalog"]}
    return terraform.Placing(
        catalog=asked["catalog"],
        environment=asked["environment"],
        service=asked["service"],
        data_center=center,
        centers=dict(regions),
        environments=frozenset(known["environment"]),
        services=frozenset(known["service"]),
        relies_on=tuple(sorted(relied)[:20]),
    )


def kept(draft: CatalogDraft) -> Reading:
    """What was read into a draft."""
    files: list[tuple[str, bytes | str]] = [(name, text.encode()) for name, text in draft.files]
    return Reading(files, draft.catalog, draft.source, draft.commit)
