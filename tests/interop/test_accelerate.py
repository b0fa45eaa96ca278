"""lime with `accelerate` gives what lime gives without: the oracle is lime itself, on the same draws."""

import copy
import pickle
import re
import sys
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from lime import lime_image
from lime.lime_base import LimeBase
from lime.lime_image import LimeImageExplainer
from lime.lime_tabular import LimeTabularExplainer, RecurrentTabularExplainer
from lime.lime_text import LimeTextExplainer
from scipy.sparse import csr_matrix
from sklearn.linear_model import Lasso, LinearRegression, lars_path

from normlime_fast.interop.lime import accelerate
from normlime_fast.interop.lime._fits import moments_of

METHODS = ["none", "forward_selection", "highest_weights", "lasso_path", "auto"]
N = 150
# Both solve normal equations of correlations, which sums of n terms leave off by n eps = 4e-14 at most, each. The
# inverse of the correlation matrices here has a norm below 100, and at most 20 weights add up: 2 * 4e-14 * 100 * 20 is
# less than this. Where the norm is larger, ours leaves the fit to lime.
SAME = 1e-9

SLOPES = np.random.default_rng(1).standard_normal((12, 3))


def probabilities(X):
    scores = np.tanh(np.asarray(X) / 3) @ SLOPES[: X.shape[1]]
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def table(**options):
    rng = np.random.default_rng(0)
    X = np.hstack([rng.lognormal(size=(500, 5)), rng.integers(0, 3, (500, 3))])
    return X, lambda **told: LimeTabularExplainer(X, categorical_features=[5, 6, 7], **options, **told)


def explain_table(model, make, X, K, seed, **told):
    explainer = make(random_state=seed, **told)
    return explainer, [lambda x=x: explainer.explain_instance(x, model, (0, 2), None, K, N) for x in X[:2]]


def tabular(method, K, seed, **options):
    X, make = table(**options)
    return explain_table(probabilities, make, X, K, seed, feature_selection=method)


def regression(method, K, seed):
    X, make = table(mode="regression")
    return explain_table(lambda X: X @ SLOPES[:8, 0], make, X, K, seed, feature_selection=method)


def recurrent(method, K, seed):
    X = np.random.default_rng(0).standard_normal((200, 3, 4))
    make = partial(RecurrentTabularExplainer, X, feature_names=list("abcd"))
    return explain_table(lambda X: probabilities(X.reshape(-1, 12)), make, X, K, seed, feature_selection=method)


def sparse(method, K, seed):
    X = csr_matrix(np.random.default_rng(0).binomial(1, 0.7, (200, 12)) * 1.5)
    make = partial(LimeTabularExplainer, X, discretize_continuous=False)
    method = "highest_weights" if method in ("forward_selection", "auto", "lasso_path") else method  # lime's fail
    return explain_table(lambda X: probabilities(X.toarray()), make, X, K, seed, feature_selection=method)


def text(method, K, seed):
    words = ["it", "has", "good", "cloth", "and", "a", "bad", "fit"]
    explainer = LimeTextExplainer(feature_selection=method, random_state=seed)

    def model(texts):
        return probabilities(np.array([[each.count(word) for word in words] for each in texts]))

    return explainer, [lambda: explainer.explain_instance(" ".join(words), model, (0, 2), None, K, N)]


def image(method, K, seed):
    explainer = LimeImageExplainer(feature_selection=method, random_state=seed)
    grid = np.arange(12)[:, None] // 4 * 4 + np.arange(12) // 3
    pixels = np.random.default_rng(0).random((12, 12, 3))
    told = {
        "top_labels": 2,
        "hide_color": 0,
        "num_features": K,
        "num_samples": N,
        "segmentation_fn": lambda image: grid,
    }

    def model(images):
        return probabilities(np.array([each[2::4, 1::3].sum(axis=2).ravel() for each in images]))

    return explainer, [lambda: explainer.explain_instance(pixels, model, **told)]


KINDS = {
    "bins": tabular,
    "continuous": partial(tabular, discretize_continuous=False),
    "around": partial(tabular, discretize_continuous=False, sample_around_instance=True),
    "regression": regression,
    "recurrent": recurrent,
    "text": text,
    "image": image,
    "sparse": sparse,
}


