"""What holds for every catalog: an applied one differs in nothing, and the order of its parts does not matter."""

import os
import random
import re

import pytest
import yaml
from django.core.management import CommandError, call_command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inventory.actions.catalog import apply_catalog
from inventory.catalog import CatalogInvalid, compare, load, standing
from inventory.catalog.nouns import NOUNS
from inventory.models import Component, Dependency
from portal.events import SYSTEM
from tests.inventory.folders import SOUND, write

EXAMPLES = 20 if os.environ.get("CI") == "true" else 5
FAST = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
NAMES = ["api", "play", "cloud", "cache", "database"]
# The connection pool's threads draw a random number now and then, also while Hypothesis draws an estate.
POOLED = pytest.mark.filterwarnings("ignore:Do not use the .random. module")
# What is nothing but spaces is no name.
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=30).filter(str.strip)


def declared(estate):
    """Noun → key → values, as the catalog wants them."""
    return {
        noun.name: {noun.declaration.label_of(values): values for _, values in estate.rows(noun)}
        for noun in NOUNS.values()
    }


def stored():
    """The same, as the database has it."""
    return {
        noun.name: {key: values for _, key, values in standing.read(noun, noun.declaration.model.objects.all())}
        for noun in NOUNS.values()
    }


@st.composite
def estates(draw):
    """A sound estate: some services, components in two environments, hard links that only lead onward."""
    services = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    components, dependencies = {}, {}
    for environment in ("staging", "production"):
        keys = [f"{environment}/us-central/{name}" for name in draw(st.lists(st.sampled_from(NAMES), unique=True))]
        for key in keys:
            components[key] = {"name": draw(TEXT), "kind": "app", "service": draw(st.sampled_from(services))}
        for place, origin in enumerate(keys):
            if targets := keys[place + 1 :]:
                chosen = draw(st.lists(st.sampled_from(targets), unique=True))
                dependencies[origin] = {target: draw(st.sampled_from(["hard", "soft"])) for target in chosen}
    return {
        "catalog": "drawn",
        "teams": {"core": {"name": "Core"}},
        "data_centers": {"us-central": {"name": "Central", "role": "primary"}},
        "environments": {name: {"name": name, "kind": name} for name in ("staging", "production")},
        "services": {name: {"name": draw(TEXT), "tier": draw(st.integers(1, 4)), "owner": "core"} for name in services},
        "components": components,
        "dependencies": dependencies,
    }


def scattered(folder, estate, chance):
    """The same estate, its rows in any order, spread over several files."""
    files: dict[str, dict] = {f"{n}.yaml": {} for n in range(3)}
    for section, rows in estate.items():
        if section == "catalog":
            chance.choice(list(files.values()))[section] = rows
            continue
        keys = list(rows)
        chance.shuffle(keys)
        for key in keys:
            chance.choice(list(files.values())).setdefault(section, {})[key] = rows[key]
    return write(folder, {name: yaml.safe_dump(content, allow_unicode=True) for name, content in files.items()})


@pytest.mark.django_db(transaction=False)
@POOLED
@FAST
@given(first=estates(), second=estates(), seed=st.integers(0, 2**16))
def test_an_applied_catalog_differs_in_nothing_whatever_was_there_before(tmp_path, first, second, seed):
    chance = random.Random(seed)
    for drawn in (first, second):
        estate = load(scattered(tmp_path / "drawn", drawn, chance))
        apply_catalog(estate, by=SYSTEM)
        assert compare(estate).changes == ()
        wanted, present = declared(estate), stored()
        # Teams outlive the catalog, so only the nouns it owns must be equal both ways.
        assert {noun: rows for noun, rows in present.items() if noun != "team"} == {
            noun: rows for noun, rows in wanted.items() if noun != "team"
        }
    assert apply_catalog(estate, by=SYSTEM).changes == ()


@FAST
@given(drawn=estates(), seeds=st.tuples(st.integers(0, 2**16), st.integers(0, 2**16)))
def test_the_order_of_rows_and_files_does_not_matter(tmp_path, drawn, seeds):
    one, other = (load(scattered(tmp_path / "drawn", drawn, random.Random(seed))) for seed in seeds)
    assert declared(one) == declared(other)


@FAST
@given(text=st.one_of(st.text(max_size=200), st.sampled_from(list(SOUND.values()))), cut=st.integers(0, 400))
def test_any_text_is_read_or_refused_with_a_sentence(tmp_path, text, cut):
    folder = write(tmp_path / "small")
    (folder / "staging.yaml").write_bytes(text[:cut].encode(errors="surrogatepass"))
    problems = []
    try:
        load(folder)
    except CatalogInvalid as refusal:
        problems = refusal.problems
    assert all(re.fullmatch(r"staging\.yaml(:\d+)?: .*\.", problem, re.DOTALL) for problem in problems)


@pytest.mark.django_db
def test_the_command_shows_the_difference_then_makes_it(tmp_path, capsys):
    folder = write(tmp_path / "small")
    call_command("catalog", "plan", str(folder))
    planned = capsys.readouterr().out.splitlines()
    assert planned[0] == "+ team core"
    assert planned[-1] == "10 to create, 0 to change, 0 to remove."
    assert Component.objects.count() == 0
    call_command("catalog", "apply", str(folder))
    assert capsys.readouterr().out.splitlines()[-1] == "Created 10, changed 0, removed 0."
    assert (Component.objects.count(), Dependency.objects.count()) == (4, 1)
    write(folder, production=SOUND["production.yaml"].replace("hard", "soft"))
    call_command("catalog", "plan", str(folder))
    assert capsys.readouterr().out.splitlines() == [
        "~ dependency production/us-central/api → production/us-central/database",
        "    kind: 'hard' → 'soft'",
        "0 to create, 1 to change, 0 to remove.",
    ]
    call_command("catalog", "apply", str(folder))
    capsys.readouterr()
    call_command("catalog", "apply", str(folder))
    assert capsys.readouterr().out == "No difference: everything is as declared.\n"


@pytest.mark.django_db
def test_the_command_shows_why_a_plan_could_not_be_applied(tmp_path):
    call_command("catalog", "apply", str(write(tmp_path / "small")))
    other = write(tmp_path / "other", base=SOUND["base.yaml"].replace("catalog: small", "catalog: other"))
    with pytest.raises(CommandError, match=r"is declared by the catalog “small” already\.(.|\n)*cannot be applied"):
        call_command("catalog", "plan", str(other))
