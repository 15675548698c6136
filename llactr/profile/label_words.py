"""Words of labels: what names and values say of ratings, slates, kinds of events, yes and no."""

from __future__ import annotations

import re

__all__ = [
    "ACTIONS",
    "AMOUNTS",
    "ATTRIBUTES",
    "CHOSEN",
    "NO",
    "RATINGS",
    "SHOWN",
    "YES",
    "says_no",
    "tells_outcome",
]

RATINGS = {
    "rating",
    "ratings",
    "stars",
    "star",
    "score",
    "overall",
    "grade",
    "rate",
    "evaluation",
    "rated",
    "preference",
    "relevance",
}
SHOWN = {"inview", "shown", "impressions", "impression", "candidates", "displayed", "slate", "exposed", "list",
          "viewed", "presented", "items", "view", "views", "exposures", "recommended"}  # fmt: skip
CHOSEN = {"clicked", "clicks", "click", "chosen", "selected", "bought", "purchased", "clk", "positive", "positives"}
AMOUNTS = {"plays", "playcount", "listens", "dwell", "watchtime", "duration", "scrobbles", "watch", "play", "hours",
            "playtime", "weight", "interactions"}  # fmt: skip
ACTIONS = {
    "purchase": 9, "transaction": 9, "buy": 9, "order": 9, "bought": 9, "purchased": 9, "conversion": 8, "install": 8,
    "booking": 8, "book": 7, "checkout": 7, "addtocart": 6, "cart": 6, "add_to_cart": 6, "click": 5, "clickout": 5,
    "clickout item": 5, "like": 5, "fav": 5, "favorite": 5, "favourite": 5, "save": 5, "share": 5, "wishlist": 5,
    "play": 4, "open": 4, "view": 1, "pv": 1, "impression": 0, "show": 0, "detail": 1, "skip": 0, "dislike": 0,
    "remove_from_cart": 0, "pageview": 1, "exposure": 0, "seen": 0, "impress": 0,
}  # fmt: skip
_BARE_NO = {"0", "false", "no", "n", "f", "off", "none", "-", "bad", "neg", "negative", "nein", "non", "nee", "não",
            "nao", "nie", "нет", "否", "いいえ", "fail", "failed", "failure"}  # fmt: skip
NO = {"0", "false", "no", "n", "f", "off", "none", "skip", "skipped", "ignored", "lost", "rejected", "declined",
       "negative", "neg", "bad", "-", "nein", "non", "nee", "não", "nao", "nie", "нет", "否", "いいえ", "failure",
       "fail", "failed", "dislike", "disliked"}  # fmt: skip
YES = {"on", "accepted", "success", "purchase", "purchased", "converted", "installed", "subscribed", "liked",
       "taken", "1", "true", "yes", "y", "t", "click", "clicked", "buy", "bought", "like", "positive", "good", "+",
       "won", "ja", "oui", "sí", "si", "sim", "sì", "tak", "да", "是", "はい"}  # fmt: skip
ATTRIBUTES = {
    "is", "has", "new", "mobile", "member", "premium", "prime", "weekend", "holiday", "promo", "promotion",
    "gift", "coupon", "male", "female", "active", "verified", "subscriber", "guest", "discounted", "sale",
    "featured", "sponsored", "organic", "prepaid", "express", "online", "instore", "test", "control",
    "treatment", "valid", "deleted", "missing", "display", "mailer", "returning", "registered", "free",
    "adult", "available",
}  # fmt: skip
"""Words of yes or no that are no outcome."""


def tells_outcome(text: str) -> bool:
    """Whether a value is no bare yes or no, but says that someone declined: `skipped`, `not bought`."""
    found = text.strip().lower()
    return says_no(found) and found not in _BARE_NO


def says_no(text: str) -> bool:
    """Whether a value says that it was no click."""
    return text.strip().lower() in NO or bool(re.match(r"(no|not|non|un)[ _-]", text.strip().lower()))
