"""Pictures of the estate: what they show, to whom, what they cost, and that nothing unknown is green."""

import sys
from copy import deepcopy
from datetime import timedelta
from xml.etree import ElementTree

import pytest

from inventory import kinds
from inventory.models import Dependency
from observability import actions
from observability.health import Finding
from observability.pictures import scene
from observability.pictures.replication import judge
from observability.views import paging
from portal import clock
from portal.events import SYSTEM
from portal.ui.panels import _registry
from tests import world
from tests.inventory.screens import browser, queries

pytestmark = pytest.mark.django_db


def read(component, state="healthy", facts=None, numbers=None, **more):
    reason = "" if state == "healthy" else "It is broken."
    finding = Finding(component.pk, clock.now(), state, reason, facts=facts or {}, numbers=numbers or {}, **more)
    actions.report([finding], by=SYSTEM)


@pytest.fixture
def viewer():
    return world.account("viewer", "viewer", ("production", "*"))


@pytest.fixture(autouse=True)
def no_other_panels(monkeypatch):
    """Pages are counted without what apps above add to them."""
    for place in ("dashboard-cells", "matrix-cells"):
        monkeypatch.setitem(_registry, place, {})


def build():
    """A web server over two services on two databases of which one is needed, one of them a copy of the other."""
    made = {
        "web": world.component("production/us-central/web", "edge", service="platform"),
        "api": world.component("production/us-central/api"),
        "play": world.component("production/us-east/play"),
        "first": world.component("production/us-central/first", "database", service="platform"),
        "second": world.component("production/us-east/second", "database", service="platform"),
        "foreign": world.component("staging/us-central/foreign"),
    }
    world.dependency(made["web"], made["api"], "soft")
    world.dependency(made["play"], made["api"])
    for database in ("first", "second"):
        world.dependency(made["api"], made[database], "redundant", group="store", needed=1)
    world.dependency(made["second"], made["first"], "soft", relation="replicates", mode="sync")
    world.dependency(made["foreign"], made["api"])
    return made


@pytest.fixture(scope="module")
def _estate(standing):
    return standing(build)


@pytest.fixture
def estate(_estate):
    return deepcopy(_estate)


def svg(response):
    page = response.content.decode()
    start = page.index('<svg class="topology')
    return ElementTree.fromstring(page[start : page.index("</svg>\n", start) + 6])


def boxes(response):
    return {node.findtext("text"): node.get("class").split()[1] for node in svg(response).iter("a")}


COST = {
    # session and account, the shell; then the page's own
    "/components/production/us-central/api/impact/": 10,
    "/components/production/us-central/api/impact/?direction=up": 14,
    "/services/api/impact/": 11,
    "/data-centers/us-central/impact/": 12,
    "/environments/production/topology/": 7,
    "/explorer/": 7,
    "/explorer/?focus=production/us-central/api&hops=2": 12,
    "/map/": 7,
    "/matrix/": 7,
}


@pytest.mark.parametrize("count", [1, 3])
def test_pages_take_the_same_statements_for_one_and_three(viewer, estate, count):
    for number in range(count):
        part = world.component(f"production/us-east/part-{number}", "database", service="platform")
        world.dependency(part, estate["api"])
        world.dependency(part, estate["first"], "soft", relation="replicates")
        world.dependency(estate["api"], part, "soft")
    client = browser(viewer)
    for path, cost in COST.items():
        found, response = queries(client, path)
        assert (response.status_code, found) == (200, cost), path


def test_a_foreign_component_is_nowhere(viewer, estate):
    client, mine = browser(viewer), "production/us-central/api"
    for path in (*COST, f"/impact/?component={mine}", f"/components/{mine}/impact/?export=csv"):
        response = client.get(path)
        assert response.status_code == 200, path
        content = response.getvalue().lower()
        assert (b"foreign" in content, b"staging" in content) == (False, False), path


FOREIGN = [
    *("/components/staging/us-central/foreign/impact/", "/services/foreign/impact/", "/data-centers/nowhere/impact/"),
    *("/servers/none/impact/", "/network-zones/none/impact/", "/impact/?data-center=nowhere"),
    *("/impact/?component=staging/us-central/foreign", "/explorer/?focus=staging/us-central/foreign"),
    *("/explorer/?environment=staging", "/map/?environment=staging"),
]


def test_what_is_foreign_or_not_there_answers_the_same(viewer, estate):
    client = browser(viewer)
    assert {path: client.get(path).status_code for path in FOREIGN} == dict.fromkeys(FOREIGN, 404)


def test_what_cannot_be_is_refused(viewer, estate):
    client = browser(viewer)
    for query in ("state=up", "page=0", "page=x", "direction=left"):
        assert client.get(f"/components/production/us-central/api/impact/?{query}").status_code == 422, query
    assert client.get("/explorer/?hops=3").status_code == 422


