"""From words on the command line to typed values; every mistake is one line with a remedy."""

from __future__ import annotations

import argparse
import difflib
import json
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml
from jsonargparse import ArgumentParser

from goodviews.cli.nouns import Option, Verb
from goodviews.cli.options import ALIASES, GROUPS, SYNONYMS, VERBS
from goodviews.interfaces import UserError, check_name


@dataclass
class Request:
    """The words after a verb, sorted but not yet typed."""

    given: dict[str, str] = field(default_factory=dict)
    configs: list[str] = field(default_factory=list)
    help: bool = False
    print_config: bool = False


def near(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean X?" for the nearest known name, or nothing.

    Example:
        >>> near("--epoch", ["--epochs", "--steps"])
        ' Did you mean --epochs?'
    """
    close = difflib.get_close_matches(name, list(known), 1)
    return f" Did you mean {close[0]}?" if close else ""


def find_verb(words: Sequence[str]) -> tuple[Verb, list[str]]:
    """The verb that ``words`` begin with, and the words after it.

    Raises:
        UserError: for an unknown verb, with the nearest one.

    Example:
        >>> find_verb(["views", "preview", "--n", "4"])[0].name
        'views preview'
    """
    first, rest = words[0], list(words[1:])
    if first == "views":
        if rest and rest[0] == "preview":
            return VERBS["views preview"], rest[1:]
        if not rest or rest[0] in ("-h", "--help"):
            return VERBS["views preview"], ["--help"]
        raise UserError(f"views {rest[0]}: unknown. Did you mean views preview?")
    if first in VERBS:
        return VERBS[first], rest
    if first.startswith("-"):
        raise UserError(f"{first}: a verb comes first. For example: goodviews choose {first} ...")
    hint = f" Did you mean {SYNONYMS[first]}?" if first in SYNONYMS else near(first, VERBS)
    raise UserError(f"{first}: unknown verb.{hint or ' Known: ' + ', '.join(VERBS) + '.'}")


def canonical(name: str) -> str:
    """Our spelling of an option: underscores, and our own name for other tools' names.

    Example:
        >>> canonical("output-dir"), canonical("batch-size")
        ('out', 'batch_size')
    """
    name = name.replace("-", "_")
    return ALIASES.get(name, name)


def read(words: Sequence[str], verb: Verb) -> Request:
    """Sort the words after a verb: ``--key value``, ``--key=value``, ``key=value``, positions.

    Raises:
        UserError: for an unknown option, a missing value, a word too many.

    Example:
        >>> read(["simclr", "--batch-size", "8", "lr=0.1"], VERBS["train"]).given
        {'method': 'simclr', 'batch_size': '8', 'lr': '0.1'}
    """
    request, rest = Request(), list(words)
    names = {option.name: option for option in verb.options}
    slots = list(verb.positional)
    while rest:
        word = rest.pop(0)
        key, equals, value = word.lstrip("-").partition("=")
        name = canonical(key)
        if not word.startswith("-") or word == "-":
            if equals and name in (*names, "config"):
                _store(request, name, value)
            elif equals and re.fullmatch(r"[A-Za-z][\w-]*", key) and not Path(word).exists():
                raise _unknown(key, verb)
            elif slots:
                _store(request, slots.pop(0), word)
            else:
                raise UserError(f"{word}: a word too many.{_help(verb)}")
        elif word in ("-h", "--help"):
            request.help = True
        elif name == "print_config":
            request.print_config = True
        elif name == "config" or name in names:
            _store(request, name, value if equals else _value(word, names.get(name), rest))
        elif name.startswith("no_") and name[3:] in names and names[name[3:]].is_switch:
            _store(request, name[3:], "false")
        else:
            raise _unknown(key, verb, word[: len(word) - len(word.lstrip("-"))])
        slots = [slot for slot in slots if slot not in request.given]
    return request


def _store(request: Request, name: str, value: str) -> None:
    if name == "config":
        request.configs.append(value)
    else:
        request.given[name] = value


def _value(flag: str, option: Option | None, rest: list[str]) -> str:
    """Take the value of ``flag`` from the words that follow it."""
    if option is not None and option.is_switch:
        explicit = rest and rest[0].lower() in ("true", "false", "yes", "no")
        return rest.pop(0) if explicit else "true"
    if not rest or rest[0].startswith("--"):
        raise UserError(f"{flag}: needs a value. {_example(option)}")
    value = rest.pop(0)
    while option is not None and option.is_list and value.endswith(",") and rest:
        value += rest.pop(0)
    return value


def _unknown(key: str, verb: Verb, dashes: str = "--") -> UserError:
    name = canonical(key)
    known = [option.name for option in verb.options]
    close = difflib.get_close_matches(name, [*known, *ALIASES, "config", "print_config"], 1)
    target = ALIASES.get(close[0], close[0]) if close else ""
    if target in (*known, "config", "print_config"):
        hint = f" Did you mean --{target.replace('_', '-')}?"
    else:
        hint = _help(verb)
    return UserError(f"{dashes}{key}: unknown option.{hint}")


def _help(verb: Verb) -> str:
    return f" See: goodviews {verb.name} --help"


# --- types --------------------------------------------------------------------------------------


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Options in one narrow column, meanings beside them."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=24)

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(text, width, break_on_hyphens=False)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        metavar = f" {action.metavar}" if action.metavar else ""
        return f"{action.option_strings[0]}{metavar}"


def build(verb: Verb) -> ArgumentParser:
    """The jsonargparse parser of one verb: strict keys, typed values, no environment."""
    examples = "\n".join(f"  goodviews {command}\n      {what}" for command, what in verb.examples)
    slots = " ".join(
        option.unit if name in verb.required else f"[{option.unit}]"
        for name in verb.positional
        for option in [verb.option(name)]
    )
    parser = ArgumentParser(
        prog=f"goodviews {verb.name}",
        usage=f"goodviews {verb.name} {slots} [--option value ...]",
        description=f"{verb.summary}\nOptions also read from --config FILE.yaml; the command line "
        "wins.\n--batch-size 8, --batch_size=8 and batch_size=8 are the same.",
        epilog=f"examples:\n{examples}",
        formatter_class=_Formatter,
        add_help=False,
        default_env=False,
        exit_on_error=False,
    )
    for title in GROUPS:
        options = [option for option in verb.options if option.group == title]
        if not options:
            continue
        group = parser.add_argument_group(title)
        for option in options:
            text = f"{option.help} ({type_name(option)}, default: {shown(option)})"
            group.add_argument(
                f"--{option.name}",
                type=option.type,
                default=option.default,
                metavar=option.unit,
                help=text.replace("%", "%%"),
            )
    return parser


def help_text(verb: Verb) -> str:
    """What ``goodviews VERB --help`` prints: the verb's options, then those of every verb."""
    text = build(verb).format_help()
    for option in verb.options:
        text = text.replace(f"  --{option.name} ", f"  {option.flag} ", 1)
        text = text.replace(f"  --{option.name}\n", f"  {option.flag}\n", 1)
    every = (
        "every verb:\n"
        "  --config FILE         YAML with option names as keys (text, default: none)\n"
        "  --print-config        print the options as YAML and stop (yes or no, default: no)\n"
        "  --debug               show the traceback of an error (yes or no, default: no)\n\n"
    )
    head, mark, tail = text.partition("examples:\n")
    return head + every + mark + tail


def type_name(option: Option) -> str:
    """The type in words.

    Example:
        >>> type_name(VERBS["train"].option("workers"))
        'int or auto'
    """
    parts = [option.type] if get_origin(option.type) is Literal else get_args(option.type)
    if option.is_list:
        return "names with commas"
    words: list[str] = []
    for part in parts or [option.type]:
        if get_origin(part) is Literal:
            words += [str(value) for value in get_args(part)]
        elif part is type(None):
            words.append("none")
        elif get_origin(part) is dict:
            continue
        else:
            words.append({bool: "yes or no", str: "text"}.get(part, part.__name__))
    return " or ".join(words)


def shown(option: Option) -> str:
    """The default as the help shows it."""
    if isinstance(option.default, bool):
        return "yes" if option.default else "no"
    if isinstance(option.default, list):
        return ",".join(option.default)
    return "none" if option.default is None else str(option.default)


def values(request: Request, verb: Verb) -> dict[str, Any]:
    """The typed value of every option: defaults, then config files, then the command line.

    Raises:
        UserError: for a value of the wrong type, a bad config or a missing position.
    """
    parser, merged = build(verb), {}
    for path in request.configs:
        merged.update(read_config(path, verb))
    try:
        words = [f"--{name}={_text(verb.option(name), v)}" for name, v in request.given.items()]
        merged |= vars(parser.parse_args(words, defaults=False))
        found = parser.parse_object(merged)
    except argparse.ArgumentError as error:
        raise _mistyped(str(error), verb, {**merged, **request.given}) from error
    for option in verb.options:
        _check_range(option, found[option.name])
    if not request.print_config:
        for name in verb.required:
            if found[name] is None:
                command = verb.examples[0][0]
                raise UserError(f"{verb.option(name).unit} is missing. Try: goodviews {command}")
    return dict(found.as_dict())


def _check_range(option: Option, value: object) -> None:
    """Refuse a number that is too small."""
    low = option.above
    if low is not None and isinstance(value, (int, float)) and not value > low:
        whole = option.type is int or int in get_args(option.type)
        remedy = f"Use {int(low) + 1} or more" if whole else f"Use more than {low:g}"
        remedy = "Use 0 or more" if low < 0 and not whole else remedy
        raise UserError(f"{option.flag}: {value}. {remedy}.")


def _text(option: Option, value: str) -> str:
    """A value as jsonargparse reads it: lists as JSON, "none" as null where there may be none."""
    if type(None) in get_args(option.type) and value.lower() in ("none", "null"):
        return "null" if option.name != "labels" else value
    if option.is_list:
        return json.dumps(_split(value))
    return value


def _split(value: str) -> list[str]:
    return [part.strip() for part in value.strip("[]").split(",") if part.strip()]


def read_config(path: str, verb: Verb) -> dict[str, Any]:
    """The keys of a YAML file, in our spelling, all known to ``verb``.

    Raises:
        UserError: no such file, no mapping, or an unknown key with the nearest known one.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"--config: {path}: {error.strerror}. Give a YAML file.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"--config: {path} is not YAML ({reason}). Mend it.") from error
    if not isinstance(content, Mapping):
        raise UserError(f"--config: {path} holds no mapping. Write lines such as `epochs: 10`.")
    names = {option.name: option for option in verb.options}
    found = {}
    for key, value in content.items():
        name = canonical(str(key))
        if name not in names:
            hint = near(name, names) or _help(verb)
            raise UserError(f"--config: {path}: unknown key {str(key)!r}.{hint}")
        is_text = names[name].is_list and isinstance(value, str)
        found[name] = _split(value) if is_text else value
    return found


def _mistyped(message: str, verb: Verb, given: Mapping[str, Any]) -> UserError:
    """One line from jsonargparse's many."""
    match = re.search(r'key "(\w+)"', message)
    if match is None or match[1] not in {option.name for option in verb.options}:
        return UserError(" ".join(message.split()))
    option = verb.option(match[1])
    value = given.get(option.name)
    names = [kind for kind in (option.type, *get_args(option.type)) if get_origin(kind) is Literal]
    if names and set(get_args(option.type)) <= {*names, *get_args(names[0]), type(None)}:
        try:
            check_name(option.flag, str(value), get_args(names[0]))
        except UserError as error:
            return error
    expected = f"where {type_name(option)} is expected"
    return UserError(f"{option.flag}: {value!r} {expected}. {_example(option)}")


def _example(option: Option | None) -> str:
    if option is None:
        return "For example --config run/config.yaml."
    samples = {int: "8", float: "0.1", bool: "true", str: option.unit}
    kinds = [kind for kind in (option.type, *get_args(option.type)) if kind in samples]
    value = shown(option) if option.default is not None else samples[kinds[0]] if kinds else "a,b"
    return f"For example {option.flag} {value}."


def dump(found: Mapping[str, Any]) -> str:
    """The options as YAML that ``--config`` reads again."""
    return yaml.safe_dump(dict(found), sort_keys=False, allow_unicode=True)
