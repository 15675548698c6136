"""What the texts of a column are."""

from __future__ import annotations

from datetime import datetime

import duckdb
import pytest

from llactr.profile.names import of_item, of_label, of_outcome, of_time, of_user, words
from llactr.profile.shapes import POINT_ZERO, shape_of


@pytest.mark.parametrize(
    ("texts", "kind", "separator"),
    [
        (["Y", "N"], "boolean", ""),
        (["true", "False", ""], "boolean", ""),
        (["1", "0", "1"], "integer", ""),
        (["00123", "04512"], "integer", ""),
        (["1.5", "2", "nan"], "number", ""),
        (["14,62", "3,10", "1.234,50"], "number", ""),
        (["1,234", "12,345", "3"], "number", ""),
        (["$1,299.99", "$3.50"], "number", ""),
        (["2011-11-05", "2012-01-01"], "time", ""),
        (["2024-05-31T09:30:00Z", "2024-05-31T09:30:00+02:00"], "time", ""),
        (["31.12.2020 10:15", "01.01.2021 00:00"], "time", ""),
        (["Comedy|Drama", "Drama", "Crime|Drama"], "list", "|"),
        (["['a', 'b']", "['b']", "['c', 'a', 'b']"], "list", "|"),
        (["N12 N13 N4", "N4 N5 N6", "N1 N2 N3 N12"], "list", " "),
        ([f"Toy Story {n} (19{n})" for n in range(10, 60)], "text", ""),
        (["2 Adults No Kids", "1 Adult No Kids", "1 Adult Kids"], "text", ""),
        (["", "NULL", "nan"], "empty", ""),
        (["35-49K", "50-74K", "Under 15K"], "text", ""),
    ],
)
def test_shapes(texts: list[str], kind: str, separator: str) -> None:
    found = shape_of([(text, 1) for text in texts])
    assert (found.kind, found.separator) == (kind, separator)


@pytest.mark.parametrize(
    ("texts", "text", "value"),
    [
        (["14,62", "3,10"], "1.234,50", 1234.5),
        (["14,62", "3,10"], "nan", None),
        (["1,234", "12,345"], "12,345", 12345.0),
        (["$1,299.99", "$3.50"], "$1,299.99", 1299.99),
        (["1.200,50 €", "3,50 €"], "1.200,50 €", 1200.5),
        (["['a', 'b']", "['b', 'c']"], "['a', 'b']", "a|b"),
        (["[]", "['b', 'c']"], "[]", None),
        (["Y", "N"], "Y", True),
    ],
)
def test_their_sql(texts: list[str], text: str, value: object) -> None:
    sql = shape_of([(one, 1) for one in texts]).sql.replace("{v}", "v").replace("{{", "{").replace("}}", "}")
    assert duckdb.execute(f"SELECT {sql} FROM (SELECT $1 AS v)", [text]).fetchone() == (value,)


@pytest.mark.parametrize(
    ("text", "zoned"),
    [
        ("Tue, 14 Nov 2023 22:13:20 +0000", True),
        ("Tue Nov 14 22:13:20 +0000 2023", True),
        ("14/Nov/2023:23:13:20 +0100", True),
        ("2023-11-14T23:13:20+01:00[Europe/Berlin]", True),
        ("Nov 14, 2023 10:13:20 PM", False),
        ("14 Nov 2023 22:13:20", False),
        ("2023/11/14 22:13:20", False),
    ],
)
def test_moments_in_the_ways_that_logs_write_them(text: str, zoned: bool) -> None:
    found = shape_of([(text, 1), (text.replace(":20", ":21"), 1)])
    assert (found.kind, found.zoned) == ("time", zoned)
    sql = found.sql.replace("{v}", "v")
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        (moment,) = connection.execute(f"SELECT epoch({sql}) FROM (SELECT $1 AS v)", [text]).fetchone() or (None,)
    assert moment == 1_700_000_000


def test_whole_numbers_with_point_zero_are_told_from_others() -> None:
    assert shape_of([("17850.0", 3), ("12.0", 1)]).spelled == POINT_ZERO
    assert shape_of([("17850.0", 3), ("12.5", 1)]).spelled == "numbers"
    assert shape_of([("1.7e9", 3), ("1.8e9", 1)]).spelled == "numbers"


def test_eight_digits_are_a_date_where_the_name_says_so() -> None:
    texts = [("20240531", 1), ("20240601", 1)]
    assert shape_of(texts).kind == "integer"
    assert shape_of(texts, name_says_time=True).kind == "time"


def test_words_of_names() -> None:
    assert words("userId") == words("user_id") == words("USER-ID") == words("userid") == ("user", "id")
    assert words("MovieIDs") == ("movie", "id")
    assert words("postcode") == ("postcode",)
    assert words("Kundennummer") == ("kundennummer",)
    assert words("Kunde") == words("cliente") == words("customer")
    assert of_label("gekauft") == of_label("bought") > 0
    assert of_user("household_id") > of_user("device_id") > of_user("store_id") == 0
    assert (
        of_user("user_feature_1")
        == of_user("user_location_country")
        == of_user("user_agent")
        == 0
        < of_user("user_name")
    )
    assert of_item("movieId") > 0
    assert of_item("user_id") == 0
    assert of_label("is_click") > of_label("banner_click_time") >= 0
    assert of_time("event_timestamp") > 0 > of_time("release_date")
    assert of_outcome("helpful_vote") == "helpful"
    assert of_outcome("next_read_time") == "next"
    assert of_outcome("page_id") is None
    assert of_outcome("is_like") == "like"
    assert of_outcome("play_time_ms") == "play time"
    assert of_outcome("look_like_segment") is None
    assert of_item("most_ads_hour") == of_item("prev_items") == 0 < of_item("hotel_url")
    assert of_user("uid") == of_user("user_id")
    assert of_time("expiration_date") < 0


def test_moments_with_thousandths_and_no_point() -> None:
    found = shape_of([("20130611000102345", 2), ("20130611000103000", 1)], name_says_time=True)
    assert found.kind == "time"
    value = duckdb.execute(f"SELECT {found.sql.replace('{v}', chr(39) + '20130611000102345' + chr(39))}").fetchone()
    assert value == (datetime(2013, 6, 11, 0, 1, 2, 345000),)


def test_codes_joined_by_commas_are_a_list_where_the_name_says_so() -> None:
    texts = [("3,12", 2), ("5", 1), ("7,1,2", 1)]
    found = shape_of(texts, name_says_list=True)
    assert (found.kind, found.separator) == ("list", ",")
    assert shape_of([("3,12", 2), ("5,50", 1)]).kind == "number"
