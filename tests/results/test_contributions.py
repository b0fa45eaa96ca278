"""Contributions and standard errors of local explanations: their sums, and that they stay with the weights."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

import normlime_fast as nlf

# 60 points are few for each category.
pytestmark = pytest.mark.filterwarnings("ignore:of .* approximate because fewer than 10 points share:UserWarning")

RNG = np.random.default_rng(0)
TABLE = np.round(RNG.normal(size=(80, 6)), 2)
TABLE[:, 5] = RNG.integers(3, size=80)
IMAGES = RNG.integers(256, size=(4, 6, 8), dtype=np.uint8)
TEXTS = [" ".join(RNG.choice(["good", "bad", "fit", "fine", "so", "it"], 7)) for _ in range(6)]
COUNTS = sparse.csr_array(RNG.integers(1, 4, size=(5, 10)) * (np.arange(10) != 7.0))


class Own:
    n_features = 6

    def perturb(self, instance, n_samples, rng):
        Z = rng.integers(0, 5, size=(n_samples, 6)) / 4
        return instance + Z, Z, 1 / (1 + Z.sum(axis=1))


def numbers(X):
    X = np.asarray(X.toarray() if sparse.issparse(X) else X, float).reshape(X.shape[0], -1)
    return np.stack([X[:, 0] * X[:, 1] + X[:, 2], X[:, 4] / (1 + X[:, 5] ** 2) + np.abs(X[:, 1])], axis=1)


def words(texts):
    return np.array([[text.count("o"), len(text) % 7 + text.count("fit")] for text in texts], float)


CASES = {
    "pool": (nlf.Pool.from_data(TABLE, categorical=[5]), numbers, TABLE[:7]),
    "binned": (nlf.Binned.from_data(TABLE, categorical=[5]), numbers, TABLE[:7]),
    "bins": (nlf.Binned.from_data(TABLE, categorical=[5], features="bin"), numbers, TABLE[:7]),
    "mask": (nlf.Mask.from_data(TABLE), numbers, TABLE[:7]),
    "segments": (nlf.Mask("segment_mean", segments=(2, 3)), numbers, IMAGES),
    "sparse rows": (nlf.Mask(), numbers, COUNTS),
    "texts": (nlf.Mask.text(TEXTS), words, TEXTS),
    "custom": (Own(), numbers, TABLE[:7]),
}
OPTIONS = {"n_features": 3, "n_samples": 60, "targets": "all", "rng": 0}


def explainer(case, **options):
    neighborhood, model, _ = CASES[case]
    return nlf.NormLIME(model, neighborhood, **OPTIONS | options)


@pytest.fixture(scope="module", params=CASES)
def case(request):
    return request.param


@pytest.fixture(scope="module")
def local(case):
    return explainer(case).explain(CASES[case][2])


@pytest.mark.parametrize("ridge", [0.0, 2.0])
def test_they_add_up_to_the_surrogate_at_the_instance(case, ridge):
    local = explainer(case, ridge=ridge).explain(CASES[case][2])
    assert local.contributions.nnz > 10
    total = local.base_value + local.contributions.sum(axis=1)
    assert_allclose(total, local.intercept, rtol=0, atol=1e-12 * np.abs(local.intercept).max())


def test_the_base_value_is_the_mean_output_of_the_samples():
    """Of Binned, whose points are those of a call without instances of its own: here all have weight 1."""
    asked = []

    def model(rows):
        asked.append(rows.copy())
        return numbers(rows)

    binned = nlf.Binned.from_data(TABLE, kernel=np.ones_like, n_sets=1)
    local = nlf.NormLIME(model, binned, **OPTIONS).explain(TABLE[:3])
    points = max(asked, key=len)
    outputs = numbers(points).sum(axis=0) + numbers(TABLE[:3])
    assert_allclose(local.base_value, (outputs / (len(points) + 1)).ravel(), rtol=1e-12)


def test_features_and_explanations_are_those_of_the_weights(local):
    for matrix in (local.contributions, local.stderr):
        assert_array_equal(matrix.indices, local.weights.indices)
        assert_array_equal(matrix.indptr, local.weights.indptr)
    taken = local[[3, 0]]
    for name in ("contributions", "stderr"):
        assert_array_equal(getattr(taken, name).toarray(), getattr(local, name).toarray()[[3, 0]])
    joined = nlf.LocalExplanations.concatenate([local[:2], local[2:]])
    assert_array_equal(joined.contributions.toarray(), local.contributions.toarray())
    assert_array_equal(joined.stderr.data, local.stderr.data)
    assert nlf.LocalExplanations.concatenate([local, replace(local, stderr=None)]).stderr is None


def test_files_keep_them(local, tmp_path):
    local.save(tmp_path / "local.npz")
    again = nlf.LocalExplanations.load(tmp_path / "local.npz")
    for name in ("contributions", "stderr"):
        assert_array_equal(getattr(again, name).data, getattr(local, name).data)
        assert_array_equal(getattr(again, name).indices, local.weights.indices)
    replace(local, contributions=None, stderr=None).save(tmp_path / "without.npz")
    without = nlf.LocalExplanations.load(tmp_path / "without.npz")
    assert (without.contributions, without.stderr) == (None, None)
    for kind in ("mean_abs", "normlime"):
        importance = local.importance(kind, of="contributions")
        importance.save(tmp_path / "importance.npz")
        assert nlf.Importance.load(tmp_path / "importance.npz").of == "contributions"


@pytest.mark.parametrize("kind", ["normlime", "l2", "sp_lime", "mean_abs", "mean", "sum"])
@pytest.mark.parametrize("sign", ["absolute", "positive", "negative"])
def test_importances_are_those_of_the_matrix(local, kind, sign):
    found = local.importance(kind, sign=sign, by="target", of="contributions")
    expected = nlf.aggregate(local.contributions, local.target).importance(kind, sign)
    assert_array_equal(found.values, expected.values)
    assert_array_equal(found.counts, expected.counts)
    assert (found.of, local.importance(kind).of) == ("contributions", "weights")


def test_streams_sum_them(case, local):
    rows = CASES[case][2]
    statistics = explainer(case).statistics(rows, of="contributions")
    assert statistics.of == "contributions"
    assert_allclose(
        statistics.importance().values, local.importance(of="contributions").values, rtol=1e-12, atol=1e-300
    )
    of_weights = explainer(case).statistics(rows)
    with pytest.raises(ValueError, match=r"^merge needs sums of the same, got contributions and weights$"):
        statistics.merge(of_weights)
    assert statistics.merge(statistics).of == "contributions"


def test_samples_around_the_instance_have_none():
    called = []

    def model(X):
        called.append(len(X))
        return X[:, 0]

    centred = nlf.NormLIME(model, nlf.Gaussian(1.0), n_features=1, n_samples=50, rng=0)
    expected = (
        r"^contributions must be known, got none: samples of Gaussian have their mean at the instance.+ Binned or M"
    )
    with pytest.raises(ValueError, match=expected):
        centred.statistics(TABLE, of="contributions")
    assert not called
    local = centred.explain(TABLE[:2])
    assert local.contributions is None
    assert (local.stderr.data >= 0).all()
    for use in (lambda: local.importance(of="contributions"), lambda: local.base_value):
        with pytest.raises(ValueError, match=expected):
            use()


@pytest.mark.parametrize("of", ["weight", None, 1, ["weights"]])
def test_of_something_else(of):
    local = explainer("binned").explain(TABLE[:2])
    for use in (lambda: local.importance(of=of), lambda: explainer("binned").statistics(TABLE[:2], of=of)):
        with pytest.raises(ValueError, match=r'^of must be "weights" or "contributions", got '):
            use()


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "contributions",
            lambda one: one[:, ::-1].tocsr(),
            "contributions must be None, or there for the same features as",
        ),
        ("contributions", lambda one: one[:3], "contributions must fit the other arrays"),
        ("contributions", lambda one: one * np.inf, "contributions must be finite"),
        ("stderr", lambda one: -one, "stderr must be at least 0"),
    ],
)
def test_files_with_others_are_refused(name, change, message, tmp_path):
    local = explainer("binned").explain(TABLE[:7])
    local = replace(local, **{name: change(getattr(local, name))})
    with pytest.raises(ValueError, match=message):
        local.save(tmp_path / "local.npz")


def test_a_rare_flag_contributes_where_it_is_set():
    """f = 2 flag + x; a flag of 3 %: its weight is 2 everywhere, its contributions are 2 (1 - .03) or -2 * .03."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.random(3000) < 0.03, rng.normal(size=3000)]).astype(float)
    binned = nlf.Binned.from_data(X, categorical=[0], kernel=np.ones_like, n_sets=1, quantiles=4)
    local = nlf.NormLIME(lambda X: 2 * X[:, 0] + X[:, 1], binned, n_features=2, rng=0).explain(X[:500])
    flagged = X[:500, 0] == 1
    share = binned.bins.columns[0].frequencies[1]
    phi = local.contributions.toarray()[:, 0]
    # shares of 5,000 points, five standard errors; bins of x leave residuals of 0.5
    assert_allclose(phi[flagged], 2 * (1 - share), atol=0.2)
    assert_allclose(phi[~flagged], -2 * share, atol=5 * 2 * np.sqrt(share / 5000) + 0.02)
    weights, contributions = local.importance("mean_abs"), local.importance("mean_abs", of="contributions")
    assert weights.values[0] > 1.5 * weights.values[1]
    assert contributions.values[0] < 0.25 * contributions.values[1]


def test_what_scipy_does_in_place_leaves_the_others_alone():
    local = explainer("binned").explain(TABLE[:7])
    before = local.contributions.toarray()
    local.weights.data[::2] = 0.0
    local.weights.eliminate_zeros()
    assert_array_equal(local.contributions.toarray(), before)
