"""`goodviews learn`: the list, lessons, answers, numbers that change the text, mistakes."""

from __future__ import annotations

import random
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from goodviews.cli import main
from goodviews.interfaces import UserError
from goodviews.primer import LESSONS
from goodviews.primer import learn as learn_text
from goodviews.primer.markdown import markdown
from goodviews.primer.numbers import say
from goodviews.primer.terminal import WIDTH

DOCS = Path(__file__).parents[2] / "docs" / "learn.md"

TRIES = [(name, options) for name, lesson in LESSONS.items() for options in lesson.tries]


def test_the_list(learn):
    """Each lesson in one line, in reading order, and how to go on."""
    code, out, err = learn()
    assert (code, err) == (0, "")
    named = [line.split()[0] for line in out.splitlines() if line[2:].split(" ")[0] in LESSONS]
    assert named == list(LESSONS)
    for lesson in LESSONS.values():
        assert f"{lesson.name} " in out and lesson.line in out
    for line in out.splitlines():
        if line.startswith("  goodviews learn ") and "--page" not in line:
            words = shlex.split(re.split(r"\s{2,}", line.strip())[0])
            assert main(words[1:]) == 0


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_has_its_parts_in_order(learn, name):
    """Example first, then words, the mistake, the question; the answer only when asked for."""
    code, out, err = learn(name)
    assert (code, err) == (0, "")
    lesson = LESSONS[name]
    first = str(lesson.examples[0].shown({}).blocks[0]).split()[:4]
    marks = [" ".join(first), "Formula", "In one's own words", "The mistake people make",
             "Question", "Change the numbers"]  # fmt: skip
    places = [out.index(mark) for mark in marks]
    assert places == sorted(places)
    assert len(lesson.words) == 2 and all(f"  {line}\n" in out for line in lesson.words)
    assert "\nAnswer\n" not in out and "--guess" in out
    assert "\nAnswer\n" in learn(name, "--answers")[1]


@pytest.mark.parametrize("name", [*LESSONS, "all"])
def test_it_fits_the_terminal(learn, name):
    """No line is wider than 80 columns, and none ends in blanks."""
    for words in ((name,), (name, "--answers")):
        for line in learn(*words)[1].splitlines():
            assert len(line) < WIDTH, line
            assert line == line.rstrip()


@pytest.mark.parametrize(("name", "options"), TRIES)
def test_changed_numbers_change_the_text(learn, name, options):
    """Every suggestion works, shows something else, and fits too."""
    code, out, err = learn(name, *shlex.split(options))
    assert (code, err) == (0, "")
    assert out != learn(name)[1]
    assert all(len(line) < WIDTH for line in out.splitlines())


def test_all_takes_the_numbers_that_fit(learn):
    out = learn("all", "--p", "1/2,1/2")[1]
    assert "coin" in out and out.count("=====") >= len(LESSONS)
    assert "all 2 equally likely" in out


def test_answers_are_checked(learn):
    """Right within one per cent, wrong, right in the other unit."""
    for name, lesson in LESSONS.items():
        code, out, _ = learn(name, "--guess", repr(lesson.answer * 1.004))
        assert code == 0 and out.startswith("Right.\n")
        assert " ".join(lesson.solution.split()) in " ".join(out.split())
        assert learn(name, "--guess", repr(lesson.answer * 1.1))[1].startswith("Not yet")
    assert "asks for bits" in learn("entropy", "--guess", "1.386")[1]
    assert "asks for nats" in learn("infonce", "--guess", "3")[1]
    assert learn("nce", "--guess", "1/5")[1].startswith("Right")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("entrpy", ["unknown 'entrpy'", "Did you mean 'entropy'?"]),
        ("xyzzy", ["unknown 'xyzzy'", "five-faces"]),
        ("entropy --p 0.5,0.6", ["--p", "sum to 1.1"]),
        ("entropy --p 0.3,0.3,0.3", ["--p", "sum to 0.9", "1/3"]),
        ("entropy --p -0.5,1.5", ["--p: -0.5", "between 0 and 1"]),
        ("entropy --p 0.5,half", ["--p: 'half' is no number"]),
        ("entropy --p nan,1", ["--p: 'nan' is no number"]),
        ("entropy --p 1/0,1", ["--p: '1/0' is no number"]),
        ("entropy --p ,", ["--p: '' is no number"]),
        ("entropy --p 1", ["--p: 1 alone"]),
        (f"entropy --p {','.join(['1/20'] * 20)}", ["--p: 20 numbers", "16"]),
        ("information --p 1.5", ["--p: 1.5 is not between 0 and 1"]),
        ("cross-entropy --p 1/2,1/2 --q 1/3,1/3,1/3", ["--q: 3 probabilities", "2 in --p"]),
        ("kl --p 1/2,1/2 --q 1/3,1/3,1/3", ["--q: 3 probabilities", "2 in --p"]),
        ("kl --shift far", ["--shift: 'far' is no number"]),
        ("mutual-information --joint 0.5,0.2,0.3", ["--joint: 3 numbers", ";"]),
        ("mutual-information --joint 0.5,0.2;0.3", ["--joint: rows have 2, 1"]),
        ("mutual-information --joint 0.5,0.2,0.2,0.2", ["--joint", "sum to 1.1"]),
        ("mutual-information --rho 1", ["--rho: 1 is not between -1 and 1"]),
        ("views --n 1", ["--n: 1", "from 2 to 64"]),
        ("nce --p-noise 0", ["--p-noise: 0 is not"]),
        ("nce --negatives 1.5", ["--negatives: 1.5", "whole number"]),
        ("infonce --scores 2", ["--scores: 2 is the positive alone", "2,0,0"]),
        ("infonce --temperature 0", ["--temperature: 0 is not above 0"]),
        ("infonce --temperature -1", ["--temperature: -1 is not above 0"]),
        ("bounds --candidates 4,1", ["--candidates: 1", "from 2"]),
        ("bounds --n 5000", ["--n: 5000", "2,000"]),
        ("five-faces --n many", ["--n: 'many' is no number"]),
        ("entropy --rho 0.5", ["--rho", "lesson entropy", "--p"]),
        ("--rho 0.5", ["--rho: which lesson?", "learn mutual-information --rho 0.5"]),
        ("--guess 3", ["--guess: which lesson?", "--guess 3"]),
        ("all --guess 3", ["--guess: 3", "all"]),
        ("entropy --guess three", ["--guess: 'three' is no number"]),
        ("entropy kl", ["kl: a word too many"]),
        ("--page learn.txt", ["--page: learn.txt", "learn.html"]),
        ("entropy --pp 1", ["--pp: unknown option", "Did you mean"]),
    ],
)
def test_mistakes(learn, line, words):
    """One line that names the thing, the value and the remedy; exit 2."""
    code, out, err = learn(*line.split())
    assert (code, out) == (2, "")
    assert len(err.strip().splitlines()) == 1 and err.startswith("goodviews: ")
    for word in words:
        assert word in err, (word, err)


