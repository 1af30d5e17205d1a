"""The published source of each condition's phrases is named well enough to be read again."""

from __future__ import annotations

import datetime
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[3]
CONDITIONS = ROOT / "tests/data/clinical/conditions.json"
SOURCES = ROOT / "edgemed/clinical/flags/sources.toml"

REQUIRED = {"title", "publisher", "edition", "place", "short", "url", "read", "read_on", "read_as", "says"}
ALLOWED = REQUIRED | {"number", "also", "why"}
SHORT, SENTENCE, SAYS = 44, 300, 450

# Who publishes guidance, journals and their registers; two carry a Chinese authority's words.
PUBLISHERS = {
    "bestpractice.bmj.com",
    "blogs.rch.org.au",
    "bmcgastroenterol.biomedcentral.com",
    "boa.ac.uk",
    "doi.org",
    "hk.on.cc",
    "pmc.ncbi.nlm.nih.gov",
    "professional.heart.org",
    "pubmed.ncbi.nlm.nih.gov",
    "rightdecisions.scot.nhs.uk",
    "rs.yiigle.com",
    "systematicreviewsjournal.biomedcentral.com",
    "wsjkw.henan.gov.cn",
    "www.aafp.org",
    "www.allergy.org.au",
    "www.bmj.com",
    "www.cdc.gov",
    "www.csp.org.uk",
    "www.england.nhs.uk",
    "www.lhp.leedsth.nhs.uk",
    "www.ncbi.nlm.nih.gov",
    "www.nhs.uk",
    "www.nice.org.uk",
    "www.rcemlearning.co.uk",
    "www.rcog.org.uk",
    "www.who.int",
}


def conditions() -> list[str]:
    return [each["id"] for each in json.loads(CONDITIONS.read_text(encoding="utf-8"))]


def tables() -> dict[str, dict[str, object]]:
    return tomllib.loads(SOURCES.read_text(encoding="utf-8"))


def sources() -> Iterator[tuple[str, dict[str, object]]]:
    for condition, table in tables().items():
        zh = table.pop("zh", None)
        yield condition, table
        if isinstance(zh, dict):
            yield f"{condition}.zh", zh


def test_each_condition_has_its_source_in_the_order_of_the_list() -> None:
    assert list(tables()) == conditions()


def test_each_source_has_the_fields_that_find_it_again_and_no_others() -> None:
    for name, source in sources():
        assert set(source) >= REQUIRED, name
        assert set(source) <= ALLOWED, name
        for field, value in source.items():
            if field == "read":
                assert isinstance(value, bool), name
            else:
                assert isinstance(value, str), (name, field)
                assert value == value.strip() != "", (name, field)


def test_a_source_that_was_not_read_says_why() -> None:
    for name, source in sources():
        assert ("why" in source) is (source["read"] is False), name
        assert datetime.date.fromisoformat(str(source["read_on"])), name


def test_a_source_tells_its_year() -> None:
    for name, source in sources():
        assert re.search(r"\b(19|20)\d\d", str(source["edition"])), name


def test_addresses_are_those_of_publishers() -> None:
    for name, source in sources():
        address = urlsplit(str(source["url"]))
        assert address.scheme == "https", name
        assert address.hostname in PUBLISHERS, (name, address.hostname)
    assert {urlsplit(str(source["url"])).hostname for _, source in sources()} == PUBLISHERS


def test_the_short_form_fits_the_line_of_a_flag_and_names_one_source() -> None:
    shorts = [str(source["short"]) for _, source in sources()]
    assert max(map(len, shorts)) <= SHORT
    assert len(set(shorts)) == len(shorts)


def test_no_sentence_is_long_and_no_account_either() -> None:
    for name, source in sources():
        assert len(str(source["says"])) <= SAYS, (name, len(str(source["says"])))
        for field in ("says", "also", "why"):
            for sentence in re.split(r"(?<=[.。])\s*(?=\D)", str(source.get(field, ""))):
                assert len(sentence) <= SENTENCE, (name, field, sentence)
