"""A few local explanations, end to end: NormLIME beside lime. Timed is what either spends outside the model."""

import time

import numpy as np
import pytest
from lime.lime_tabular import LimeTabularExplainer
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

import normlime_fast as nlf

N, K, INSTANCES = 5000, 10, 5


class Model:
    """Log-odds of a logistic regression on breast cancer."""

    seconds = 0.0  # spent in all calls

    def __init__(self):
        self.X, y = load_breast_cancer(return_X_y=True)
        self.scaler = StandardScaler().fit(self.X)
        self.regression = LogisticRegression(max_iter=1000).fit(self.scaler.transform(self.X), y)
        self.coefficients = self.regression.coef_[0]  # per standard deviation, as both explainers report weights

    def __call__(self, X):
        start = time.perf_counter()
        outputs = self.regression.decision_function(self.scaler.transform(X))
        Model.seconds += time.perf_counter() - start
        return outputs

    def assert_explained(self, features, weights):
        """The model is linear, so its own coefficients are the answer, up to the sampling noise of n samples.

        Per feature that is sigma / sqrt(n), for refitted weights with the sigma of the features left out, for what
        decides the selection with the sigma of all; n is halved to allow for lime's weights, and 5 sigma for chance.
        """
        size = np.abs(self.coefficients)
        left_out = np.delete(size, features)
        np.testing.assert_allclose(
            weights, self.coefficients[features], rtol=1e-3, atol=5 * np.linalg.norm(left_out) / np.sqrt(N / 2)
        )
        assert len(features) == K
        doubt = 2 * 5 * np.linalg.norm(size) / np.sqrt(N / 2)
        assert left_out.max() < size[features].min() + doubt


def clock_outside_the_model():
    return time.perf_counter() - Model.seconds


pytestmark = pytest.mark.benchmark(timer=clock_outside_the_model)


@pytest.fixture(scope="module")
def model():
    return Model()


@pytest.fixture
def own_time(benchmark):
    benchmark.group = f"{INSTANCES} explanations, n={N}, d=30, K={K}, outside the model"
    return lambda function: benchmark.pedantic(function, warmup_rounds=1, rounds=10)  # the warm-up compiles


def test_normlime_fast(own_time, model):
    explainer = nlf.NormLIME(
        model, nlf.Gaussian.from_data(model.X), n_features=K, n_samples=N, ridge=1.0, standardize=False, rng=0
    )
    local = own_time(lambda: explainer.explain(model.X[:INSTANCES]))
    for row in range(INSTANCES):
        weights = local.weights[[row]]
        model.assert_explained(weights.indices, weights.data)


def test_lime(own_time, model):
    explainer = LimeTabularExplainer(
        model.X,
        mode="regression",
        discretize_continuous=False,
        sample_around_instance=True,
        feature_selection="lasso_path",
        random_state=0,
    )
    explained = own_time(
        lambda: [explainer.explain_instance(x, model, num_features=K, num_samples=N) for x in model.X[:INSTANCES]]
    )
    for explanation in explained:
        features, weights = zip(*explanation.as_map()[1], strict=True)
        model.assert_explained(np.array(features), np.array(weights))
