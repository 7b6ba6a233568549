"""Views: batched ops, splits, recipes and the families that turn one dial each."""

from goodviews.views.families import FAMILIES, Family
from goodviews.views.jigsaw import JigSaw
from goodviews.views.pairs import BuiltViews
from goodviews.views.preview import contact_sheet, example_pairs, strip
from goodviews.views.recipes import OPS, RECIPES, Recipe, recipe_warnings
from goodviews.views.splits import SPLITS

__all__ = [
    "FAMILIES",
    "OPS",
    "RECIPES",
    "SPLITS",
    "BuiltViews",
    "Family",
    "JigSaw",
    "Recipe",
    "contact_sheet",
    "example_pairs",
    "recipe_warnings",
    "strip",
]