def test_the_list_comes_first_and_the_picture_beside_it(viewer, estate):
    response = browser(viewer).get("/components/production/us-central/api/impact/")
    page = response.content.decode()
    assert page.index("needs ") < page.index('<svg class="topology')
    assert [(row.component.name, row.state) for row in response.context["rows"]] == [
        ("play", "down"),
        ("web", "degraded"),
    ]
    assert "And 1 other you may not see." in page
    assert boxes(response) == {"web": "tone-warn", "api": "tone-bad", "play": "tone-bad"}


def test_one_state_of_the_list_has_an_address(viewer, estate):
    path = "/components/production/us-central/api/impact/?state=degraded"
    response = browser(viewer).get(path)
    assert [row.component.name for row in response.context["rows"]] == ["web"]
    exported = b"".join(browser(viewer).get(f"{path}&export=csv").streaming_content).decode().splitlines()
    assert exported == [
        "component,state,distance,reason,service,tier,environment,data center,dependents",
        'production/us-central/web,degraded,1,"uses production/us-central/api, which is down",'
        "platform,1,production,us-central,0",
    ]


def test_a_long_list_has_pages(viewer, estate, monkeypatch):
    monkeypatch.setattr(sys.modules["observability.views.impact"], "PAGE", 1)
    monkeypatch.setattr(paging, "PAGE", 1)
    client = browser(viewer)
    response = client.get("/components/production/us-east/second/impact/")
    assert (len(response.context["rows"]), response.context["total"]) == (1, 2)
    last = client.get(response.context["next"])
    assert (len(last.context["rows"]), last.context["next"]) == (1, "")
    assert last.context["previous"].endswith("?page=1")


def test_a_whole_data_center_fails(viewer, estate):
    response = browser(viewer).get("/data-centers/us-central/impact/")
    assert [(row.component.name, row.state) for row in response.context["rows"]] == [
        ("play", "down"),
        ("second", "degraded"),
    ]
    assert "4 components stand there and fail." in response.content.decode()


def test_several_things_fail_at_once(viewer, estate):
    query = "component=production/us-central/first&component=production/us-east/second"
    response = browser(viewer).get(f"/impact/?{query}")
    assert [(row.component.name, row.state) for row in response.context["rows"]] == [
        ("api", "down"), ("play", "down"), ("web", "degraded"),
    ]  # fmt: skip
    assert "1 needed" in response.content.decode()


def test_what_is_ill_or_was_changed_is_suspected_first(viewer, estate):
    read(estate["second"], "down")
    response = browser(viewer).get("/components/production/us-east/play/impact/?direction=up")
    assert [(row.component.name, row.suspicion.note) for row in response.context["rows"]] == [
        ("second", "down now"), ("api", "changed"), ("first", "changed"),
    ]  # fmt: skip


def test_the_architecture_shows_layers_groups_and_replication(viewer, estate):
    response = browser(viewer).get("/environments/production/topology/")
    drawing = svg(response)
    layers = [text.text for text in drawing.iter("text") if text.get("class") == "topology-layer"]
    assert layers == ["Edge", "Services", "Stores and queues"]
    edges = drawing.find("g[@class='topology-edges']")
    assert [text.text for text in edges.iter("text")] == ["1 of 2", "1 of 2"]
    assert sorted(path.get("class") for path in edges.iter("path")) == [
        "hard", "redundant", "redundant", "soft", "soft replicates",
    ]  # fmt: skip


def test_a_kind_nobody_knows_is_drawn_all_the_same(viewer, estate, monkeypatch):
    monkeypatch.setattr(kinds, "KINDS", {kind: spec for kind, spec in kinds.KINDS.items() if kind != "edge"})
    response = browser(viewer).get("/environments/production/topology/")
    assert "web" in boxes(response)
    assert "Other" in response.content.decode()


def test_many_are_bundled_and_opened_step_by_step(viewer, estate, monkeypatch):
    for number in range(4):
        world.component(f"production/us-central/play-{number}", service="play")
    monkeypatch.setattr(scene, "MOST", 8)
    client = browser(viewer)
    found, response = queries(client, "/environments/production/topology/")
    assert (boxes(response), response.context["scene"].bundled, response.context["scene"].total) == (
        {"Platform": "tone-muted", "Api": "tone-muted", "Play": "tone-muted"}, "service", 9,
    )  # fmt: skip
    assert found <= 10
    bundle = next(t for t in response.context["scene"].things if t.many == 4)
    opened = client.get(bundle.href)
    assert bundle.href == "/explorer/?environment=production&open=play"
    assert {"play-0", "play-1", "play-2"} < set(boxes(opened))
    monkeypatch.setattr(scene, "MOST", 4)
    assert client.get("/explorer/").context["scene"].bundled == "kind"


def test_links_of_bundles_are_kept(viewer, estate, monkeypatch):
    monkeypatch.setattr(scene, "MOST", 4)
    response = browser(viewer).get("/explorer/?open=platform")
    drawn = response.context["scene"]
    names = {thing.key: (thing.name, thing.center.slug) for thing in drawn.things}
    assert {(names[link.source], names[link.target], link.kind) for link in drawn.links} >= {
        (("Application process", "us-east"), ("Application process", "us-central"), "hard"),
    }


