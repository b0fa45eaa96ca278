"""What holds for every neighborhood: the same bits however the work is cut, ordered, spread, interrupted or kept.

Models are elementwise arithmetic, whose output for a row does not depend on the rows beside it.
"""

import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array

import normlime_fast as nlf

# 60 points are few for each category.
pytestmark = pytest.mark.filterwarnings("ignore:of .* approximate because fewer than 10 points share:UserWarning")

RNG = np.random.default_rng(0)
TRAINING, X = RNG.normal(size=(80, 6)).round(3), RNG.normal(size=(9, 6)).round(3)
SPARSE = np.where((RNG.random((9, 30)) < 0.3) | (np.arange(30) < 6), RNG.random((9, 30)).round(3) + 0.5, 0.0)
WORDS = np.array(["red", "blue", "dress", "fine", "poor", "fit", "old"])
TEXTS = [" ".join(WORDS[RNG.permutation(7)[: 4 + k % 3]]) for k in range(9)]
LABELS = np.array(list("xyyxzyzxx"))


def frame(array):
    columns = {"a": array[:, 0], "b": array[:, 1].astype(np.float32), "c": np.array(["no", "yes", "so"])[bits(array)]}
    return pd.DataFrame(columns | {"d": pd.Categorical(bits(array[:, 1:]), [2, 0, 1]), "e": array[:, 4]})


def bits(array):
    return (array[:, 2] > 0) + (array[:, 3] > 0.5).astype(int)


def model(rows):
    values = np.asarray(rows, np.float64).reshape(len(rows), -1)
    first = values[:, 0] * values[:, 1] + values[:, 2] - values[:, 3] * values[:, 3]
    second = values[:, 4] / (1 + values[:, 5] * values[:, 5]) + np.abs(values[:, 2])
    return np.stack([first, second, first - second + 0.1 * values[:, 1]], axis=1)


def frame_model(rows):
    assert rows.dtypes.to_dict() == frame(X).dtypes.to_dict()
    c, d = rows["c"].to_numpy(object), rows["d"].to_numpy(np.int64)
    return model(np.column_stack([rows["a"], rows["b"], c == "yes", 2.0 * (c == "so"), rows["e"], d]))


def sparse_model(rows):
    return model(rows.toarray()[:, :6] + rows.toarray()[:, 10:16] * 0.5)


def text_model(texts):
    return model([[len(set(text.split()) & set(WORDS[k : k + 3])) for k in range(6)] for text in texts])


@dataclass
class Halved:
    """A neighborhood of the user's own: every feature is halved or not."""

    share: float
    n_features: int = 6

    def perturb(self, instance, n_samples, rng):
        Z = (rng.random((n_samples, self.n_features)) < self.share) - 1.0
        return instance * (1 + 0.5 * Z), Z, np.exp(Z.sum(axis=1))


class Plain(Halved):
    """Another one, whose representation says nothing."""

    __repr__ = object.__repr__


def stripes(image):
    return np.repeat([[0, 3, 4, 9 if image[0, 0] > 0 else 4]], 4, axis=0)


def dimmed(image, masks):
    return image * np.where(masks, 1.0, 0.25).reshape(-1, 4, 4)


class Kind(NamedTuple):
    """A neighborhood, another one that a checkpoint must tell from it, rows and a model of them."""

    neighborhood: Any
    other: Any
    X: Any
    predict: Any


