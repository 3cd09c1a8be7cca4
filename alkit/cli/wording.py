"""Error messages in the words of the command line.

Messages are written in the words of Python. On the command line, parameters become options, values become what one
types, and methods become commands:

==========================================  ==========================================
in Python                                   on the command line
==========================================  ==========================================
``test must be ...`` at the beginning       ``--test-fraction must be ...``
``learner.lr: recorded 0.1, now 0.2``       ``--lr: recorded 0.1, now 0.2``
``initial=alkit.strategy('random')``        ``--initial random``
``a larger size=``                          ``a larger --size``
``precision='32-true'``                     ``--param learner.precision=32-true``
``tell()``                                  ``alkit tell``
==========================================  ==========================================
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Callable, Iterable, Mapping

HINT = ". Try: "
"""Words of a message between what is wrong and the fix."""

PARAM = "--param "

PARAMETERS = {
    "path": "--images",
    "pool": "--images",
    "test": "--test-fraction",
    "also": "--as",
    "outbox": "--out",
    "precision": f"{PARAM}learner.precision",
    "carry_on": f"{PARAM}learner.carry_on",
    "draws": f"{PARAM}draws",
}
"""Options by name of the parameter in Python, if the names differ."""

SETTINGS = (
    (r"(?:pool|test)\.(?:height|width)", "--size"),
    (r"(?:pool|test)\.channels", "--grayscale"),
    (r"pool\b.*", "--images"),
    (r"test\b.*", "--test-fraction"),
    (r"(?:learner\.)*(?:strategy\.features|warm_start)\.epochs", "--pretext-epochs"),
    (r".*\bnetwork\.widths", "--widths"),
    (r"(?:strategy\.features|(?:learner\.)+warm_start)\.(.+)", rf"{PARAM}features.\1"),
    (r"strategy\.features", "--features"),
    (r"strategy\.(.+)", rf"{PARAM}\1"),
    (r"(?:learner\.)+(steps|epochs|lr|members|warm_start)", r"--\1"),
    (r"(?:learner\.)+(.+)", rf"{PARAM}learner.\1"),
    (r"(?:terms\.|classes\.)?(\w+)", r"--\1"),
)
"""Patterns of settings in a record, and their options. The first pattern that matches counts."""

LEARNER = {"steps": "--steps", "epochs": "--epochs", "lr": "--lr"}
"""Options by name of the learner's parameters that a warning about a model may name."""

COMMANDS = (
    (r"(?:Experiment\.)?answers\(\)", "alkit status --json"),
    (r"(?:[Ee]xperiment\.)?(ask|tell|fit|withdraw|reject|evaluate)\(\)", r"alkit \1"),
    (r"tell\(\.\.\., revise=True\), which records it too", "alkit import --revise"),
    (r"tell\(\.\.\., revise=True\)", "alkit tell"),
    (r"Experiment\.open\(\.\.\.\)\.fit\(\)", "alkit fit"),
    (r"Experiment\(\.\.\., store=\.\.\.\)", "alkit start or alkit run"),
    (r"Experiment\(\.\.\., classes=\([^()]*\)\)", "alkit start --classes background,object"),
    (r"(?:alkit\.)?predict_folder\(\)", "alkit predict"),
    (r"Experiment\(\.\.\., rules=\.\.\.\)", "alkit change STORE with other --only, --never or --max-per-group"),
    (r"(?:alkit\.trained\.)?predict_volumes\(\)", "alkit predict --volumes"),
    (r"change=True", "alkit change"),
    (r"Pretrained\(\.\.\., weights='FILE'\)", "alkit features --weights FILE"),
    (r"(?:alkit\.features\.)?Embeddings\(FILE\)", "alkit features --embeddings FILE"),
    (r"(?:alkit\.features\.)?Embeddings\(FILE, IDS\)", "alkit features --embeddings IDS"),
    (r"the traceback", "the traceback, which --debug shows"),
)
"""Patterns of methods of Python in a fix, and the commands that do the same."""

