"""Descriptions by rules: what a column's name, its owner and its values say, in plain words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from llactr.profile.facts import Column
from llactr.profile.names import words

__all__ = ["Nouns", "describe", "event_time_description", "examples"]


@dataclass(frozen=True)
class Nouns:
    """What a dataset's person, thing and event are called."""

    person: str = "person"
    thing: str = "item"
    act: str = "event"

    def of(self, owner: str) -> str:
        """The noun of an owner."""
        return {"user": self.person, "item": self.thing}.get(owner, self.act)


_KNOWN: dict[str, str] = {
    "age": "how old {the} is, in years", "gender": "whether {the} is a man or a woman",
    "sex": "whether {the} is a man or a woman", "occupation": "what {the} does for a living",
    "job": "what {the} does for a living", "profession": "what {the} does for a living",
    "zip code": "the postal code of the place where {the} lives",
    "zipcode": "the postal code of the place where {the} lives",
    "zip": "the postal code of the place where {the} lives", "postcode": "the postal code of the place of {the}",
    "postal code": "the postal code of the place of {the}", "city": "the city of {the}", "town": "the town of {the}",
    "country": "the country of {the}", "region": "the region of {the}", "state": "the state or region of {the}",
    "income": "how much {the} earns", "salary": "how much {the} earns in a year",
    "education": "how far {the} went at school and university", "marital status": "whether {the} is married",
    "home ownership": "whether {the} owns or rents its home", "household size": "how many people live in the household",
    "household comp": "who lives in the household, adults and children", "kids count": "how many children there are",
    "family size": "how many people are in the family", "relationship": "the place of {the} in the family",
    "race": "the ethnic group of {the}", "native country": "the country where {the} was born",
    "workclass": "the kind of employer of {the}", "hours per week": "how many hours a week {the} works",
    "title": "the title of {the}", "name": "the name of {the}", "headline": "the headline of {the} as readers see it",
    "genres": "the genres that {the} belongs to", "genre": "the genre that {the} belongs to",
    "category": "the category that {the} belongs to", "categories": "the categories that {the} belongs to",
    "subcategory": "the finer category that {the} belongs to", "tags": "the words that {the} is tagged with",
    "tag": "the word that {the} is tagged with", "brand": "the brand of {the}", "price": "what {the} costs",
    "department": "the department of the shop that {the} belongs to", "publisher": "the company that publishes {the}",
    "developer": "the studio or people who made {the}", "manufacturer": "the maker of {the}",
    "manufacturer id": "the maker of {the}, as a code", "author": "who wrote {the}", "artist": "who performs {the}",
    "director": "who directed {the}", "actors": "who plays in {the}", "cast": "who plays in {the}",
    "album": "the album that {the} is on", "language": "the language of {the}", "lang": "the language of {the}",
    "description": "how {the} is described in full sentences", "abstract": "what {the} is about, in a few sentences",
    "excerpt": "the line of text shown with {the}", "lede": "the first sentences of the text of {the}",
    "body": "the text of {the}", "overview": "what {the} is about, in a few sentences", "color": "the colour of {the}",
    "colour": "the colour of {the}", "size": "the size of {the}", "package size": "how much is in a package of {the}",
    "weight": "how heavy {the} is", "material": "what {the} is made of", "year": "the year of {the}",
    "release year": "the year in which {the} came out",
    "product category": "the group of products that {the} belongs to",
    "product type": "what kind of product it is, in detail", "specs": "what {the} offers",
    "early access": "whether {the} is sold before it is finished", "duration": "how long {the} takes",
    "runtime": "how long {the} runs", "length": "how long {the} is", "device": "the device that {act} came from",
    "device type": "what kind of device {act} came from", "os": "the operating system of the device",
    "browser": "the browser that {act} came from", "platform": "the platform that {act} came from",
    "store id": "the shop where {act} happened", "store": "the shop of {the}",
    "site id": "the site where {act} happened",
    "site": "the site where {act} happened", "channel": "the channel through which {act} came",
    "position": "the place on the page where {thing} was shown", "pos": "the place on the page where {thing} was shown",
    "banner pos": "the place on the page where the advertisement was shown",
    "rank": "the rank at which {thing} was shown", "slot": "the place on the page where {thing} was shown",
    "quantity": "how many of {thing} are taken at once", "hour": "the hour of the day of {act}",
    "weekday": "the day of the week of {act}", "month": "the month of the year of {act}", "day": "the day of {act}",
    "query": "what {person} searched for", "search term": "what {person} searched for",
    "keyword": "the word that was searched for", "shown count": "how many things were shown together",
    "is subscriber": "whether {person} pays a subscription", "is sso user": "whether {person} was logged in",
    "page id": "the page that was open", "page": "the page that was open", "url": "the address of {the}",
    "premium": "whether {the} has a paid account", "rating count": "how many ratings {the} has",
    "average rating": "the average rating of {the}", "popularity": "how popular {the} is",
    "campaign id": "the campaign that {the} belongs to", "advertiser id": "who pays for {the}",
    "customer id": "the identity of the customer", "app category": "the kind of app in which {act} happened",
    "site category": "the kind of site on which {act} happened", "app domain": "the domain of the app",
    "site domain": "the domain of the site", "device model": "the model of the device",
    "device conn type": "how the device is connected", "device ip": "the network address of the device",
    "device id": "the device that {act} came from", "app id": "the app in which {act} happened",
    "shopping level": "how far {the} goes when shopping", "carrier": "the phone company of the device",
    "tenure": "how long {the} has been a customer", "balance": "how much money {the} has on the account",
    "discount": "how much {the} is reduced", "stock": "how much of {the} is in store",
    "session": "the visit during {act}",
    "season": "the season of the year", "temperature": "how warm it was", "weather": "the weather during {act}",
    "locale": "the language and country of {the}", "referrer": "where {person} came from",
    "traffic source": "where {person} came from", "source": "where {act} came from", "status": "the status of {the}",
    "type": "what kind of {bare} it is", "kind": "what kind of {bare} it is", "class": "what class of {bare} it is",
    "group": "the group that {the} belongs to", "segment": "the segment that {the} belongs to",
    "cluster": "the cluster that {the} belongs to", "level": "the level of {the}", "score": "the score of {the}",
    "distance": "how far away it is", "latitude": "how far north {the} lies", "longitude": "how far east {the} lies",
    "neighbourhood": "the part of town of {the}", "address": "the address of {the}",
    "stars": "how many stars {the} has",
}  # fmt: skip


