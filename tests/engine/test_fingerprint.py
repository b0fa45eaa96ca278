"""What a checkpoint says of a run: by that it is told from others, in any process."""

import functools
import json
import re
import subprocess
import sys
from dataclasses import make_dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas
import pytest
from scipy import sparse

import normlime_fast as nlf
from normlime_fast._engine.fingerprint import fingerprint
from normlime_fast._inputs.columns import Columns
from normlime_fast._inputs.rows import as_rows, as_texts


class Silent:
    """A class of a user's that says nothing of itself."""

    def __init__(self, **fields):
        self.__dict__.update(fields)


class Telling(Silent):
    def __repr__(self):
        return f"Telling({self.__dict__.get('told')})"


class Raising(Silent):
    def __repr__(self):
        raise RuntimeError


class Marking:
    """Its methods do what its fields say."""

    def __init__(self, mark):
        self.mark = mark

    def split(self, text):
        return text.split(self.mark)


def splitter(mark):
    return lambda text: text.split(mark)


IN_A_LOOP = [lambda text, k=k: text[k:] for k in range(2)]
OF_ONE_NAME = [lambda text: text.split(), lambda text: text.split("a"), lambda text: text.rsplit()]


def with_keyword(mark):
    def split(text, *, mark=mark):
        return text.split(mark)

    return split


def with_inner(mark):
    if mark:
        return lambda text: [piece for piece in text if piece == "a"]
    return lambda text: [piece for piece in text if piece == "b"]


def wordy(text):
    return [word for word in text.split() if word not in {"a", "an", "the", "of", "and"}]


Holder = make_dataclass("Holder", ["field"], frozen=True, eq=False)
FRAME = pandas.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})
CATEGORY = FRAME.astype({"b": "category"})


def settings_of(neighborhood, identity=None):
    """What the manifest has, as it comes back from its file."""
    names = ["n_features", "n_samples", "targets", "selection", "standardize", "ridge", "tol", "shared_samples"]
    names += ["target_names", "feature_names"]
    model = SimpleNamespace(link="identity")
    one = SimpleNamespace(**dict.fromkeys(names), seed=np.uint64(1), neighborhood=neighborhood, model=model)
    return json.loads(json.dumps(fingerprint(one, identity or {}, np.arange(3), 2), allow_nan=False))


# a field of a neighborhood, and others that it must not be taken for
FIELDS = {
    "None": (lambda: None, [0, "", "None"]),
    "bool": (lambda: True, [False, None]),
    "float": (lambda: 0.1, [0.1 + 2**-56, np.inf]),
    "NaN": (lambda: np.nan, [0.0, np.inf]),
    "scalar of NumPy": (lambda: np.float32(0.1), [0.1, np.float32(0.2)]),
    "long double": (lambda: np.longdouble(0.5), [np.longdouble(0.25)]),
    "str": (lambda: "blur", ["mean"]),
    "long str": (lambda: "a" * 5000, ["a" * 4999 + "b"]),
    "tuple": (lambda: (1, ("a", None), 2.5), [(1, ("a", None), 2.0), (1, "a", None, 2.5)]),
    "long tuple": (lambda: tuple(range(5000)), [(*range(4999), 0)]),
    "dict": (lambda: {"b": 1, "a": (2, 3)}, [{"b": 1, "a": (2, 4)}]),
    "set": (lambda: {"one", "two", "three", "four"}, [{"one", "two", "three"}]),
    "array": (lambda: np.array([0.5, np.nan]), [np.array([0.5, 0.0]), None]),
    "0-D array": (lambda: np.array(0.5), [np.array(0.25)]),
    "long array": (lambda: np.arange(100.0), [np.arange(1, 101.0)]),
    "days": (lambda: np.arange(3).astype("M8[D]"), [np.arange(1, 4).astype("M8[D]")]),
    "objects": (lambda: np.array(["a", None, 1.5], object), [np.array(["a", None, 2.5], object)]),
    "many objects": (lambda: np.array(["a"] * 99, object), [np.array([*["a"] * 98, "b"], object)]),
    "csr": (
        lambda: sparse.csr_array(np.eye(40)),
        [sparse.csr_array(np.eye(40)[::-1]), sparse.csr_array(2 * np.eye(40))],
    ),
    "function": (lambda: settings_of, [Path.exists]),
    "lambda": (lambda: OF_ONE_NAME[0], [*OF_ONE_NAME[1:], *IN_A_LOOP]),
    "lambda in a loop": (lambda: IN_A_LOOP[0], [IN_A_LOOP[1]]),
    "closure": (lambda: splitter(" "), [splitter("a"), splitter(None)]),
    "closure of an array": (lambda: splitter(np.arange(99)), [splitter(np.arange(1, 100))]),
    "closure of a closure": (lambda: splitter(splitter(" ")), [splitter(splitter("a"))]),
    "keyword default": (lambda: with_keyword(" "), [with_keyword("a")]),
    "code within": (lambda: with_inner(True), [with_inner(False)]),
    "set of str in its code": (lambda: wordy, [splitter]),
    "method of an object": (lambda: Marking(" ").split, [Marking("a").split]),
    "method": (lambda: "text".split, ["text".join]),
    "class": (lambda: Silent, [Telling]),
    "partial": (lambda: functools.partial(settings_of, 3), [functools.partial(settings_of, 4)]),
    "pattern": (lambda: re.compile("a+"), [re.compile("a*")]),
    "categories": (
        lambda: Columns.from_data(FRAME, ["b"]),
        [Columns.from_data(FRAME.replace("x", "z"), ["b"]), Columns.from_data(FRAME[:1], ["b"])],
    ),
    "rows": (
        lambda: as_rows(FRAME, columns=Columns.from_data(FRAME, ["b"])),
        [as_rows(FRAME[::-1], columns=Columns.from_data(FRAME, ["b"])), as_rows(FRAME[["a"]]), as_texts(["a"])],
    ),
    "frame": (
        lambda: FRAME[:0],
        [FRAME[["a"]][:0], FRAME.rename(columns={"a": "c"})[:0], CATEGORY[:0], FRAME.astype({"a": np.float32})[:0]],
    ),
    "frame with rows": (lambda: CATEGORY, [CATEGORY[:1], CATEGORY[::-1]]),
    "categories of a frame": (lambda: CATEGORY[:0], [FRAME.replace("x", "z").astype({"b": "category"})[:0]]),
    "Series": (lambda: FRAME["b"], [FRAME["b"][::-1]]),
    "date": (lambda: pandas.Timestamp("2020-01-01"), [pandas.Timestamp("2020-01-02")]),
    "silent object": (lambda: Silent(a=1, _b=np.zeros(3)), [Silent(a=2, _b=np.zeros(3)), Silent(a=1, _b=np.ones(3))]),
    "telling object": (lambda: Telling(told=1, a=1), [Telling(told=2, a=1), Telling(told=1, a=2), Silent(told=1, a=1)]),
    "object of objects": (lambda: Silent(a=Telling(told=1)), [Silent(a=Telling(told=2)), Silent(a=Silent())]),
    "raising object": (lambda: Raising(a=1), [Raising(a=2)]),
}


