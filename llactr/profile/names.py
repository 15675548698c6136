"""What a column's name says: its words, and whether they speak of a person, a thing, a moment or an outcome."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Literal

__all__ = [
    "is_code", "is_measure", "noun", "of_item", "of_label", "of_outcome", "of_time", "of_user", "spec_name", "words",
]  # fmt: skip

PEOPLE = (
    "user", "customer", "household", "person", "member", "visitor", "client", "reader", "viewer", "shopper", "buyer",
    "reviewer", "listener", "player", "subscriber", "guest", "passenger", "student", "account", "consumer", "patient",
    "borrower", "traveler", "traveller", "employee", "applicant", "candidate", "worker", "profile", "hhid",
)  # fmt: skip
"""Nouns of whoever acts, the plainest first."""
FAINT_PEOPLE = ("device", "cookie", "session", "visit", "browser", "ip", "author", "uid", "uuid", "card", "msno")
"""What stands in for a person where nothing better does."""
THINGS = (
    "item", "product", "movie", "film", "article", "ad", "creative", "news", "song", "track", "artist", "album", "book",
    "game", "app", "dish", "recipe", "hotel", "listing", "video", "post", "page", "property", "offer", "doc",
    "document",
    "content", "ware", "sku", "asin", "isbn", "anime", "show", "series", "episode", "restaurant", "business", "venue",
    "poi", "place", "course", "job", "vacancy", "question", "image", "photo", "pin", "clip", "story", "podcast",
    "banner",
    "campaign", "stock", "merchandise", "beer", "wine", "joke", "trip", "destination", "adgroup", "eyecatcher", "good",
    "goods", "lot", "deal", "coupon", "title", "headline",
)  # fmt: skip
"""Nouns of what is acted upon, the plainest first."""
_OF_A_PERSON = {
    "feature",
    "features",
    "location",
    "country",
    "city",
    "town",
    "state",
    "region",
    "age",
    "gender",
    "sex",
    "agent",
    "type",
    "segment",
    "group",
    "level",
    "income",
    "job",
    "occupation",
    "affinity",
    "rating",
    "score",
    "count",
    "status",
    "zip",
}
"""Words of names that say something of a person, and so name none: `user_location_country`."""
_PARTS = {"ids": "id", "mid": "movie id", "iid": "item id", "pid": "product id", "cid": "customer id", "aid": "ad id",
          "uid": "user id", "adv": "ad"}  # fmt: skip
_TIMES = {
    "timestamp": 6, "ts": 5, "datetime": 6, "time": 5, "date": 4, "at": 4, "when": 5, "posted": 4, "unixtime": 5,
    "day": 3, "hour": 3, "clock": 3, "dt": 4, "occurred": 4, "viewed": 3, "clicked": 2, "invoicedate": 5, "utc": 3,
    "epoch": 5, "week": 1, "rated": 3, "reviewed": 3, "moment": 5, "impression": 2, "event": 3, "request": 3,
    "server": 1,
}  # fmt: skip
_OTHER_TIMES = {
    "next", "end", "ended", "last", "updated", "update", "birth", "born", "birthday", "release", "released", "signup",
    "registered", "registration", "created", "joined", "expire", "expires", "expiry", "delivered", "delivery",
    "returned", "edited", "modified", "published", "publish", "start", "since", "read", "finish", "finished", "due",
    "expiration", "expired", "renewal", "renewed", "cancelled", "canceled", "uploaded", "upload",
}  # fmt: skip
_LABELS = {
    "click": 10, "clicked": 10, "label": 10, "target": 9, "isclick": 10, "clk": 9, "y": 6, "purchased": 7, "bought": 7,
    "converted": 7, "conversion": 6, "liked": 7, "like": 6, "recommend": 7, "recommended": 7, "recommends": 7,
    "purchase": 6, "installed": 7, "install": 6, "buy": 6, "response": 6, "outcome": 6, "class": 6, "responded": 7,
    "booking": 6, "booked": 7, "subscribed": 6, "accepted": 7, "accept": 6, "redeemed": 7, "opened": 7, "open": 4,
    "hit": 5, "positive": 6, "churn": 6, "action": 4, "attributed": 7, "played": 6, "watched": 6, "finish": 4,
    "ordered": 7, "reordered": 5, "added": 5, "is_click": 10, "income": 3, "interested": 6, "reaction": 4, "applied": 6,
    "deposit": 4, "default": 4, "winner": 2,
}  # fmt: skip
_OUTCOMES = {
    "helpful", "helpfulness", "votes", "vote", "upvotes", "downvotes", "review", "reviewtext", "comment", "comments",
    "feedback", "reply", "replies", "readtime", "dwell", "watchtime", "scroll", "next", "conversion", "conversions",
    "revenue", "paid", "refund", "refunded", "returned", "clicks", "clicked", "click", "ctr", "cvr", "significance",
    "winner", "won", "funny", "cool", "engagement", "shares", "shared", "likes", "liked", "sales", "spend", "spent",
    "total", "outcome", "purchased", "bought", "converted", "ordered", "installed", "post", "after", "result", "ended",
    "completed", "finished", "attributed", "conv", "redeemed", "opened", "delivered", "disc", "summary", "anomaly",
    "subtotal", "profit", "place", "read", "percentage", "response", "purchase", "checkout", "cart", "rating", "rated",
    "stars", "score", "edited", "proceeds", "useful", "bounce", "bounced", "exit", "attribution", "watched",
}  # fmt: skip
_OUTCOME_PAIRS = {
    ("play", "time"), ("play", "duration"), ("watch", "time"), ("watch", "ratio"), ("watching", "times"),
    ("watching", "time"), ("stay", "time"), ("view", "time"), ("dwell", "time"), ("long", "view"), ("profile", "enter"),
    ("read", "duration"), ("finish", "rate"), ("completion", "rate"), ("conversion", "id"),
    ("active", "time"), ("order", "status"),
}  # fmt: skip
_BEFORE = {"prev", "previous", "history", "hist", "past"}
_CLOCK = {"hour", "day", "weekday", "month", "year", "time", "date"}
_FEEDBACK = {
    "like",
    "follow",
    "forward",
    "hate",
    "dislike",
    "share",
    "collect",
    "favorite",
    "favourite",
    "subscribe",
    "finish",
}
"""Acts of who saw a thing, where a name says nothing else: `is_like`, `follow`."""
_CODES = {
    "id", "code", "zip", "zipcode", "postcode", "postal", "type", "category", "cat", "class", "group", "segment",
    "brand",
    "version", "flag", "is", "has", "gender", "sex", "region", "city", "country", "state", "lang", "language",
    "channel",
    "os", "model", "carrier", "device", "cluster", "slot", "site", "domain", "store", "shop", "department", "dept",
    "key", "no", "num_id", "sku", "campaign", "page", "hash", "weekday", "month", "hour", "day", "dow", "pid", "level",
    "status", "network", "area", "district", "banner", "cate", "cms", "segid", "tier", "isbn", "upc", "ean", "phone",
    "manufacturer", "occupation", "job", "profession", "publisher", "developer", "advertiser", "position", "pos",
}  # fmt: skip
_MEASURES = {
    "age", "price", "count", "cnt", "num", "number", "amount", "amt", "qty", "quantity", "total", "avg", "mean", "sum",
    "size", "length", "len", "duration", "distance", "height", "width", "weight", "score", "rate", "ratio", "percent",
    "percentage", "pct", "share", "value", "balance", "income", "salary", "cost", "revenue", "budget", "discount",
    "hours", "hour_per_week", "minutes", "seconds", "days", "views", "sales", "temperature", "lat", "latitude", "lon",
    "lng", "longitude", "runtime", "pages", "year_built", "capacity", "n", "rank", "popularity", "density", "tenure",
    "bid", "kids_number", "visits", "sessions", "purchases", "reviews", "ratings", "votes", "gain", "loss", "fnlwgt",
}  # fmt: skip


_IN_ENGLISH = {
    "kunde": "customer", "kunden": "customer", "nutzer": "user", "benutzer": "user", "käufer": "buyer",
    "besucher": "visitor", "utilisateur": "user", "acheteur": "buyer", "usuario": "user", "usuário": "user",
    "cliente": "customer", "utente": "user", "gebruiker": "user", "klant": "customer",
    "artikel": "article", "produkt": "product", "produit": "product", "producto": "product", "produto": "product",
    "prodotto": "product", "anzeige": "ad", "anuncio": "ad", "buch": "book", "livre": "book", "película": "film",
    "pelicula": "film", "titel": "title", "titre": "title", "título": "title", "titulo": "title",
    "zeitpunkt": "timestamp", "zeit": "time", "datum": "date", "uhrzeit": "time", "fecha": "date", "heure": "hour",
    "gekauft": "bought", "geklickt": "clicked", "klick": "click", "bestellt": "ordered", "gebucht": "booked",
    "acheté": "bought", "achete": "bought", "cliqué": "clicked", "clic": "click",
    "comprado": "bought", "comprou": "bought", "clicado": "clicked", "clicou": "clicked", "acquistato": "bought",
    "cliccato": "clicked", "bewertung": "rating", "sterne": "stars", "étoiles": "stars",
    "preis": "price", "prix": "price", "precio": "price", "preço": "price", "preco": "price", "prezzo": "price",
    "prijs": "price", "anzahl": "count", "menge": "quantity", "betrag": "amount", "rabatt": "discount",
    "alter": "age", "edad": "age", "geschlecht": "gender", "sexe": "gender", "beruf": "occupation", "stadt": "city",
    "ville": "city", "ciudad": "city", "cidade": "city", "kategorie": "category", "catégorie": "category",
    "categorie": "category", "categoría": "category", "categoria": "category", "marke": "brand", "marque": "brand",
    "marca": "brand", "gerät": "device", "geraet": "device", "beschreibung": "description", "hersteller":
    "manufacturer", "用户": "user", "顾客": "customer", "会员": "member", "商品": "item", "物品": "item", "广告": "ad",
    "电影": "movie", "时间": "time", "日期": "date", "点击": "clicked", "购买": "purchased", "评分": "rating",
    "ユーザー": "user", "クリック": "clicked", "日時": "datetime", "пользователь": "user", "товар": "product",
    "клик": "click", "дата": "date", "время": "time", "abteilung": "department", "seite": "page", "nummer": "number",
}  # fmt: skip
"""Words of names in other languages that tell a column's role."""


