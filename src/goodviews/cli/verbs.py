"""What each verb does with its options; rooms are imported when their verb runs."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from goodviews.cli import graphs
from goodviews.cli.estimating import estimate
from goodviews.cli.nouns import Verb
from goodviews.cli.options import VERBS
from goodviews.interfaces import UserError

Options = dict[str, Any]


def _of_images(options: Options, verb: Verb, function: Callable[..., Any]) -> Options:
    """The options that a function of images has; one of graphs is refused."""
    known = inspect.signature(function).parameters
    for name, value in options.items():
        if name not in known and value is not None:
            raise UserError(f"{verb.option(name).flag}: is for graphs. Add --task.")
    return {name: value for name, value in options.items() if name in known}


def choose(options: Options) -> int:
    """Measure candidate views and recommend; prints as it goes."""
    if graphs.asked(options, VERBS["choose"]):
        from goodviews.studies.graphs.choose import choose_graph

        choose_graph(**graphs.arguments(options, VERBS["choose"], choose_graph))
        return 0
    from goodviews.studies.choose import choose as run

    run(**_of_images(options, VERBS["choose"], run))
    return 0


def study(options: Options) -> int:
    """Run a named study; prints as it goes."""
    from goodviews.studies.catalogue import study as run

    run(**options)
    return 0


def learn_views(options: Options) -> int:
    """Learn generators of views; prints as it goes."""
    if graphs.asked(options, VERBS["learn-views"]):
        from goodviews.studies.graphs.learned import learn_graph_views

        learn_graph_views(**graphs.arguments(options, VERBS["learn-views"], learn_graph_views))
        return 0
    from goodviews.studies.learn_views import learn_views as run

    run(**_of_images(options, VERBS["learn-views"], run))
    return 0


def train(options: Options) -> int:
    """Train one encoder; prints as it goes."""
    if options["method"] in graphs.METHODS or graphs.asked(options, VERBS["train"]):
        graphs.needed()
        from goodviews.studies.graphs.runs import train_graph

        train_graph(**graphs.arguments(options, VERBS["train"], train_graph))
        return 0
    from goodviews.studies.runs import train as run

    run(**_of_images(options, VERBS["train"], run))
    return 0


def evaluate(options: Options) -> int:
    """Probe a run beside raw pixels and the untrained network; prints the table."""
    if graphs.of_graphs(options["run"]):
        graphs.needed()
        from goodviews.studies.graphs.reading import evaluate_graph

        evaluate_graph(**graphs.arguments(options, VERBS["evaluate"], evaluate_graph))
        return 0
    from goodviews.studies.evaluate import evaluate as run

    run(**options)
    return 0


def audit(options: Options) -> int:
    """Put the doubts about mutual information to a run; prints as it goes."""
    from goodviews.studies.audit import audit as run

    run(**options)
    return 0


def embed(options: Options) -> int:
    """Write embeddings; prints where."""
    if graphs.of_graphs(options["run"]):
        graphs.needed()
        from goodviews.studies.graphs.reading import embed_graph

        embed_graph(**graphs.arguments(options, VERBS["embed"], embed_graph))
        return 0
    from goodviews.studies.embedding import embed as run

    run(**options)
    return 0


def report(options: Options) -> int:
    """Make a page again; prints where."""
    from goodviews.studies.pages import write_report

    print(write_report(options["path"]))
    return 0


def runs(options: Options) -> int:
    """Print the runs and studies below a folder."""
    from goodviews.studies.shelf import shelf, shelf_table

    print(shelf_table(shelf(options["folder"])))
    return 0


def catalogue(options: Options) -> int:
    """Print a catalogue: one line an entry."""
    from goodviews.cli.catalogues import lines

    for line in lines(options["kind"]):
        print(line)
    return 0


def preview(options: Options) -> int:
    """Draw pairs of views into one picture; prints where, and what in the recipe conflicts."""
    from goodviews import data
    from goodviews.files import write_atomic
    from goodviews.studies.artefacts import pair_sheet
    from goodviews.studies.folder import disk_guard
    from goodviews.views import Recipe, recipe_warnings

    out = Path(options.pop("out"))
    if out.suffix.lower() != ".png":
        raise UserError(f"--out: {out} is no .png. Use for example {out.with_suffix('.png')}.")
    recipe = Recipe.load(options.pop("views"))
    n, seed = options.pop("n"), options["seed"]
    source = data.load(**options)
    views = recipe.build(source.train.shape)
    picture = pair_sheet(views, source.train, recipe.partners, seed, n)
    with disk_guard(out):
        write_atomic(out, lambda path: picture.save(path, format="PNG"))
    for line in recipe_warnings(recipe, source.hints, source.train.shape):
        print(f"note: {line}")
    print(out)
    return 0


def learn(options: Options) -> int:
    """Print a lesson, or write the page of all; prints where."""
    from goodviews.primer import learn as run
    from goodviews.primer.terminal import printable

    print(printable(run(**options), sys.stdout.encoding), end="")
    return 0


RUN: dict[str, Callable[[Options], int]] = {
    "choose": choose,
    "study": study,
    "learn-views": learn_views,
    "train": train,
    "evaluate": evaluate,
    "audit": audit,
    "embed": embed,
    "estimate": estimate,
    "report": report,
    "runs": runs,
    "list": catalogue,
    "views preview": preview,
    "learn": learn,
}