IMAGES = np.random.default_rng(1).normal(size=(9, 4, 4)).astype(np.float32)
FRAME, CATEGORICAL = frame(TRAINING), {"categorical": ["c", 3]}
POOL, BINNED = nlf.Pool.from_data, nlf.Binned.from_data
KINDS = {
    "gaussian": Kind(nlf.Gaussian(0.7), nlf.Gaussian(0.8), X, model),
    "gaussian categories": Kind(
        nlf.Gaussian.from_data(FRAME, **CATEGORICAL),
        nlf.Gaussian.from_data(FRAME[1:], **CATEGORICAL),
        frame(X),
        frame_model,
    ),
    "pool": Kind(POOL(TRAINING, share=0.3), POOL(TRAINING, share=0.4), X, model),
    "pool nearest": Kind(POOL(TRAINING, width=2, nearest=30), POOL(TRAINING, width=2, nearest=31), X, model),
    "pool categories": Kind(
        POOL(FRAME, kernel="exponential", **CATEGORICAL),
        POOL(FRAME[1:], kernel="exponential", **CATEGORICAL),
        frame(X),
        frame_model,
    ),
    "pool drawn": Kind(
        nlf.Pool.gaussian(np.zeros(6), np.ones(6), width=2.0),
        nlf.Pool.gaussian(np.zeros(6), np.full(6, 1.1), width=2.0),
        X,
        model,
    ),
    "binned": Kind(BINNED(FRAME, **CATEGORICAL), BINNED(FRAME, quantiles=3, **CATEGORICAL), frame(X), frame_model),
    "binned by bin": Kind(BINNED(TRAINING, features="bin"), BINNED(TRAINING), X, model),
    "custom": Kind(Halved(0.5), Halved(0.6), X, model),
    "custom, plain": Kind(Plain(0.5), Plain(0.6), X, model),
    "mask": Kind(nlf.Mask(0.5), nlf.Mask(0.6), X, model),
    "mask grid": Kind(nlf.Mask("blur", segments=2), nlf.Mask("blur", segments=(2, 4)), IMAGES, model),
    "mask segments": Kind(nlf.Mask(segments=stripes), nlf.Mask(1.0, segments=stripes), IMAGES, model),
    "mask render": Kind(nlf.Mask(render=dimmed), nlf.Mask(render=dimmed, width=0.5), IMAGES, model),
    "mask sparse": Kind(nlf.Mask(), nlf.Mask(scheme="text"), csr_array(SPARSE), sparse_model),
    "mask text": Kind(nlf.Mask.text(TEXTS), nlf.Mask.text(TEXTS, width=0.5), TEXTS, text_model),
}
every_kind = pytest.mark.parametrize("name", KINDS)


def explainer(name, predict=None, neighborhood=None, **options):
    kind = KINDS[name]
    options = {"n_features": 3, "n_samples": 60, "targets": "all", "rng": 0} | options
    return nlf.NormLIME(predict or kind.predict, neighborhood or kind.neighborhood, **options)


def some(rows, here):
    """Some rows of whatever kind."""
    if isinstance(rows, list):
        return [rows[k] for k in np.arange(len(rows))[here]]
    return rows.iloc[here] if isinstance(rows, pd.DataFrame) else rows[here]


def arrays(local, rows=slice(None)):
    """All of a result's arrays, by explanation; without labels, which are those of the rows given."""
    known = [
        getattr(local, field.name) for field in fields(local) if "names" not in field.name and field.name != "index"
    ]
    columns = [array.toarray() if isinstance(array, csr_array) else array for array in known if array is not None]
    return np.column_stack(columns)[rows]


def sums(statistics):
    return [getattr(statistics, field.name) for field in fields(statistics)]


EXPECTED = {}


def expected(name):
    """What one thread makes of all rows at once; every kind once."""
    if name not in EXPECTED:
        local = explainer(name).explain(KINDS[name].X)
        assert np.isin(local.status, [0, 1, 10]).all()
        assert local.weights.nnz > 0.5 * 3 * 27
        EXPECTED[name] = local
    return EXPECTED[name]