def random_numbers(rng: random.Random) -> dict[str, str]:
    """Numbers that a reader may type, the extreme ones too."""

    def simplex(n: int) -> str:
        weights = [rng.choice([0.0, rng.random(), 1.0, 1e-9]) for _ in range(n)]
        total = sum(weights) or 1.0
        found = [w / total for w in weights] if sum(weights) else [1.0] + [0.0] * (n - 1)
        return ",".join(f"{x:.17g}" for x in found)

    n, side = rng.randint(2, 16), rng.randint(2, 4)
    return {
        "p": simplex(n),
        "q": simplex(n),
        "joint": simplex(side * side),
        "rho": str(rng.choice([0, -0.999999, rng.uniform(-1, 1), 0.999999999])),
        "shift": str(rng.choice([0, 100, -3, rng.uniform(-99, 99)]) * 0.99),
        "scores": ",".join(str(rng.uniform(-1, 1) * rng.choice([1, 1000])) for _ in range(n)),
        "temperature": str(rng.choice([1e-3, 1, 1e4])),
        "candidates": ",".join(str(rng.choice([2, 10**7, rng.randint(2, 999)])) for _ in "abc"),
        "n": str(rng.randint(2, 64)),
        "shared": str(rng.randint(1, 16)),
        "p_model": str(rng.choice([1e-6, rng.random() + 1e-9, 999])),
        "p_noise": str(rng.choice([1e-6, rng.random() + 1e-9, 999])),
        "negatives": str(rng.choice([1, 10**6, rng.randint(1, 99)])),
    }


@pytest.mark.parametrize("seed", range(25))
def test_any_numbers_make_a_lesson(seed):
    """No number that is let in leads to nan, to an error, or to a line too wide."""
    rng = random.Random(seed)
    for name, lesson in LESSONS.items():
        given = {k: v for k, v in random_numbers(rng).items() if k in lesson.numbers}
        text = learn_text(name, **given)
        assert not re.search(r"\bnan\b|\binf\b|-0\.0000|-0\b(?!\.)", text), (given, text)
        assert max(map(len, text.splitlines())) <= WIDTH, given


def test_markdown_is_the_documentation(learn):
    """docs/learn.md is what `goodviews learn all --markdown` prints."""
    code, out, err = learn("all", "--markdown")
    assert (code, err) == (0, "")
    assert out == DOCS.read_text(encoding="utf-8"), "make docs/learn.md again"
    assert learn("--markdown")[1] == out


def test_markdown_is_well_formed():
    """Fences are closed, contents lead to headings, answers are folded."""
    text = markdown(LESSONS, {})
    assert text.count("```") % 2 == 0
    heads = re.findall(r"^## (.*)$", text, flags=re.MULTILINE)
    assert heads == [lesson.title for lesson in LESSONS.values()]
    assert text.count("<details>") == text.count("</details>") == len(LESSONS)
    for row in re.findall(r"^\|.*\|$", text, flags=re.MULTILINE):
        assert row.count("|") - 2 * row.count("\\|\\|") >= 3


def test_a_poor_terminal_gets_plain_characters():
    """An output that knows ASCII only gets bars of # and =, not an error."""
    done = subprocess.run(
        [sys.executable, "-m", "goodviews", "learn", "all", "--answers"],
        capture_output=True,
        env={"PYTHONIOENCODING": "ascii", "PATH": ""},
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode("ascii")
    assert "|####" in text and "|====" in text


def test_it_is_light():
    """A lesson imports no torch, no plotly and no scipy."""
    script = (
        "import sys; from goodviews.cli import main; main(['learn', 'all'])\n"
        "heavy = ('torch', 'plotly', 'scipy', 'sklearn', 'lightning', 'jinja2')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_from_python():
    """The same from Python: numbers as typed, errors as ours."""
    assert "all 2 equally likely" in learn_text("entropy", p="0.9,0.1")
    with pytest.raises(UserError, match="sum to 1.1"):
        learn_text("entropy", p="0.5,0.6")


@pytest.mark.parametrize(
    ("x", "text"),
    [(float("-inf"), "-infinite"), (1e-13, "0"), (-0.0, "0"), (1234.5, "1,234"), (4.87e8, "4.9e8"),
     (0.19274, "0.1927"), (2, "2")],
)  # fmt: skip
def test_say(x, text):
    assert say(x) == text