def words(name: str) -> tuple[str, ...]:
    """The lower-case words of a name: `userId`, `user_id` and `USER-ID` are ("user", "id"), `Kunde` is a customer."""
    spaced = re.sub(r"([a-z0-9])([A-Z])|([A-Z]+)([A-Z][a-z])", r"\1\3 \2\4", name)
    found: list[str] = []
    for word in re.findall(r"[^\W\d_]+|\d+", spaced.lower()):
        found += _split(_IN_ENGLISH.get(word, word))
    return tuple(found)


def _split(word: str) -> list[str]:
    """`visitorid` -> visitor, id; `itemids` -> item, id."""
    if word in {"postcode", "zipcode", "barcode"}:
        return [word]
    if word in _PARTS:
        return _PARTS[word].split()
    known = (*PEOPLE, *FAINT_PEOPLE, *THINGS, "store", "brand", "category", "campaign", "impression", "page", "site")
    for tail in ("id", "ids", "key", "name", "type", "code"):
        head = word.removesuffix(tail)
        if head != word and head in known:
            return [head, "id" if tail == "ids" else tail]
    return [word]


def _among(name: str, nouns: tuple[str, ...]) -> str | None:
    found = words(name)
    for word in found:
        for one in (word, word.removesuffix("s")):
            if one in nouns:
                return one
    return None