ALONE = r"(?<![\w.(-])(?<!--param )"
"""Pattern of what stands before the name of a parameter that is not an option already."""

VALUE = r"""('[^']*'|"[^"]*"|\([^()]*\)|[\w.]+\([^()]*\)|[^\s,;.()]+(?:\.\d+)?)"""
"""Pattern of a value of Python."""


def for_command_line(message: str, options: Mapping[str, str], of_start: Mapping[str, str] | None = None) -> str:
    """Rewrite an error message in the words of the command line: parameters as options, and methods as commands.

    Parameters
    ----------
    message:
        Message of an :class:`alkit.AlkitError`, in the words of Python.
    options:
        Options of the command by name of the parameter.
    of_start:
        Options of ``alkit start``, which a fix may name if the command lacks the option.

    Examples
    --------
    >>> options = {name: f"--{name}" for name in ("size", "rounds", "grayscale", "initial", "lr")}
    >>> for_command_line("all images must have the same size. Try: size=256 to resize them.", options)
    'all images must have the same size. Try: --size 256 to resize them.'
    >>> for_command_line("rounds must be an integer >= 0: got -1", options)
    '--rounds must be an integer >= 0: got -1'
    >>> for_command_line("a.png has 16 bits per pixel. Try: grayscale=True.", options)
    'a.png has 16 bits per pixel. Try: --grayscale.'
    >>> for_command_line("round 0 has no model. Try: initial=alkit.strategy('random').", options)
    'round 0 has no model. Try: --initial random.'
    >>> for_command_line("training diverged. Try: a smaller lr=.", options)
    'training diverged. Try: a smaller --lr.'
    >>> for_command_line("the model is older than the labels. Try: fit() first.", options)
    'the model is older than the labels. Try: alkit fit first.'
    >>> for_command_line("r.db was created with other settings: learner.lr: recorded 0.1, now 0.2", options)
    'r.db was created with other settings: --lr: recorded 0.1, now 0.2'
    >>> for_command_line("its settings cannot change any more: pool.width: recorded 64, now 96", options)
    'its settings cannot change any more: --size: recorded 64, now 96'
    >>> for_command_line("training diverged. Try: a smaller lr=.", {}, {"lr": "--lr"})
    'training diverged. Try: a smaller --lr of alkit start.'
    """
    what, separator, hint = message.partition(HINT)
    for pattern, command in COMMANDS:
        hint = re.sub(rf"(?<![\w.]){pattern}", command, hint)
    if "features" in options:
        hint = hint.replace("alkit.Reconstruction()", f"{options['features']} reconstruction")
    what = _with_settings(what, lambda setting: as_option(setting, options))
    reworded = name_options(what + separator + hint, _with_parameters(options))
    what, separator, hint = reworded.partition(HINT)
    return what + _in_hint(separator + hint, _with_parameters(of_start or {}), " of alkit start")


def left_out_in_words(reason: str) -> str:
    """Return the reason why an image is left out, with the command that takes it in if it was repaired."""
    from alkit.record.left_out import REPAIRED

    return f"{reason}; the next alkit ask takes it in" if reason == REPAIRED else reason


def warning_for_command_line(warning: str, command: str) -> str:
    """Rewrite a warning of a round: parameters of the learner become options of the command that made the record.

    >>> warning_for_command_line("The model ... . Try: epochs=(60, 20), a larger lr=, or more labels.", "alkit run")
    'The model ... . Try: --epochs 60,20 of alkit run, a larger --lr of alkit run, or more labels.'
    >>> warning_for_command_line("The model ... . Try: steps=(600, 600).", "alkit start")
    'The model ... . Try: --steps 600,600 of alkit start.'
    """
    what, separator, hint = warning.partition(HINT)
    return what + _in_hint(separator + hint, LEARNER, f" of {command}")


def _with_parameters(options: Mapping[str, str]) -> dict[str, str]:
    """Return options by the names of parameters in Python, where these differ, too."""
    return {name: option for name, option in PARAMETERS.items() if _has(options, option)} | dict(options)