@every_kind
@pytest.mark.parametrize(
    ("options", "how"),
    [
        ({"n_jobs": 2}, {}),
        ({"batch_size": 1}, {}),
        ({"batch_size": 130, "n_jobs": 2}, {}),
        ({}, {"block_size": 4}),
        ({"n_jobs": 2, "batch_size": 61}, {"block_size": 2, "executor": ThreadPoolExecutor}),
    ],
    ids=str,
)
def test_however_the_work_is_cut(name, options, how):
    if "executor" not in how:
        local = explainer(name, **options).explain(KINDS[name].X, **how)
    else:
        with how["executor"](2) as executor:
            local = explainer(name, **options).explain(KINDS[name].X, **how | {"executor": executor})
    assert_array_equal(arrays(local), arrays(expected(name)))


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize(
    ("name", "neighborhood"),
    [
        ("pool drawn", nlf.Pool.gaussian(np.zeros(6), np.ones(6), width=2.0, nearest=59_000)),
        ("pool drawn", None),
        ("binned by bin", None),
    ],
)
def test_points_that_no_batch_has_room_for_with_all_instances(name, neighborhood, n_jobs):
    """60,000 points of 6 columns leave room in 8 MiB, of doubles, for 2 instances."""
    options = {"neighborhood": neighborhood, "n_samples": 60_000, "n_features": 4}
    whole = explainer(name, n_jobs=n_jobs, **options).explain(X)
    for k in range(9):
        alone = explainer(name, **options).explain(X[[k]], index=[k])
        assert_array_equal(arrays(whole, slice(3 * k, 3 * k + 3)), arrays(alone))


@every_kind
@pytest.mark.parametrize("index", [[8, 7, 6, 5, 4, 3, 2, 1, 0], [5], [2, 7, 3]], ids=str)
def test_any_order_or_subset_under_the_same_numbers(name, index):
    local = explainer(name, n_jobs=2).explain(some(KINDS[name].X, index), index=index)
    rows = (3 * np.array(index)[:, None] + range(3)).ravel()
    assert_array_equal(arrays(local), arrays(expected(name), rows))


@pytest.fixture(scope="module")
def processes():
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as executor:
        yield executor


@pytest.mark.parametrize("name", ["pool categories", "binned by bin", "custom", "mask text"])
def test_in_other_processes(name, processes):
    local = explainer(name).explain(KINDS[name].X, executor=processes, block_size=3)
    assert_array_equal(arrays(local), arrays(expected(name)))


@every_kind
def test_pickled(name):
    again = pickle.loads(pickle.dumps(KINDS[name].neighborhood))
    assert_array_equal(arrays(explainer(name, neighborhood=again).explain(KINDS[name].X)), arrays(expected(name)))


@every_kind
def test_saved(name, tmp_path):
    local = expected(name)
    local.save(tmp_path / "local")
    again = nlf.LocalExplanations.load(tmp_path / "local")
    assert_array_equal(arrays(again), arrays(local))
    assert again.feature_names == local.feature_names


@every_kind
@pytest.mark.parametrize("targets", ["predicted", [2, 0], 1])
def test_some_targets(name, targets):
    """Of all targets' explanations, those asked for; to a rounding, as they share the sums of their products."""
    whole, local = expected(name), explainer(name, targets=targets).explain(KINDS[name].X)
    predictions = whole.prediction.reshape(9, 3)
    chosen = predictions.argmax(axis=1)[:, None] if targets == "predicted" else np.tile(targets, (9, 1))
    assert_array_equal(local.target, chosen.ravel())
    rows = (3 * np.arange(9)[:, None] + chosen).ravel()
    assert_allclose(arrays(local), arrays(whole, rows), rtol=1e-9, atol=1e-12)


# --- streams


def cut(rows, ends):
    return [some(rows, slice(begin, end)) for begin, end in zip([0, *ends], [*ends, 9], strict=True)]


@every_kind
@pytest.mark.parametrize("by", [None, "target", LABELS], ids=["all", "by target", "by label"])
def test_a_stream_cut_anywhere_is_the_whole_table(name, by):
    options = {"by": by, "block_size": 4}
    whole = explainer(name).statistics(KINDS[name].X, **options)
    for ends in ([1, 2, 7], [4], [3, 6]):
        streamed = explainer(name, n_jobs=2).statistics(iter(cut(KINDS[name].X, ends)), **options)
        for one, other in zip(sums(streamed), sums(whole), strict=True):
            assert_array_equal(one, other)
    for kind in ("normlime", "mean"):
        one, other = whole.importance(kind), expected(name).importance(kind, by)
        # sums of at most 27 terms in another order: 27 roundings of what is at most the sum of the largest
        assert_allclose(one.values, other.values, rtol=1e-13, atol=1e-13 * np.abs(expected(name).weights.data).max())
        assert_array_equal(one.counts, other.counts)


# --- checkpoints


