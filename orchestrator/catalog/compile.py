"""Compiles recipes for berth validate. Nothing is applied."""

import json

import salt.exceptions
import salt.loader
import salt.state


def _with_line(error):
    text = Exception.__str__(error)
    if error.line_num and " line " not in text:
        text += "; line {}".format(error.line_num)
    return text


# The YAML reader knows the line, but Salt leaves it out where it has no text
# to show with it.
salt.exceptions.SaltRenderError.__str__ = _with_line


# There is no pillar but that of a trial. Looking for more, which show_low_sls
# does each time, takes as long as all the rest of a compilation.
salt.state.State._gather_pillar = lambda self: {}


def compile(path):
    """
    Compile each trial of the JSON file at path, and write what came of it to
    the same path with ".out" behind it, for a recipe may print: the low chunks
    or a list of errors, and the state functions that this Salt does not have.
    """
    with open(path, encoding="utf-8") as file:
        trials = json.load(file)
    answers, used = [], set()
    for trial in trials:
        try:
            answers.append(__salt__["state.show_low_sls"](trial["states"], pillar=trial["pillar"]))
        except Exception as err:  # what a recipe can raise is anything
            answers.append([str(err) or type(err).__name__])
        used.update("{}.{}".format(c["state"], c["fun"]) for c in answers[-1] if isinstance(c, dict))
    states = salt.loader.states(__opts__, __salt__, __utils__, None)
    result = {"trials": answers, "unknown": sorted(name for name in used if name not in states)}
    with open(path + ".out", "w", encoding="utf-8") as file:
        json.dump(result, file, default=lambda value: {"type": type(value).__name__})
    return True
