"""Pictures of a report, each also usable by itself as SVG or PNG."""

from llactr.diagnostics.pictures.canvas import Picture
from llactr.diagnostics.pictures.forest import forest_picture
from llactr.diagnostics.pictures.heat_map import confusion_picture, similarity_picture
from llactr.diagnostics.pictures.learning_curves import curve_picture
from llactr.diagnostics.pictures.tuning import trials_picture, tuned_picture

__all__ = [
    "Picture",
    "confusion_picture",
    "curve_picture",
    "forest_picture",
    "similarity_picture",
    "trials_picture",
    "tuned_picture",
]
