"""Everything a catalog may not say, each refused with its file and line, all at once, and nothing applied."""

import pytest
from django.core.management import CommandError, call_command

from inventory.catalog import load, source
from inventory.models import Component, Service
from tests.inventory.folders import SOUND, complaints, write

PRODUCTION, STAGING, BASE = SOUND["production.yaml"], SOUND["staging.yaml"], SOUND["base.yaml"]


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "small")


def test_a_sound_folder_is_read(folder):
    estate = load(folder)
    assert estate.catalog == "small"
    assert sorted(estate.components) == [
        "production/global/cdn",
        "production/us-central/api",
        "production/us-central/database",
        "staging/us-central/api",
    ]
    assert estate.dependencies == {"production/us-central/api": {"production/us-central/database": "hard"}}


def test_without_a_name_the_folder_gives_it(tmp_path):
    assert load(write(tmp_path / "mine", base=BASE.replace("catalog: small\n", ""))).catalog == "mine"


ROW = "components:\n  staging/us-central/api: {name: API, kind: app, service: api%s}\n"
KNOWN = (
    "attributes, classification, connection, custom, description, endpoint, endpoints, external_id, kind, name, "
    "part_of, provenance, server, service, software, status, tags, version"
)
SPOILT = {
    "unknown section": ("componets: {}\n", "1: There is no “componets” here. Known: catalog, components, data_centers, "
                        "dependencies, environments, network_zones, relies_on, server_groups, servers, services, "
                        "teams."),
    "unknown key": (ROW % ", colour: red", f"2: There is no “colour” here. Known: {KNOWN}."),
    "lacking key": ("components:\n  staging/us-central/api: {name: API, kind: app}\n",
                    "2: “staging/us-central/api” lacks “service”."),
    "wrong choice": (ROW.replace("kind: app", "kind: ap") % "",
                     f"2: “kind” is “ap”, which is none of: {', '.join(Component.Kind.values[:10])}, … (and "
                     f"{len(Component.Kind) - 10} more). Did you mean “app”?"),
    "number for text": (ROW.replace("name: API", "name: 7") % "", "2: “name” must be text, in quotes."),
    "list for mapping": ("components: [1]\n", "1: “components” must be a mapping."),
    "row is text": ("components:\n  staging/us-central/api: yes\n", "2: “staging/us-central/api” must be a mapping."),
    "empty name": (ROW.replace("name: API", 'name: ""') % "", "2: “name” must not be empty."),
    "long text": (ROW % f", endpoint: {'x' * 256}", "2: “endpoint” must be at most 255 characters long."),
    "key of wrong form": ("components:\n\n  Staging/api: {name: A, kind: app, service: api}\n",
                          "3: “Staging/api” must be environment/data-center/name, "
                          "in lower-case letters, digits and hyphens."),
    "connection of wrong form": (ROW % ", connection: api", "2: “api” must be environment/data-center/name, in "
                                 "lower-case letters, digits and hyphens."),
    "slug of wrong form": ("services:\n  A_B: {name: A, tier: 1, owner: core}\n",
                           "2: “A_B” must be lower-case letters, digits and single hyphens."),
    "tier out of range": ("services:\n  x:\n    {name: A, tier: 5, owner: core}\n",
                          "3: “tier” must be between 1 and 4."),
    "tier too small": ("services:\n  x: {name: A, tier: 0, owner: core}\n", "2: “tier” must be between 1 and 4."),
    "tier no number": ("services:\n  x: {name: A, tier: one, owner: core}\n", "2: “tier” must be a whole number."),
    "repository no address": ("services:\n  x: {name: A, tier: 1, owner: core, repository: 'javascript:x'}\n",
                              "2: “javascript:x” must be an http or https address."),
    "unknown team": ("services:\n  x: {name: A, tier: 1, owner: nobody}\n", "2: There is no team “nobody”."),
    "unknown environment": (ROW.replace("staging/", "qa/") % "", "2: There is no environment “qa”."),
    "unknown data center": (ROW.replace("us-central", "us-west") % "", "2: There is no data center “us-west”."),
    "unknown service": (ROW.replace("service: api", "service: apy") % "", "2: There is no service “apy”."),
    "reserved data center": ("data_centers:\n  global: {name: G, role: primary}\n",
                             "2: “global” is reserved: it spans all data centers."),
    "unknown target": ("dependencies:\n  production/global/cdn:\n    production/global/cdm: soft\n",
                       "3: There is no component “production/global/cdm”."),
    "unknown source": ("dependencies:\n  production/global/cdm: {production/global/cdn: soft}\n",
                       "2: There is no component “production/global/cdm”."),
    "wrong kind of dependency": ("dependencies:\n  production/global/cdn:\n    production/us-central/api: firm\n",
                                 "3: “production/us-central/api” is “firm”, which is none of: hard, soft, redundant."),
    "needs itself": ("dependencies:\n  production/global/cdn:\n    production/global/cdn: hard\n",
                     "3: Nothing depends on itself."),
    "staging points at production": (ROW % ", connection: production/us-central/api",
                                     "2: A component of staging must not point at production "
                                     "(“production/us-central/api”)."),
    "declared twice": (PRODUCTION.splitlines()[0] + "\n" + PRODUCTION.splitlines()[3] + "\n",
                       "2: “production/global/cdn” is declared twice; first in production.yaml:4."),
    "twice in one file": (ROW % "" + "  staging/us-central/api: {name: B, kind: app, service: api}\n",
                          "3: “staging/us-central/api” is here twice; first in line 2."),
    "two names": ("catalog: large\n", "1: The catalog is called “small” in base.yaml:1."),
    "alias": ("teams: &t {}\nservices: *t\n", "1: Anchors and aliases (& and *) are not allowed; write the value out."),
    "tag": ("teams: !!python/object/apply:os.system ['true']\n", "1: Tags (!) are not allowed."),
    "two documents": ("teams: {}\n---\nteams: {}\n", "2: A file holds one document only."),
    "no mapping": ("- a\n", "1: The file must be a mapping of sections."),
    "not yaml": ("teams: {a: {name: x}\nb: [\n", None),
    "control character": ("teams: \x07\n", None),
    "nul": ('teams:\n  x: {name: "a\\0b"}\n', "2: Text must not hold the character NUL."),
    "number of another base": ("services:\n  x: {name: A, tier: 1:30, owner: core}\n",
                               "2: The number 1:30 must be written in plain decimal digits; quote it if it is text."),
    "deep": ("teams: " + "[" * 30 + "]" * 30 + "\n", "1: The nesting is deeper than 12 levels."),
    "key is a list": ("? [a]\n: b\n", "1: A key must be plain text."),
}  # fmt: skip


