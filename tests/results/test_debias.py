"""Noise subtracted from importances: formulas written out, closed forms of normal noise, and simulated coverage."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.files import assert_round_trip, assert_same
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from scipy.stats import norm, skew

import normlime_fast as nlf
from normlime_fast import aggregate
from normlime_fast.evaluation import agreement, interval_by_blocks

KINDS = ("normlime", "l2", "sp_lime", "mean_abs")
PAIRS = [(kind, sign) for kind in KINDS for sign in ("absolute", "positive", "negative")]
PAIRS += [("normlime", "net"), ("mean_abs", "net")]
RNG = np.random.default_rng(0)
W = RNG.normal(size=(90, 5)) * (RNG.random((90, 5)) < [1.0, 0.7, 0.3, 0.0, 0.05])
S = RNG.gamma(2.0, 0.3, (90, 5)) * (RNG.random((90, 5)) < 0.9)
V = RNG.integers(0, 5, 90)
GROUPS = np.arange(90) % 3


def terms_of(kind):
    """The corrected terms of every weight, one explanation at a time."""
    terms = np.zeros_like(W)
    for i, (w, s) in enumerate(zip(W, S, strict=True)):
        if kind == "normlime":
            roots = sum(np.sqrt(a * a - b * b) for a, b in zip(w, s, strict=True) if abs(a) > b)
            terms[i] = (w**2 - s**2) / max(roots, np.abs(w).sum() / 5)
        elif kind == "l2":
            terms[i] = w**2 - s**2
        else:
            terms[i] = np.abs(w) - np.sqrt(10 / np.pi) * s * np.exp(-2 * (w / np.where(s > 0, s, 1e-100)) ** 2)
    return np.where(W != 0, terms, 0.0)


@pytest.mark.parametrize(("kind", "sign"), PAIRS)
@pytest.mark.parametrize("weights", [None, V])
def test_the_formulas(kind, sign, weights):
    v = np.ones(90) if weights is None else weights
    result = aggregate(W, GROUPS, weights=weights, stderr=S).importance(kind, sign)
    mask = {"positive": W > 0, "negative": W < 0}.get(sign, W != 0)
    factor = np.where(W < 0, -1.0, 1.0) if sign == "net" else 1.0
    terms = terms_of(kind) * mask * factor
    assert (terms < 0).any()
    for g in range(3):
        rows = GROUPS == g
        total = (v[rows, None] * terms[rows]).sum(axis=0)
        if kind in ("l2", "sp_lime"):
            expected = np.sqrt(np.maximum(total * 90 / v.sum(), 0))
        else:
            size = (v[rows, None] * (mask[rows] if kind == "normlime" else 1)).sum(axis=0) * np.ones(5)
            expected = total / np.where(size > 0, size, 1)
        assert_allclose(result.values[g], expected, rtol=1e-12, atol=1e-14)
        assert_array_equal(result.counts[g], (mask[rows] & (v[rows, None] > 0)).sum(axis=0))
        if weights is None and kind == "mean_abs":
            assert_allclose(result.stderr[g], terms[rows].std(axis=0, ddof=1) / np.sqrt(30), rtol=1e-10, atol=1e-14)
            varies = terms[rows].any(axis=0)
            assert_allclose(result.skewness[g][varies], skew(terms[rows][:, varies], bias=False), rtol=1e-9)
    assert result.debias


@pytest.mark.parametrize(("kind", "sign"), PAIRS)
def test_without_noise_nothing_is_subtracted(kind, sign):
    plain = aggregate(W, GROUPS).importance(kind, sign)
    result = aggregate(W, GROUPS, stderr=0 * W).importance(kind, sign)
    for name in ("values", "stderr", "skewness"):
        if getattr(plain, name) is not None:
            assert_allclose(getattr(result, name), getattr(plain, name), rtol=1e-9, atol=1e-13)
    assert_array_equal(result.counts, plain.counts)
    assert not plain.debias


def test_noise_of_given_size():
    """200,000 weights each of known truth: means agree with the closed forms within 5 standard errors.

    For t = w / s, |w + noise| / s has the mean t (2 Phi(t) - 1) + 2 phi(t).
    """
    t = np.array([0.0, 0.5, 0.84, 1.5, 3.0, 6.0])
    n = 200_000
    w = 0.2 * (t + np.random.default_rng(1).normal(size=(n, 6)))
    statistics = aggregate(w, stderr=np.full(w.shape, 0.2))
    size = statistics.importance("mean_abs")
    bias = t * (2 * norm.cdf(t) - 1) + 2 * norm.pdf(t) - np.sqrt(2 / np.pi) * np.exp(-(t**2) / 2.5) - t
    assert np.abs(size.values / 0.2 - t - bias).max() < 5 * size.stderr.max() / 0.2
    assert bias[0] == pytest.approx(0, abs=1e-15)
    assert bias.min() > -0.38
    assert abs(bias[4]) < 0.022
    plain = aggregate(w)
    assert plain.importance("mean_abs").values[0] == pytest.approx(0.2 * np.sqrt(2 / np.pi), rel=0.01)
    squares = statistics.importance("l2").values ** 2 / n
    assert np.abs(squares / 0.04 - t**2).max() < 5 * np.sqrt((4 * t**2 + 2).max() / n)
    assert_allclose((plain.importance("l2").values ** 2 / n - squares)[1:], 0.04, rtol=1e-9)


def product(X):
    return X[:, 0] + 0.5 * X[:, 1] + 2 * X[:, 2] * X[:, 3]


X = np.random.default_rng(2).normal(size=(200, 6))


def explained(n=100, **options):
    options = {"n_features": None, "n_samples": n, "rng": 0} | options
    return nlf.NormLIME(product, nlf.Gaussian(1.0), **options).explain(X)


def test_closer_to_endless_samples():
    """The weights at a row are 1, 0.5, 2 x_3, 2 x_2, 0 and 0; the last two features are in no formula."""
    w = np.abs(np.c_[np.ones(200), np.full(200, 0.5), 2 * X[:, 3], 2 * X[:, 2], np.zeros((200, 2))])
    limits = {
        "normlime": (w * w / w.sum(axis=1, keepdims=True)).mean(axis=0),
        "l2": np.sqrt((w * w).sum(axis=0)),
        "mean_abs": w.mean(axis=0),
    }
    local = explained()
    for kind, limit in limits.items():
        plain, result = local.importance(kind), local.importance(kind, debias=True)
        errors = [np.sqrt(np.mean((one.values - limit) ** 2)) for one in (plain, result)]
        assert errors[1] < errors[0] / 2
        assert np.abs(result.values[4:]).max() < plain.values[4:].min() / 4
        if kind != "l2":
            low, high = result.interval(0.99)
            assert (low[4:] < 0).all()
            assert (high[4:] > 0).all()
            assert (plain.interval(0.99)[0][4:] > 0).all()


def test_intervals_cover_the_value_of_endless_samples():
    """400 lots of 50 explanations; S of terms that are normal around the truth, which varies between explanations."""
    rng = np.random.default_rng(3)
    true = np.abs(rng.normal(4, 1, (20_000, 3))) * [1.0, 0.5, 0.0]
    w = true + rng.normal(size=true.shape)
    limit = (true**2 / true.sum(axis=1, keepdims=True)).mean(axis=0)
    lots = np.repeat(np.arange(400), 50)
    low, high = aggregate(w, lots, stderr=np.ones_like(w)).importance().interval()
    covered = ((low <= limit) & (high >= limit)).mean(axis=0)
    assert 0.86 < covered[0] < 0.94
    assert covered[1] > 0.8
    low, high = aggregate(w, lots).importance().interval()
    assert ((low <= limit) & (high >= limit)).mean(axis=0)[2] == 0


# --- ways to it


def test_explanations_use_their_standard_errors():
    local = explained(n_features=4)
    expected = aggregate(local.weights, stderr=local.stderr)
    for kind in KINDS:
        assert_same(local.importance(kind, debias=True), expected.importance(kind))
    by = np.arange(200) % 3
    weights = np.arange(200.0)
    expected = aggregate(local.weights, by, weights=weights, stderr=local.stderr).importance(min_count=20)
    assert_same(local.importance(by=by, weights=weights, min_count=20, debias=True), expected)
    failed = replace(local, status=np.where(local.instance > 150, 6, local.status))
    expected = aggregate(local.weights[:151], stderr=local.stderr[:151]).importance()
    assert_same(failed.importance(debias=True), expected)
    assert_same(local.importance(debias=False), local.importance())


def test_errors_of_contributions_are_in_proportion_to_them():
    explainer = nlf.NormLIME(product, nlf.Pool.gaussian(np.zeros(6), np.ones(6)), n_features=4, n_samples=300, rng=0)
    local = explainer.explain(X)
    weights, parts, errors = (m.toarray() for m in (local.weights, local.contributions, local.stderr))
    scaled = np.where(weights != 0, np.abs(parts) * errors / np.where(weights != 0, np.abs(weights), 1), 0)
    result = local.importance(of="contributions", debias=True)
    expected = aggregate(parts, stderr=scaled).importance()
    assert_allclose(result.values, expected.values, rtol=1e-12)
    alone = replace(local, sample_set=None).importance(of="contributions", debias=True)
    assert_allclose(alone.stderr, expected.stderr, rtol=1e-9)
    assert result.of == "contributions"
    statistics = explainer.statistics([X[:70], X[70:]], of="contributions", debias=True)
    assert_allclose(statistics.importance().values, expected.values, rtol=1e-12)


def test_few_of_many_columns():
    wide, errors = np.zeros((90, 70_000)), np.full((90, 70_000), 0.1)
    wide[:, [3, 600, 69_000]], errors[:, [3, 600, 69_000]] = W[:, :3], S[:, :3]
    result, narrow = aggregate(wide, stderr=csr_array(errors)), aggregate(W[:, :3], stderr=S[:, :3])
    assert_same(np.ascontiguousarray(result.debiased[:, :, [3, 600, 69_000]]), narrow.debiased)
    assert np.count_nonzero(result.debiased.any(axis=(0, 1))) == 3
    local = explained(n_features=3)
    places = {name: getattr(local, name).copy() for name in ("weights", "stderr")}
    for matrix in places.values():
        matrix.resize(200, 100_000)
        matrix.indices *= 15_000
    result = replace(local, **places).importance(debias=True)
    assert_same(result.values[:90_000:15_000].copy(), local.importance(debias=True).values)


def test_any_order_of_stored_weights():
    """Of a matrix with unsorted columns, repeated entries and zeros; the errors of other places are not used."""
    order = [4, 2, 0, 1, 3]
    indices = np.tile(np.array(order, np.int32), 90)
    unsorted = csr_array((W[:, order].ravel(), indices, np.arange(0, 451, 5)), shape=(90, 5))
    result = aggregate(unsorted, stderr=csr_array(np.where(W != 0, S, 7.0)))
    assert_same(result, aggregate(W, stderr=S))
    stored = unsorted.indices.copy()
    assert_array_equal(stored, indices)


@pytest.mark.parametrize("groups", [None, GROUPS])
@pytest.mark.parametrize("weighted", [False, True])
def test_parts_merge_to_the_whole(groups, weighted):
    v = np.where(np.arange(90) < 40, V + 0.5, 3 * V + 1) if weighted else None
    cuts = slice(0, 40), slice(40, 90)
    parts = [
        aggregate(W[a], None if groups is None else groups[a], weights=None if v is None else v[a], stderr=S[a])
        for a in cuts
    ]
    whole = aggregate(W, groups, weights=v, stderr=S)
    for merged in (parts[0].merge(parts[1]), parts[1].merge(parts[0])):
        for kind in KINDS:
            one, expected = merged.importance(kind), whole.importance(kind)
            assert_allclose(one.values, expected.values, rtol=1e-11, atol=1e-13)
            if one.stderr is not None:
                assert_allclose(one.stderr, expected.stderr, rtol=1e-9)
    for pair in ((parts[0], aggregate(W, groups)), (aggregate(W, groups), parts[0])):
        with pytest.raises(ValueError, match=r"^merge needs statistics that are both debiased or both not"):
            pair[0].merge(pair[1])


def test_blocks():
    """Blocks of one explanation give the intervals of independent ones; roots are of sums that may be negative."""
    blocks = [aggregate(W[[i]], stderr=S[[i]]) for i in range(90)]
    result = interval_by_blocks(blocks)
    importance = aggregate(W, stderr=S).importance()
    assert_allclose(result.importance.values, importance.values, rtol=1e-12)
    both = (importance.counts > 10) & np.isfinite(importance.stderr)
    assert_allclose(result.stderr[both], importance.stderr[both], rtol=0.1)
    rng = np.random.default_rng(5)
    noise = rng.normal([0.0, 5.0], size=(2000, 2))
    blocks = [aggregate(part, stderr=np.ones_like(part)) for part in np.split(noise, 20)]
    result = interval_by_blocks(blocks, kind="l2")
    assert result.low[0] == 0
    assert result.low[1] < np.sqrt(2000) * 5 < result.high[1]


def test_streams():
    explainer = nlf.NormLIME(product, nlf.Gaussian(1.0), n_features=3, n_samples=60, rng=0)
    local = explainer.explain(X)
    found = explainer.statistics((X[a : a + 30] for a in range(0, 200, 30)), debias=True, block_size=50)
    for kind in KINDS:
        assert_allclose(found.importance(kind).values, local.importance(kind, debias=True).values, rtol=1e-11)
    assert_same(explainer.importance(X, debias=True), local.importance(debias=True))
    assert_same(explainer.importance(X, debias=False), local.importance())


def test_values_below_0_come_last():
    w = np.array([[3.0, 0.1, -0.5], [3.0, 0.2, 0.5]])
    result = aggregate(w, feature_names="abc", stderr=np.array([[0.1, 0.9, 0.1]] * 2)).importance()
    assert -result.values[1] > result.values[2] > 0
    assert [row.feature for row in result.top()] == ["a", "c", "b"]
    assert [row.feature for row in replace(result, debias=False).top()] == ["a", "b", "c"]
    assert list(agreement([result, result.values], k=2).jaccard) == [1 / 3]  # arrays have sizes only
    assert list(agreement([result, np.array([3.0, 0.0, 0.5])], k=2).jaccard) == [1.0]
    net = aggregate(-w, stderr=0 * w, feature_names="abc").importance(sign="net")
    assert net.values[0] < 0
    assert net.top(1)[0].feature == "a"


def test_files_and_texts():
    statistics = aggregate(W, GROUPS, stderr=S)
    assert_round_trip(statistics)
    assert_round_trip(aggregate(W, weights=V, stderr=S))
    assert "debiased" in repr(statistics)
    assert "debiased" not in repr(aggregate(W))
    for kind in KINDS:
        importance = statistics.importance(kind)
        assert_round_trip(importance)
        assert f"{kind}, absolute, debiased, " in repr(importance)
        assert "debiased" in importance._repr_html_()
        assert importance.to_dict()["debias"] is True
    assert aggregate(W).importance().to_dict()["debias"] is False
    for change, message in {
        "debiased": (np.nan * statistics.debiased, "debiased must be finite"),
        "sums": (statistics.sums - 1e-9, "sums must be at least 0"),
    }.items():
        with pytest.raises(ValueError, match=message[1]):
            replace(statistics, **{change: message[0]})._to_bytes()
    with pytest.raises(
        ValueError, match=r"^debias needs kind normlime, l2, sp_lime or mean_abs, and no shrink, got 'm"
    ):
        replace(aggregate(W).importance("mean"), debias=True)._to_bytes()


def test_plots():
    pytest.importorskip("matplotlib").use("agg")
    from normlime_fast import plotting

    ax = plotting.bars(aggregate(W, stderr=S).importance())
    assert ", debiased\n" in ax.get_xlabel()
    noisy = aggregate([[3.0, 0.1, 0.5]] * 2, feature_names="abc", stderr=[[0.1, 0.9, 0.1]] * 2).importance()
    assert [label.get_text() for label in plotting.bars(noisy).get_yticklabels()] == ["a", "c", "b"]
    assert "debiased" not in plotting.bars(aggregate(W).importance()).get_xlabel()


# --- bad input


@pytest.mark.parametrize(
    ("stderr", "error", "message"),
    [
        (S[:4], ValueError, r"^stderr must have the shape of the weights, \(90, 5\), got \(4, 5\)$"),
        (S[0], ValueError, r"^stderr must be \(n explanations, d features\), got shape \(5,\)$"),
        (-1 - S, ValueError, r"^stderr must be from 0 to 1e\+100 for every weight, got -1\."),
        (S * np.nan, ValueError, r"^stderr must be from 0 to 1e\+100 for every weight, got nan$"),
        (S + np.inf, ValueError, r"^stderr must be from 0 to 1e\+100 for every weight, got inf$"),
        (S > 1j, TypeError, None),
        ("a", TypeError, r"^stderr must be a matrix of numbers that csr_array takes, got str"),
    ],
)
def test_bad_errors(stderr, error, message):
    if message is None:
        stderr, message = S.astype(complex), r"^stderr must hold real numbers, got dtype complex128$"
    with pytest.raises(error, match=message):
        aggregate(W, stderr=stderr)


@pytest.mark.parametrize("kind", ["mean", "sum"])
def test_kinds_that_have_no_such_bias(kind):
    message = rf"^debias is for kinds that noise biases, normlime, l2, sp_lime and mean_abs, got '{kind}'$"
    with pytest.raises(ValueError, match=message):
        explained().importance(kind, debias=True)
    with pytest.raises(ValueError, match=message):
        aggregate(W, stderr=S).importance(kind)


def never(X):
    raise AssertionError("the model is not called")


def test_options_that_do_not_go_together():
    explainer = nlf.NormLIME(never, nlf.Gaussian(1.0))
    for options, error, message in (
        ({"kind": "mean"}, ValueError, "^debias is for kinds"),
        ({"shrink": True}, ValueError, "^shrink must be False with debias, got True$"),
        ({"debias": 1}, TypeError, "^debias must be"),
    ):
        with pytest.raises(error, match=message):
            explainer.importance(X, **{"debias": True} | options)
        with pytest.raises(error, match=message):
            explained().importance(**{"debias": True} | options)
    with pytest.raises(TypeError, match=r"^debias must be"):
        explainer.statistics(X, debias=None)
    with pytest.raises(ValueError, match=r"^shrink must be False with debias, got True$"):
        aggregate(W, stderr=S).importance(shrink=True)


def test_errors_that_are_not_known():
    local = explained()
    local.stderr.data[[15, 16, 700]] = np.nan
    message = (
        r"^debias needs the standard errors of all weights, but those of 2 of 200 explanations are NaN, first at pos"
    )
    with pytest.raises(ValueError, match=message):
        local.importance(debias=True)
    with pytest.raises(
        ValueError, match=r"^debias must be False, got True: there are no standard errors of the weights"
    ):
        replace(local, stderr=None).importance(debias=True)