@pytest.fixture(autouse=True)
def no_progress_bar(monkeypatch):
    monkeypatch.setattr(lime_image, "tqdm", iter)


def assert_same(ours, lime):
    """The same of `explain_instance_with_data`: features in the same order, weights, R^2 and prediction."""
    (intercept, pairs, score, local), (expected, expected_pairs, expected_score, expected_local) = ours, lime
    assert [feature for feature, _ in pairs] == [feature for feature, _ in expected_pairs]
    assert np.shape(local) == np.shape(expected_local)
    weights = np.array([weight for _, weight in expected_pairs])
    size = np.abs(weights).max() if weights.size else 1.0
    np.testing.assert_allclose([weight for _, weight in pairs], weights, rtol=0, atol=SAME * size)
    np.testing.assert_allclose([intercept, *local], [expected, *expected_local], rtol=SAME, atol=SAME * size)
    assert score == pytest.approx(expected_score, rel=0, abs=SAME)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", KINDS)
def test_explanations_are_those_of_lime(kind, method):
    for K in (3, 9):
        slow, slowly = KINDS[kind](method, K, seed=5)
        fast, quickly = KINDS[kind](method, K, seed=5)
        assert accelerate(fast) is fast
        for wait, hurry in zip(slowly, quickly, strict=True):
            lime, ours = wait(), hurry()
            assert set(ours.local_exp) == set(lime.local_exp)
            assert getattr(ours, "top_labels", None) == getattr(lime, "top_labels", None)
            for label in lime.local_exp:
                values = [
                    (each.intercept.get(label, 0), each.local_exp[label], each.score, each.local_pred)
                    for each in (ours, lime)
                ]
                assert_same(*values)
        assert fast.random_state.randint(1 << 30) == slow.random_state.randint(1 << 30)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "sparse"])
def test_lime_and_scikit_learn_fit_nothing(kind, method, monkeypatch):
    explainer, explain = KINDS[kind](method, 4, seed=5)
    monkeypatch.setattr("sklearn.linear_model.Ridge.fit", None)
    monkeypatch.setattr("lime.lime_base.lars_path", None)
    accelerate(explainer)
    assert explain[0]().local_exp


# --- the neighborhoods that are hard to fit, given as lime gives them


def data_of(kind):
    rng = np.random.default_rng(3)
    X = rng.standard_normal((60, 6))
    if kind == "twins":
        X[:, 5] = X[:, 0]
    elif kind == "collinear":
        X[:, 5] = X[:, 0] - X[:, 1]
    elif kind == "nearly collinear":
        X[:, 5] = X[:, 0] + 1e-6 * X[:, 1]
    elif kind == "constant columns":
        X[:, [1, 4]] = 0.3
    elif kind == "far":
        X += 1e6
    elif kind == "wide":
        X = rng.standard_normal((8, 12))
    elif kind == "integers":
        X = rng.integers(0, 2, (60, 6))
    elif kind == "float32":
        X = X.astype(np.float32)
    elif kind == "column by column":
        X = np.asfortranarray(X)
    return X


OUTPUTS = {
    "smooth": lambda X, z: np.tanh(z),
    "linear": lambda X, z: z,
    "of two columns": lambda X, z: z[0] + X[:, 0] * 2.0 + X[:, 2],
    "step": lambda X, z: (z > 0) * 1.0,
    "small": lambda X, z: 1e-6 * np.tanh(z),
    "large": lambda X, z: 1e14 * np.tanh(z),
    "huge": lambda X, z: 1e160 * np.tanh(z),
    "labels": lambda X, z: (z > 0).astype(int),
    "constant": lambda X, z: np.full(len(z), 0.7),
    "zero": lambda X, z: np.zeros(len(z)),
    "all but constant": lambda X, z: 1.0 - 1e-15 * (z > 0),
    "NaN": lambda X, z: np.where(z > 0, np.nan, z),
}
KERNELS = {
    "lime's": lambda d: np.sqrt(np.exp(-(d**2) / 4)),
    "some zeros": lambda d: (d < 2.5) * 1.0,
    "all zeros": np.zeros_like,
    "one": lambda d: (d == 0) * 1.0,
    "subnormal": lambda d: np.exp(-d) * 1e-310,
    "negative": lambda d: np.cos(d),
    "float32": lambda d: np.exp(-d).astype(np.float32),
}


