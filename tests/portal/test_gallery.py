"""The gallery: every component in every state, within budget, with nothing inline."""

import gzip
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.staticfiles import finders

from portal.ui.gallery import SECTIONS
from tests import world

pytestmark = pytest.mark.django_db
PAGE_BUDGET = 60 * 1024
ASSET_BUDGET = 150 * 1024
PAGES = [*(f"/gallery/?section={name}" for name in SECTIONS), "/events/", "/status/", "/api/docs/", "/nowhere/"]


class Page(HTMLParser):
    """Collects what a strict policy forbids, what a reader needs, and which files the page loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.forbidden: list[str] = []
        self.ids: list[str] = []
        self.files: set[str] = set()
        self.unnamed: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        facts = dict(attributes)
        self.forbidden += [f"{tag} {name}" for name in facts if name == "style" or name.startswith(("on", "hx-on"))]
        if tag == "style" or (tag == "script" and not facts.get("src")):
            self.forbidden.append(tag)
        if (facts.get("href") or "").startswith("javascript:"):
            self.forbidden.append("javascript:")
        if "data-missing" in facts:
            self.forbidden.append(f"icon {facts['data-missing']}")
        self.ids += [facts["id"]] if facts.get("id") else []
        if tag == "script" or (tag == "link" and facts.get("rel") == "stylesheet"):
            self.files.add(str(facts.get("src") or facts.get("href")))


@pytest.fixture
def reader(client):
    client.force_login(world.account("reader", "auditor"))
    return client


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_small_and_holds_nothing_inline(path, reader):
    answer = reader.get(path)
    page = Page(answer.content.decode())
    assert page.forbidden == []
    assert len(answer.content) <= PAGE_BUDGET
    assert sorted(page.ids) == sorted(set(page.ids))


def test_all_styles_and_scripts_together_are_small(reader):
    page = Page(reader.get("/gallery/").content.decode())
    paths = [Path(finders.find(name.removeprefix(settings.STATIC_URL)) or name) for name in page.files]
    modules = list((settings.BASE_DIR / "static" / "js").glob("*.js"))
    size = sum(len(gzip.compress(path.read_bytes())) for path in {*paths, *modules})
    assert len(paths) >= 12
    assert size <= ASSET_BUDGET


def test_every_script_is_loaded_by_the_page_or_by_a_module():
    folder = settings.BASE_DIR / "static" / "js"
    templates = (settings.BASE_DIR / "templates").rglob("*.html")
    named = " ".join(path.read_text() for path in [*folder.glob("*.js"), *templates])
    assert [path.name for path in folder.glob("*.js") if path.name not in named] == []


def test_every_style_is_loaded():
    from portal.ui.navigation import SHEETS

    templates = " ".join(path.read_text() for path in (settings.BASE_DIR / "templates").rglob("*.html"))
    sheets = {path.stem for path in (settings.BASE_DIR / "static" / "css").glob("*.css")}
    assert [name for name in sheets if name not in SHEETS and f"css/{name}.css" not in templates] == []
    assert set(SHEETS) - sheets == set()


@pytest.mark.parametrize("scheme", [0, 1])
def test_every_tone_can_be_read_on_its_own_ground(scheme):
    """WCAG 2.2, 1.4.3: text of each tone on its soft ground, and on the surface, at 4.5 to 1."""
    text = (settings.BASE_DIR / "static" / "css" / "tokens.css").read_text()
    colours = {name: pair.split(", ")[scheme] for name, pair in re.findall(r"--([\w-]+): light-dark\((#[^)]*)\)", text)}
    grounds = [("text", "ground"), ("text-soft", "ground"), ("text-soft", "surface-sunken"), ("accent", "accent-soft")]
    for tone in ("neutral", "info", "good", "warn", "bad", "muted"):
        grounds += [(tone, f"{tone}-soft"), (tone, "surface")]
    weak = {pair: round(_contrast(colours[pair[0]], colours[pair[1]]), 2) for pair in grounds}
    assert {pair: ratio for pair, ratio in weak.items() if ratio < 4.5} == {}


def _contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_a_section_that_is_not_there_is_refused(reader):
    answer = reader.get("/gallery/", {"section": "secrets"})
    assert answer.status_code == 422
    assert "has no section" in answer.content.decode()


def test_a_gallery_list_is_searched_and_paged_through_htmx(reader):
    headers = {"HX-Request": "true", "HX-Target": "table"}
    text = reader.get(
        "/gallery/", {"section": "lists", "q": "sample-07", "after": "20"}, headers=headers
    ).content.decode()
    assert text.lstrip().startswith('<div class="list-rows" id="table"')
    assert "sample-0720" in text
    assert "<html" not in text