def name_options(message: str, options: Mapping[str, str]) -> str:
    """Name options in place of parameters, at the beginning of a message and in its fix.

    >>> name_options("batch must be an integer >= 1: got 0. Try: batch=4.", {"batch": "--param learner.batch"})
    '--param learner.batch must be an integer >= 1: got 0. Try: --param learner.batch=4.'
    """
    if not options:
        return message
    what, separator, hint = message.partition(HINT)
    names = "|".join(map(re.escape, options))
    what = re.sub(rf"^({names})(?= must |: | of )", lambda found: options[found[1]], what)
    return what + _in_hint(separator + hint, options)


def _in_hint(hint: str, options: Mapping[str, str], where: str = "") -> str:
    """Name options in a fix, followed by `where`."""
    if not options:
        return hint
    names = "|".join(map(re.escape, options))

    def with_value(found: re.Match[str]) -> str:
        return _typed(options[found[1]], found[2]) + where

    hint = re.sub(rf"{ALONE}({names})={VALUE}", with_value, hint)
    return re.sub(rf"{ALONE}({names})=(?![\w'\"])", lambda found: options[found[1]] + where, hint)


def as_option(setting: str, options: Mapping[str, str]) -> str:
    """Return the option for a setting of a record; the setting itself if the command does not have the option.

    >>> options = {"lr": "--lr", "param": "--param", "size": "--size", "images": "--images"}
    >>> [as_option(name, options) for name in ("learner.lr", "learner.batch", "strategy.clusters", "pool.height")]
    ['--lr', '--param learner.batch', '--param clusters', '--size']
    """
    for pattern, replacement in SETTINGS:
        if found := re.fullmatch(pattern, setting):
            option = found.expand(replacement)
            option = option if option.startswith(PARAM) else option.replace("_", "-")
            return option if _has(options, option) else setting
    return setting


def changed_options(lines: Iterable[str], options: Mapping[str, str]) -> list[str]:
    """Name options in lines about settings that differ; an option with several settings has one line.

    >>> options = {"size": "--size"}
    >>> changed_options(["pool.height: recorded 32, now 16", "pool.width: recorded 32, now 16"], options)
    ['--size: recorded 32, now 16']
    """
    split = (line.partition(": ") for line in lines)
    return list(dict.fromkeys(f"{as_option(setting, options)}: {change}" for setting, _, change in split))


def _with_settings(what: str, name: Callable[[str], str]) -> str:
    """Rename the settings in a list such as ``learner.lr: recorded 0.1, now 0.2; pool: other images``."""
    if not (found := re.search(r"(?:other settings|settings cannot change any more): ", what)):
        return what
    listed = what[found.end() :].split("; ")
    renamed = dict.fromkeys(re.sub(r"^[\w.]+(?=: )", lambda setting: name(setting[0]), line) for line in listed)
    return what[: found.end()] + "; ".join(renamed)


def _typed(option: str, value: str) -> str:
    """Return an option with a value of Python, as it is typed on the command line.

    >>> [_typed("--size", "256"), _typed("--widths", "(4, 8)"), _typed("--initial", "alkit.strategy('random')")]
    ['--size 256', '--widths 4,8', '--initial random']
    >>> [_typed("--device", "'cpu'"), _typed("--classes", "('clear skin', 'lesion')"), _typed("--warm-start", "None")]
    ['--device cpu', "--classes 'clear skin,lesion'", 'no --warm-start']
    >>> _typed("--param learner.precision", "'32-true'")
    '--param learner.precision=32-true'
    """
    if option.startswith(PARAM):
        return f"{option}={_plain(value)}"
    return {"True": option, "None": f"no {option}"}.get(value, f"{option} {_plain(value)}")


def _plain(value: str) -> str:
    value = re.sub(r"^[\w.]+\(([^()]*)\)$", r"\1", value)
    try:
        literal = ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return value
    return shlex.quote(",".join(map(str, literal)) if isinstance(literal, tuple | list) else str(literal))


def _has(options: Mapping[str, str], option: str) -> bool:
    return option.partition(" ")[0] in options.values()