def outcome(base, *arguments):
    """What lime returns, or the kind of error."""
    try:
        return base.explain_instance_with_data(*arguments)
    except Exception as error:
        return type(error)


def assert_same_outcome(data, output, kernel, Ks=(2, 9), methods=METHODS[:-1]):
    z = (data - data.mean(axis=0)) @ np.random.default_rng(4).standard_normal(data.shape[1])
    y = OUTPUTS[output](data, z)
    labels, distances = np.stack([-y, y], axis=1), np.sqrt(((data - data[0]) ** 2.0).mean(axis=1, dtype=float))
    base = LimeBase(KERNELS[kernel])
    fast = accelerate(SimpleNamespace(base=LimeBase(KERNELS[kernel]))).base
    for method in methods:
        for K in Ks:
            lime, ours = (outcome(each, data, labels, distances, 1, K, method) for each in (base, fast))
            if isinstance(lime, tuple) and np.isfinite(lime[2]):
                assert_same(ours, lime)
            else:
                assert repr(ours) == repr(lime)


KINDS_OF_DATA = (
    "plain, twins, collinear, nearly collinear, constant columns, far, wide, integers, float32, column by column"
)


@pytest.mark.filterwarnings("ignore")  # of scikit-learn, where lime fits such data
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("kind", KINDS_OF_DATA.split(", "))
def test_what_rounding_decides_is_decided_as_by_lime(kind, output):
    assert_same_outcome(data_of(kind), output, "lime's")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kernel", KERNELS)
def test_weights_of_any_kind(kernel):
    assert_same_outcome(data_of("plain"), "smooth", kernel)


@pytest.mark.parametrize("method", [*METHODS, "another"])
@pytest.mark.parametrize("K", [0, -1, 2.0, 6, 7, 10**6, None, np.int32(2)])
def test_numbers_of_features_of_any_kind(K, method):
    assert_same_outcome(np.random.default_rng(0).standard_normal((40, 9)), "smooth", "lime's", [K], [method])


def test_lasso_path_takes_the_last_knot_with_so_many_features():
    rng = np.random.default_rng(0)  # with K = 4, 2 features enter and leave after the fourth
    X = rng.standard_normal((60, 6)) @ rng.standard_normal((6, 6))
    y = X @ rng.standard_normal(6) + 0.1 * rng.standard_normal(60)
    _, _, path = lars_path(X - X.mean(axis=0), y - y.mean(), method="lasso")
    first = next(set(np.flatnonzero(w)) for w in path.T if np.count_nonzero(w) == 4)
    fast = accelerate(SimpleNamespace(base=LimeBase(np.ones_like))).base
    ours = fast.feature_selection(X, y, np.ones(60), 4, "lasso_path")
    assert ours.tolist() == LimeBase(None).feature_selection(X, y, np.ones(60), 4, "lasso_path").tolist()
    assert set(ours) != first