@pytest.mark.parametrize("name", SPOILT)
def test_what_is_wrong_is_said_with_file_and_line(folder, name):
    text, wanted = SPOILT[name]
    write(folder, staging=text)
    found = [complaint for complaint in complaints(folder) if complaint.startswith("staging.yaml:")]
    assert found, complaints(folder)
    if wanted is None:
        assert found[0].split(": ", 1)[1].startswith("This is not YAML: ")
    else:
        assert f"staging.yaml:{wanted}" in found


def test_environments_share_neither_address_nor_connection(folder):
    write(
        folder,
        production=PRODUCTION.replace("connection: production/us-central/api", "endpoint: 'db:1'"),
        staging=STAGING.replace("service: api", "service: api, endpoint: 'db:1'"),
    )
    assert complaints(folder) == [
        "staging.yaml:2: A component of staging must not use the endpoint of “production/us-central/api”."
    ]


def test_environments_do_not_depend_on_one_another(folder):
    write(folder, staging=STAGING + "dependencies:\n  staging/us-central/api:\n    production/us-central/api: soft\n")
    assert complaints(folder) == [
        "staging.yaml:5: Environments are kept apart: only observes and copies may lead into another one."
    ]


def test_every_cycle_of_hard_dependencies_is_named(folder):
    links = """\
dependencies:
  production/us-central/api:
    production/us-central/database: hard
  production/us-central/database:
    production/us-central/api: hard
    production/global/cdn: hard
  production/global/cdn:
    production/us-central/database: hard
"""
    write(folder, production=PRODUCTION.split("dependencies")[0] + links)
    found = complaints(folder)
    assert len(found) == 2
    assert all("These need each other, so none could start: " in complaint for complaint in found)