class Interrupted:
    """A model that the power fails under at its call number `at`."""

    def __init__(self, predict, at):
        self.predict, self.left = predict, at

    def __call__(self, rows):
        self.left -= 1
        if self.left == 0:
            raise ConnectionError("unplugged")
        return self.predict(rows)


@every_kind
@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_a_checkpoint_goes_on_where_it_was_interrupted(name, at, tmp_path):
    options = {"checkpoint": tmp_path / "run", "block_size": 3}
    with pytest.raises(ConnectionError, match="unplugged"):
        explainer(name, predict=Interrupted(KINDS[name].predict, at)).explain(KINDS[name].X, **options)
    local = explainer(name).explain(KINDS[name].X, **options)
    assert_array_equal(arrays(local), arrays(expected(name)))

    def none_but_to_compare(rows):
        assert rows.shape[0] == 3 if hasattr(rows, "shape") else len(rows) == 3
        return KINDS[name].predict(rows)

    again = explainer(name, predict=none_but_to_compare).explain(KINDS[name].X, **options)
    assert_array_equal(arrays(again), arrays(expected(name)))


@every_kind
def test_a_checkpoint_refuses_another_neighborhood(name, tmp_path):
    explainer(name).explain(KINDS[name].X, checkpoint=tmp_path / "run")
    with pytest.raises(ValueError, match=r"was begun with neighborhood .* use the same, or another folder"):
        explainer(name, neighborhood=KINDS[name].other).explain(KINDS[name].X, checkpoint=tmp_path / "run")


# --- models that fail


def is_row(rows, row):
    """Which rows are this one."""
    if isinstance(rows, list):
        return np.array(rows) == row[0]
    rows, row = (each.toarray() if hasattr(each, "toarray") else np.asarray(each) for each in (rows, row))
    return (rows == row).reshape(len(rows), -1).all(axis=1)


@every_kind
@pytest.mark.parametrize("options", [{}, {"n_jobs": 2, "batch_size": 61}], ids=str)
def test_a_model_that_fails_for_an_instance_loses_that_alone(name, options):
    kind = KINDS[name]
    bad = some(kind.X, [3])

    def failing(rows):
        if is_row(rows, bad).any():
            raise RuntimeError("cannot")
        return kind.predict(rows)

    with pytest.warns(UserWarning, match="of 27 explanations, 3 empty because the model failed"):
        local = explainer(name, predict=failing, **options).explain(kind.X, on_error="skip")
    others = local.instance != 3
    assert_array_equal(arrays(local)[others], arrays(expected(name))[others])
    assert_array_equal(local.status[~others], 6)
    assert local.weights[~others].nnz == 0


@pytest.mark.parametrize("name", ["pool", "pool drawn", "binned"])
@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_a_model_that_fails_for_the_points_fails(name, on_error):
    def failing(rows):
        if len(rows) == 60:
            raise RuntimeError("cannot")
        return KINDS[name].predict(rows)

    with pytest.raises(RuntimeError, match="cannot") as caught:
        explainer(name, predict=failing).explain(KINDS[name].X, on_error=on_error)
    note = "normlime_fast: predict failed on points 0 to 59, which the neighborhood shares between all instances"
    assert caught.value.__notes__ == [note]


@pytest.mark.parametrize("name", ["pool", "pool drawn", "binned"])
def test_what_a_model_must_not_return_for_the_points(name):
    def returning(outputs):
        return lambda rows: outputs if len(rows) == 60 else KINDS[name].predict(rows)

    for outputs, message in [
        (np.zeros(3), r"numbers for 60 rows of points 0 to 59, got shape \(3,\)"),
        (np.where(np.arange(60) == 7, np.nan, 0.0), "got nan for output 0 of point 7; 1 of these 60 points have NaN"),
    ]:
        with pytest.raises(ValueError, match=message):
            explainer(name, predict=returning(outputs)).explain(KINDS[name].X)


@every_kind
def test_probe(name):
    probe = explainer(name).probe(some(KINDS[name].X, slice(3)))
    assert probe.repeated == probe.regrouped == 0.0
    assert probe.largest > 0.1