_DOES = {"rating": "rates", "review": "reviews", "purchase": "buys", "order": "orders", "view": "is shown"}


def _plural(noun: str) -> str:
    if noun.endswith("s"):
        return noun
    if noun.endswith(("x", "z", "ch", "sh")):
        return f"{noun}es"
    return f"{noun[:-1]}ies" if noun.endswith("y") and noun[-2:-1] not in set("aeiou") else f"{noun}s"


def describe(column: Column | None, name: str, owner: str, nouns: Nouns, kind: str, *, is_key: bool = False) -> str:
    """A description of a field.

    Args:
        column: its facts; None for a made one.
        name: of the field.
        owner: `user`, `item` or `context`.
        nouns: what the dataset's person, thing and event are called.
        kind: of the field.
        is_key: whether it reads the join key.
    """
    bare = nouns.of(owner)
    if is_key:
        does = _DOES.get(nouns.act) if owner == "user" else None
        return f"the identity of the {bare}" + (f" who {does} {_plural(nouns.thing)}" if does else "")
    said = list(words(name))
    own = bare.split()[-1]
    without = [word for word in said if word != own] or said
    places = {"the": f"the {bare}", "act": f"the {nouns.act}", "thing": f"the {nouns.thing}", "bare": bare,
              "person": f"the {nouns.person}"}  # fmt: skip
    for tried in (" ".join(said), " ".join(without), " ".join(w for w in without if w not in {"c", "item", "user"})):
        if tried in _KNOWN:
            text = _KNOWN[tried].format(**places)
            break
    else:
        text = _general(said, without, bare, kind, column)
    shown = examples(column) if column is not None and kind in {"categorical", "multi_valued"} else ""
    return f"{text}, such as {shown}" if shown and " such as " not in text and "whether" not in text else text


def _general(said: Sequence[str], without: Sequence[str], bare: str, kind: str, column: Column | None) -> str:
    phrase = " ".join(said)
    if said and all(len(word) <= 2 or word.isdigit() or word == "column" for word in said):
        what = {"numeric": "a number", "multi_valued": "several values"}.get(kind, "a code")
        return f"{what} of the {bare} that the table calls {' '.join(said).upper() if len(phrase) <= 4 else phrase}"
    if said[0] in {"is", "has", "was", "can"}:
        verb = {"is": "is", "has": "has", "was": "was", "can": "can"}[said[0]]
        return f"whether the {bare} {verb} {' '.join(said[1:])}"
    if column is not None and column.type == "boolean":
        return f"whether {phrase} holds for the {bare}"
    if said[0] in {"num", "n", "number", "count", "cnt"}:
        rest = " ".join(word for word in said[1:] if word != "of")
        return f"how many {rest} the {bare} has" if rest else f"how many there are of the {bare}"
    if said[-1] in {"count", "cnt", "num", "number"} and len(said) > 1:
        return f"how many {' '.join(said[:-1])} the {bare} has"
    if said[-1] in {"id", "code", "key"} and len(said) > 1:
        return f"the {' '.join(said[:-1])} of the {bare}, as a code"
    rest = " ".join(without)
    return f"the {rest} of the {bare}"


def examples(column: Column, *, most: int = 3) -> str:
    """A few of the column's values as a phrase, `student, engineer or writer`; empty where they are codes."""
    if column.shape.opaque or column.shape.words > 4:
        return ""
    values: list[str] = []
    for text, _ in column.top:
        parts = re.split(r"[|;]", text) if column.type == "list" else [text]
        for part in parts:
            plain = " ".join(part.strip(" []'\"").split())
            if re.fullmatch(r"[^\W\d_][\w .&'/-]*", plain) and 3 <= len(plain) <= 30 and plain not in values:
                values.append(plain.lower() if plain.isupper() else plain)
            if "," in part and column.type == "list":
                break
    values = [v for v in values if v.lower() not in {"nan", "none", "null", "unknown", "other", "true", "false"}][:most]
    if len(values) < 2:
        return ""
    return f"{', '.join(values[:-1])} or {values[-1]}"


def event_time_description(part: str, nouns: Nouns) -> str:
    """Of a part of the event's time."""
    return {
        "hour": f"the hour of the day of the {nouns.act}",
        "weekday": f"the day of the week of the {nouns.act}",
        "month": f"the month of the year of the {nouns.act}",
        "day": f"the day of the month of the {nouns.act}",
    }[part]