def test_a_cycle_with_a_soft_link_is_no_cycle(folder):
    write(folder, production=PRODUCTION + "  production/us-central/database:\n    production/us-central/api: soft\n")
    assert len(load(folder).dependencies) == 2


def test_all_problems_of_all_files_are_named_in_order(folder):
    write(folder, base=BASE.replace("tier: 1", "tier: 9"), staging="componets: {}\n", zebra="services: 1\n")
    assert [complaint.split(": ")[0] for complaint in complaints(folder)] == [
        "base.yaml:10",
        "staging.yaml:1",
        "zebra.yaml:1",
    ]


def test_a_folder_that_is_not_there(tmp_path):
    assert complaints(tmp_path / "none") == [f"{tmp_path / 'none'}: There is no such folder."]


def test_an_empty_folder(tmp_path):
    assert complaints(tmp_path) == [f"{tmp_path}: There is no .yaml file in this folder."]


def test_too_many_files(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "MAX_FILES", 2)
    folder = write(tmp_path / "small")
    assert complaints(folder) == [f"{folder}: There are more than 2 files in this folder."]


def test_a_file_that_is_too_large(folder):
    write(folder, staging="#" * (source.MAX_FILE_BYTES + 1))
    assert "staging.yaml: The file is larger than 8192 KiB." in complaints(folder)


def test_a_folder_that_is_too_large(folder, monkeypatch):
    monkeypatch.setattr(source, "MAX_FOLDER_BYTES", 100)
    assert "base.yaml: The folder holds more than 0 KiB in all." in complaints(folder)


def test_a_file_that_is_no_text(folder):
    (folder / "staging.yaml").write_bytes(b"teams: {}\n# \xff\n")
    assert "staging.yaml:2: The file is not UTF-8 text." in complaints(folder)


def test_a_link_out_of_the_folder_is_not_followed(folder, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("teams: {}\n")
    (folder / "more.yaml").symlink_to(secret)
    assert "more.yaml: This is not a regular file." in complaints(folder)


def test_a_file_that_may_not_be_read(folder, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    assert complaints(folder)[0] == "base.yaml: The file cannot be read: Permission denied."


def test_an_empty_file_says_nothing(folder):
    write(folder, more="# nothing yet\n")
    assert len(load(folder).components) == 4


def test_truth_values_stay_what_was_written(folder):
    write(
        folder,
        staging=STAGING.replace("service: api", "service: api, custom: {country: no, sure: true, n: 1.5, o: }"),
    )
    custom = load(folder).components["staging/us-central/api"]["custom"]
    assert custom == {"country": "no", "sure": True, "n": 1.5, "o": None}


@pytest.mark.django_db
def test_the_command_names_everything_and_applies_nothing(folder):
    write(folder, staging=ROW % ", colour: red", zebra="services: 1\n")
    with pytest.raises(CommandError) as refusal:
        call_command("catalog", "apply", str(folder))
    assert str(refusal.value).splitlines() == [
        f"staging.yaml:2: There is no “colour” here. Known: {KNOWN}.",
        "zebra.yaml:1: “services” must be a mapping.",
        "The catalog has 2 problems. Nothing was changed.",
    ]
    assert (Component.objects.count(), Service.objects.count()) == (0, 0)


def test_a_name_does_not_end_in_a_line_break(tmp_path):
    spoilt = BASE.replace("  api: {name: API", '  "api\\n": {name: API')
    assert spoilt != BASE
    assert any("must be lower-case letters" in problem for problem in complaints(write(tmp_path / "x", base=spoilt)))