def test_the_explorer_goes_one_or_two_hops(viewer, estate):
    client = browser(viewer)
    one = client.get("/explorer/?focus=production/us-east/play")
    two = client.get("/explorer/?focus=production/us-east/play&hops=2")
    needing = client.get("/explorer/?focus=production/us-central/api&direction=needed-by")
    assert set(boxes(one)) == {"play", "api"}
    assert set(boxes(two)) == {"play", "api", "web", "first", "second"}
    assert set(boxes(needing)) == {"api", "web", "play"}


REPLICA = {"role": "replica", "channels": [{"running": True, "error": None}], "semi_sync": {"synchronous": True}}
BROKEN = {**REPLICA, "channels": [{"running": False, "error": "Duplicate entry"}]}
LINK = {"role": "replica", "link": "up"}


@pytest.mark.parametrize(
    ("first", "second", "lag", "state", "mode", "words"),
    [
        ({"role": "primary"}, REPLICA, 0.0, "healthy", "semi-synchronous", "It follows as declared."),
        ({"role": "primary"}, REPLICA, 60.0, "degraded", "semi-synchronous", "It is 60 seconds behind."),
        ({"role": "primary"}, {**REPLICA, "semi_sync": {"synchronous": False}}, 0.0, "degraded", "asynchronous",
         "It was declared synchronous and is asynchronous now."),
        ({"role": "primary"}, REPLICA, None, "degraded", "semi-synchronous", "How far it is behind is not known."),
        ({"role": "primary"}, BROKEN, None, "down", "semi-synchronous", "Duplicate entry"),
        ({"role": "primary"}, {"role": "primary", "channels": []}, None, "down", "", "Both say that they are primary."),
        ({}, {"role": "primary"}, None, "down", "", "It should be a replica and is a primary."),
        (REPLICA, {"role": "primary"}, 0.0, "degraded", "semi-synchronous",
         "It runs the other way round than declared."),
        ({"role": "primary"}, {**LINK, "link": "down"}, None, "down", "asynchronous",
         "The link to its primary is down."),
        ({"role": "primary"}, {"role": "secondary", "members": [], "primary": "a:1"}, 1.0, "degraded", "asynchronous",
         "It was declared synchronous and is asynchronous now."),
        ({"role": "primary"}, {"bucket": "files"}, None, "unknown", "", "The reading of second does not tell."),
        ({"role": "primary"}, None, None, "unknown", "", "Nobody has looked at second lately."),
    ],
)  # fmt: skip
def test_replication_is_told_as_it_is_now(estate, first, second, lag, state, mode, words):
    for name, facts in (("first", first), ("second", second)):
        if facts is not None:
            read(estate[name], facts=facts, numbers={} if lag is None else {"lag_seconds": lag})
    link = Dependency.objects.select_related("source__health", "target__health").get(relation="replicates")
    now = judge(link)
    assert (now.state, now.mode, now.words) == (state, mode, words)
    assert {now.primary.name, now.replica.name} == {"first", "second"}
    with clock.travel(timedelta(seconds=16)):
        assert judge(link).state == "unknown"


def test_the_map_draws_the_arrow_in_its_colour(viewer, estate):
    read(estate["first"], facts={"role": "primary"})
    read(estate["second"], facts=REPLICA, numbers={"lag_seconds": 3.0})
    client = browser(viewer)
    drawing = svg(client.get("/map/"))
    arrows = [(group.get("class"), [text.text for text in group.iter("text")]) for group in drawing.iter("g")]
    assert arrows == [("map-arrow tone-good", ["Replicates", "semi-synchronous, 3 s behind"])]
    names = [text.text for text in drawing.iter("text") if text.get("class") == "map-name"]
    assert names == ["us-central", "us-east"]
    with clock.travel(timedelta(seconds=16)):
        late = client.get("/map/").content.decode()
    assert 'class="map-arrow tone-muted"' in late
    assert "tone-good" not in late.replace("map-head tone-good", "").replace("map-key tone-good", "")


def test_the_matrix_counts_and_is_narrowed(viewer, estate, monkeypatch):
    read(estate["api"], "down", version="1.4.0")
    client = browser(viewer)
    shown = client.get("/matrix/").context["shown"]
    cells = {cell.service.slug: (cell.state_info.value, cell.counts, cell.versions) for cell in shown.cells()}
    assert cells == {
        "api": ("down", "1 component: 1 down", ["1.4.0"]),
        "platform": ("unknown", "3 components: 3 unknown", []),
        "play": ("unknown", "1 component: 1 unknown", []),
    }
    for query, wanted in (("kind=database", ["platform"]), ("health=down", ["api"]), ("tier=4", []),
                          ("data_center=us-east", ["platform", "play"]), ("service=play", ["play"])):  # fmt: skip
        found = client.get(f"/matrix/?{query}").context["shown"]
        assert [service.slug for service, _ in found.rows] == wanted