@pytest.mark.parametrize("kind", FIELDS)
def test_any_field_is_told_from_others(kind):
    make, others = FIELDS[kind]
    expected = settings_of(Holder(make()))
    assert expected["neighborhood"] == "Holder"
    assert settings_of(Holder(make())) == expected
    assert len(json.dumps(expected)) < 3000
    for other in others:
        assert settings_of(Holder(other))["neighborhood field"] != expected["neighborhood field"]


def test_an_object_that_holds_itself():
    loop = Silent(a=1)
    loop.me = loop
    own = {"class": f"{__name__}.Silent"}
    assert settings_of(loop)["neighborhood me"] == own | {"a": 1, "me": own}


def test_a_function_that_holds_itself():
    def endless(mark):
        def again(text):
            return again(text.strip(mark))

        return again

    def both():
        def ping(text):
            return pong(text)

        def pong(text):
            return ping(text)

        return ping

    first, other = (settings_of(Holder(endless(mark))) for mark in "ab")
    assert first == settings_of(Holder(endless("a")))
    assert first != other
    assert settings_of(Holder(both())) == settings_of(Holder(both()))


@pytest.mark.parametrize("name", ["segments", "render", "baseline", "tokenizer", "kernel"])
def test_functions_of_one_name_in_a_neighborhood(name):
    make = {
        "tokenizer": lambda function: nlf.Mask.text(["aab"], tokenizer=function),
        "kernel": lambda function: nlf.Pool.from_data(np.eye(3), kernel=function),
    }.get(name, lambda function: nlf.Mask(**{name: function}))
    first, second = (settings_of(make(function)) for function in IN_A_LOOP)
    assert first == settings_of(make(IN_A_LOOP[0]))
    assert first != second


def test_what_an_object_hides_is_its_own():
    """Such as the id() that a vectorizer of scikit-learn keeps, which is another in every process."""
    assert settings_of(Holder(Telling(_cache=1))) == settings_of(Holder(Telling(_cache=2)))


def test_a_neighborhood_of_a_users_own_class():
    settings = settings_of(Silent(scale=np.array([0.5, 2.0]), parts=(3, "a"), model=Silent()))
    assert settings["neighborhood"] == f"{__name__}.Silent"
    assert settings["neighborhood scale"] == [0.5, 2.0]
    assert settings["neighborhood parts"] == [3, "a"]
    assert settings["neighborhood model"] == {"class": f"{__name__}.Silent"}


@pytest.mark.parametrize("make", [as_rows, as_texts])
@pytest.mark.parametrize("count", [2, 999])
def test_rows_are_identified(count, make):
    values = np.arange(count)[:, None] / 2 if make is as_rows else [str(k) for k in range(count)]
    settings, other = (settings_of(Holder(None), make(X).identity()) for X in (values, values[::-1]))
    assert settings["X of shape"] == ([count, 1] if make is as_rows else [count])
    assert {name for name in settings if settings[name] != other[name]} == {"values of X"}


def test_another_process_describes_the_same():
    script = f"import json, {__name__} as t; print(json.dumps(t.all_settings()))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == all_settings()


def all_settings():
    return {kind: settings_of(Holder(make())) for kind, (make, _) in FIELDS.items()}


def test_classes_of_the_library_are_told_without_their_modules():
    pool = nlf.Pool.from_data(np.eye(5))
    known = fingerprint(nlf.NormLIME(len, pool, rng=0)._settings(), {}, np.arange(2), 1)
    assert known["neighborhood proximity"]["class"] == "Proximity"
    assert "normlime_fast." not in json.dumps(known)