@pytest.mark.parametrize("method", ["forward_selection", "feature_selection", "generate_lars_path"])
def test_methods_of_lime_base(method):
    X, y, weights = data_of("plain"), np.arange(60.0), np.linspace(1, 2, 60)
    arguments = {
        "forward_selection": (X, y, weights, 3),
        "feature_selection": (X, y, weights, 3, "highest_weights"),
        "generate_lars_path": (X, y),
    }[method]
    base = LimeBase(None)
    ours, lime = (getattr(each, method)(*arguments) for each in (accelerate(SimpleNamespace(base=base)).base, base))
    for mine, theirs in zip(ours, lime, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("regressor", [LinearRegression(), Lasso(alpha=1e-3)])
def test_regressor_of_the_users_own(regressor, method):
    def explanation(change):
        explainer, _ = tabular(method, 4, seed=2)
        x = table()[0][0]
        return change(explainer).explain_instance(
            x, probabilities, num_samples=N, num_features=4, model_regressor=copy.deepcopy(regressor)
        )

    ours, lime = explanation(accelerate), explanation(lambda explainer: explainer)
    assert ours.local_exp == lime.local_exp  # it is fitted to the same features: to the last bit
    assert (ours.intercept, ours.score) == (lime.intercept, lime.score)


def test_verbose_prints_what_lime_prints(capsys):
    printed = []
    for change in (accelerate, lambda explainer: explainer):
        explainer, explain = tabular("auto", 4, seed=2, verbose=True)
        change(explainer)
        explain[0]()
        printed.append(capsys.readouterr().out)
    number = r"-?\d+\.\d*(?:e-?\d+)?"
    ours, lime = (re.sub(number, "#", each) for each in printed)
    assert ours == lime
    assert "Prediction_local [#]" in lime
    ours, lime = (list(map(float, re.findall(number, each))) for each in printed)
    np.testing.assert_allclose(ours, lime, rtol=1e-7)  # of which numpy prints 8 digits


# --- the explainer itself


def test_very_wide_data_are_left_to_lime():
    """Their Gram matrix would take 2 GiB and more; lime makes none."""
    Z = np.random.default_rng(0).standard_normal((3, 16_385))
    assert moments_of(Z[:, :50], Z[:, 0], np.ones(3)) is not None
    assert moments_of(Z, Z[:, 0], np.ones(3)) is None


def test_it_can_be_undone_and_done_twice():
    explainer, _ = tabular("auto", 4, seed=2)
    base = explainer.base
    accelerated = accelerate(explainer).base
    assert accelerate(explainer).base is accelerated
    assert accelerated.original is base
    explainer.base = explainer.base.original
    assert type(explainer.base) is LimeBase


def test_attributes_are_those_of_the_original(capsys):
    explainer, explain = tabular("auto", 4, seed=2)
    accelerate(explainer)
    assert explainer.base.random_state is explainer.random_state
    assert not explainer.base.verbose
    explainer.base.verbose = True
    assert explainer.base.original.verbose
    explain[0]()
    assert "Intercept" in capsys.readouterr().out
    explainer.base.kernel_fn = np.ones_like
    slow, slowly = tabular("auto", 4, seed=2)
    slow.base.kernel_fn = np.ones_like
    _, lime = slowly[0](), slowly[1]()
    assert [j for j, _ in explain[1]().local_exp[2]] == [j for j, _ in lime.local_exp[2]]


def test_deep_copy_explains_alike_and_apart():
    explainer, _ = tabular("auto", 4, seed=2)
    twin = copy.deepcopy(accelerate(explainer))
    assert twin.base.original is not explainer.base.original
    assert twin.base.random_state is twin.random_state
    found = [each.explain_instance(table()[0][0], probabilities, num_samples=N) for each in (explainer, twin)]
    assert found[0].local_exp == found[1].local_exp


def near(distances, kernel_width):
    return np.exp(-distances / kernel_width)


def test_pickle():
    explainer = pickle.loads(pickle.dumps(accelerate(LimeImageExplainer(kernel=near, random_state=0))))
    assert explainer.base.random_state is explainer.random_state
    assert explainer.base.kernel_fn(0.0) == 1.0
    assert type(explainer.base.original) is LimeBase


class StrangeBase(LimeBase):
    pass


@pytest.mark.parametrize(
    ("explainer", "what"),
    [
        (object(), "object, whose base is NoneType"),
        (None, "NoneType, whose base is NoneType"),
        (LimeTextExplainer, "type, whose base is NoneType"),
        (SimpleNamespace(base=StrangeBase(None)), "SimpleNamespace, whose base is StrangeBase"),
        (SimpleNamespace(base=LimeBase), "SimpleNamespace, whose base is type"),
    ],
)
def test_what_is_no_explainer_of_lime(explainer, what):
    with pytest.raises(TypeError, match=f"^explainer must be an explainer of lime, .*, got {what}$"):
        accelerate(explainer)


def test_without_lime(monkeypatch):
    monkeypatch.setitem(sys.modules, "lime", None)
    with pytest.raises(
        ImportError, match=r'accelerate needs lime; install it with: pip install "normlime-fast\[lime\]"'
    ):
        accelerate(object())


def test_from_lime_is_there_too():
    from normlime_fast.interop import lime
    from normlime_fast.interop.lime import _explanations

    assert lime.from_lime is _explanations.from_lime