def of_user(name: str) -> int:
    """How much a name speaks of a person's key: 0 not at all, 2 faintly, 5 and more clearly."""
    found = words(name)
    person = _among(name, PEOPLE)
    if person is not None and len(found) > 1 and set(found) & _OF_A_PERSON:
        return 0
    if person is not None and len(found) <= 3:
        return 8 if found[-1] in {"id", "key", "no", "number", "code", "hash"} or len(found) == 1 else 4
    return 2 if _among(name, FAINT_PEOPLE) and len(found) <= 3 else 0


def of_item(name: str) -> int:
    """The same of a thing's key."""
    found = words(name)
    thing = _among(name, THINGS)
    if thing is None or len(found) > 3 or (_among(name, PEOPLE) and found[0] in PEOPLE) or set(found) & _BEFORE:
        return 0
    rank = 2 if THINGS.index(thing) < 12 else 0
    keyed = found[-1] in {"id", "key", "no", "code", "sku", "asin", "isbn"} or found in {("asin",), ("isbn",), ("sku",)}
    keyed |= found[-1] in {"url", "uri"} and thing not in {"image", "photo", "pin", "banner", "clip"}
    if not keyed and len(found) > 1 and (is_measure(name) or found[-1] in _CLOCK):
        return 0
    return (7 if keyed else 5 if len(found) == 1 else 2) + rank


