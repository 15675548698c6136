from __future__ import annotations

import struct
import xml.etree.ElementTree as ET

import matplotlib
import numpy as np
import pytest

from llactr.diagnostics import confusion_picture, curve_picture, forest_picture, similarity, similarity_picture
from llactr.diagnostics.pictures.canvas import short
from tests.diagnostics.report_fakes import FIELDS, fake_comparison, fake_curves, fake_vectors

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg):
    return ["".join(found.itertext()) for found in ET.fromstring(svg).iter(f"{SVG}text")]


def field_picture(**options):
    found = similarity(fake_vectors(list(FIELDS)), centered=True)
    return similarity_picture(found.fields, found.matrix, **options)


def test_similarity_picture_as_a_file_of_its_own():
    picture = field_picture(title="Centered cosines")
    svg = picture.svg()
    assert svg.startswith(b"<?xml")
    assert "Centered cosines" in texts(svg)
    assert set(FIELDS) <= set(texts(svg))
    assert b"var(--" not in svg


def test_png_has_the_size_asked_for():
    picture = field_picture()
    png = picture.png(scale=2)
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", png[16:24])
    assert (width, height) == pytest.approx((2 * picture.width, 2 * picture.height), abs=1)


def test_inline_picture_is_labelled_and_takes_the_page_colours():
    svg = field_picture(label='say "hello" & <wave>').inline()
    root = ET.fromstring(svg)
    assert root.get("aria-label") == 'say "hello" & <wave>'
    assert root.get("role") == "img"
    assert "var(--ink)" in svg
    assert "DejaVu" not in svg
    assert "#1b2430" not in svg


def test_cells_show_the_cosines_but_not_the_diagonal():
    svg = similarity_picture(["a", "b"], [[1, -0.25], [-0.25, 1]]).inline()
    assert [text for text in texts(svg) if "." in text] == ["−.25", "−.25"]


def test_confusion_cells_are_per_cent_of_the_true_field():
    svg = confusion_picture(["a", "b"], [[3, 1], [0, 0]]).inline()
    assert [text for text in texts(svg) if text.isdigit()] == ["75", "25"]


def test_names_are_not_read_as_mathtext_nor_as_colours():
    names = ["$x^2$", "#1b2430", "$\\broken{"]
    shown = texts(similarity_picture(names, np.eye(3)).inline())
    assert set(names) <= set(shown)


def test_names_are_cut_and_cleaned():
    assert short("a\nb\x00c") == "a b c"
    assert short("a_very_long_field_name") == "a_very_long_fie…"


def test_pictures_do_not_depend_on_the_users_settings():
    before = field_picture().inline()
    with matplotlib.rc_context({"font.size": 30, "svg.fonttype": "path", "axes.facecolor": "red", "text.usetex": True}):
        assert field_picture().inline() == before


def test_forest_says_its_figures_aloud():
    picture = forest_picture(fake_comparison("FwFM", seeds=(1, 2)))
    assert picture.label.startswith("Test AUC differences of FwFM: paper minus plain +0.00")
    assert {"paper", "− paper random"} <= set(texts(picture.inline()))
    assert "difference in test AUC" in texts(picture.inline())


def test_curves_of_one_epoch_and_of_many():
    curves = fake_curves()
    one = [
        curve.model_copy(update={"train_loss": (0.6,), "validation_auc": (0.7,), "best_epoch": 1}) for curve in curves
    ]
    for given in (curves, one):
        assert {"plain", "paper", "paper permuted", "paper random", "epoch"} <= set(
            texts(curve_picture(given, measure="validation_auc").inline())
        )
