"""Compiles and tries recipes for berth validate. Nothing is applied."""

import json
import re

import salt.exceptions
import salt.loader
import salt.state
import salt.utils.args


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


# What a state says about a file that it would put on the server. Whatever else
# a test run finds depends on the server.
_FILES = re.compile(
    r"not found in saltenv|[Nn]one of the specified sources|Unable to manage file|Unable to cache|Jinja|is undefined|has no attribute"
)

# Conditions run commands, also in a test run; accounts are the server's.
_LEFT_OUT = ("unless", "onlyif", "check_cmd", "creates", "retry", "user", "group", "runas", "parallel")


def _sources(chunk):
    """The files of a state that are the recipes' own, and whether all are."""
    found = chunk.get("source")
    if chunk["state"] == "cmd" and chunk["fun"] == "script" and not found:
        found = chunk.get("name")
    found = found if isinstance(found, list) else [found] if found else []
    names = [next(iter(f)) if isinstance(f, dict) and f else f for f in found]
    return names, all(isinstance(n, str) and n.startswith("salt://") for n in names)


def _tried(chunks, pillar):
    """
    What is known to fail on every server: a function is called with what it
    does not take or without what it needs, or a file is missing or cannot be
    rendered.
    """
    state = salt.state.State(dict(__opts__, test=True), pillar_override=pillar)
    files = None
    out = []
    for chunk in chunks:
        name = "{}.{}".format(chunk["state"], chunk["fun"])
        if name not in state.states:
            continue
        says = None
        try:
            errors = state.verify_data(dict(chunk))
            if errors:
                says = errors[0]
            else:
                salt.utils.args.format_call(
                    state.states[name], dict(chunk), initial_ret={"full": name}, expected_extra_kws=salt.state.STATE_INTERNAL_KEYWORDS
                )
                sources, own = _sources(chunk)
                if chunk["state"] == "file" and own and (sources or chunk.get("template")):
                    ret = state.call({k: v for k, v in chunk.items() if k not in _LEFT_OUT})
                    if ret.get("result") is False and _FILES.search(str(ret.get("comment"))):
                        says = str(ret["comment"])
                elif sources and own:
                    files = files if files is not None else set(__salt__["cp.list_master"]())
                    paths = [s[len("salt://"):].split("?")[0] for s in sources]
                    if not any(p in files for p in paths):
                        says = "Source file {} not found in saltenv 'base'".format(sources[0])
        except salt.exceptions.SaltInvocationError as err:
            says = str(err)
        except Exception as err:  # of a state that cannot be tried here
            if _FILES.search(str(err)):
                says = str(err)
        if says:
            out.append({"__id__": chunk.get("__id__"), "__sls__": chunk.get("__sls__"), "state": chunk["state"], "fun": chunk["fun"], "source": chunk.get("source"), "says": says})
    return out


def compile(path):
    """
    Compile each trial of the JSON file at path, and write what came of it to
    the same path with ".out" behind it, for a recipe may print: the low chunks
    or a list of errors, what of those that are to be tried would fail, and the
    state functions that this Salt does not have.
    """
    with open(path, encoding="utf-8") as file:
        trials = json.load(file)
    answers, tries, used = [], [], set()
    for trial in trials:
        try:
            answers.append(__salt__["state.show_low_sls"](trial["states"], pillar=trial["pillar"]))
        except Exception as err:  # what a recipe can raise is anything
            answers.append([str(err) or type(err).__name__])
        chunks = [c for c in answers[-1] if isinstance(c, dict)]
        tries.append(_tried(chunks, trial["pillar"]) if trial.get("try") else [])
        used.update("{}.{}".format(c["state"], c["fun"]) for c in chunks)
    states = salt.loader.states(__opts__, __salt__, __utils__, None)
    result = {"trials": answers, "tries": tries, "unknown": sorted(name for name in used if name not in states)}
    with open(path + ".out", "w", encoding="utf-8") as file:
        json.dump(result, file, default=lambda value: {"type": type(value).__name__})
    return True