def noun(name: str, owner: Literal["user", "item"]) -> str | None:
    """The noun of a key's name, as descriptions say it: `household` of `household_id`; None where it names none."""
    found = _among(name, PEOPLE if owner == "user" else THINGS)
    if owner == "user" and found in {"user", "account", "profile", "member", "hhid", None}:
        return None if found is None else "person"
    plain = {"sku": "product", "asin": "product", "isbn": "book", "doc": "document", "poi": "place", "ad": "ad",
             "goods": "product", "good": "product", "stock": "product"}  # fmt: skip
    return plain.get(found, found) if found else None


def of_time(name: str) -> int:
    """How much a name speaks of the moment of an event; negative for moments of other things."""
    found = words(name)
    if any(word in _OTHER_TIMES for word in found):
        return -2
    return max((_TIMES.get(word, 0) for word in found), default=0)


def of_label(name: str) -> int:
    """How much a name speaks of what is to be predicted."""
    found = words(name)
    strong = max((_LABELS.get(word, 0) for word in found), default=0)
    return max(strong - 2 * max(len([w for w in found if w != "is"]) - 1, 0), 0) if strong else 0


def of_outcome(name: str) -> str | None:
    """The word of a name that speaks of what is known only after the event; None where there is none."""
    found = words(name)
    if found[:1] in {("next",), ("post",), ("after",)} and len(found) > 1:
        return found[0]
    pair = next((f"{a} {b}" for a, b in pairwise(found) if (a, b) in _OUTCOME_PAIRS), None)
    act = next((word for word in found if word in _FEEDBACK and set(found) <= {word, "is", "has"}), None)
    if pair or act:
        return pair or act
    if found and found[-1] in {"id", "at", "category", "type", "code"}:
        return None
    ignored = {"place", "read", "percentage", "post", "next", "after"}
    return next((word for word in found if word in _OUTCOMES - ignored), None) or (
        "_".join(found) if found in {("read", "time"), ("first", "place"), ("scroll", "percentage")} else None
    )


def is_code(name: str) -> bool:
    """Whether a number of that name is a code and not a quantity: `zip_code`, `category_id`."""
    found = words(name)
    return any(word in _CODES for word in found) and not is_measure(name)


def is_measure(name: str) -> bool:
    """Whether a number of that name is a quantity: `age`, `price`, `num_kids`."""
    found = words(name)
    return any(word in _MEASURES for word in found) and not (found and found[-1] in {"id", "code"})


def spec_name(text: str) -> str:
    """A dataset's name made of a text: lower-case letters, digits and hyphens."""
    found = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].strip("-")
    return found or "dataset"
