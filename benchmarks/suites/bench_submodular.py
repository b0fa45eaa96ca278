"""SP-LIME's pick from 100,000 explanations, beside lime's own on as many as it can take."""

import numpy as np
import pytest
from lime.explanation import DomainMapper, Explanation
from lime.submodular_pick import SubmodularPick
from scipy.sparse import csr_array

import normlime_fast as nlf

K = 10
CASES = {  # explanations, features, budget
    "100,000 of 784 features": (100_000, 784, 100),
    "100,000 of 20,000 features": (100_000, 20_000, 100),
    "300 of 200 features": (300, 200, 10),
}
ROUNDS = {"warmup_rounds": 1, "rounds": 5}


def explanations(n, d):
    """Return n explanations with K weights each; the first features are used more often than the last."""
    rng = np.random.default_rng(0)
    stretch = d // K
    features = stretch * np.arange(K) + (stretch * rng.random((n, K)) ** 3).astype(np.int32)
    weights = csr_array((rng.standard_normal(n * K), features.ravel(), np.arange(0, n * K + 1, K)), shape=(n, d))
    zeros = np.zeros(n, int)
    return nlf.LocalExplanations(weights, zeros, zeros, zeros, zeros, np.arange(n), zeros, np.full(n, 1e9))


def by_a_plain_loop(weights, budget):
    """The instances, from all gains anew before each pick."""
    left = np.sqrt(abs(weights).sum(axis=0))
    picked = []
    for _ in range(budget):
        picked.append(int(((weights != 0) @ left).argmax()))
        left[weights[[picked[-1]]].indices] = 0
    return picked


@pytest.mark.parametrize("case", CASES)
def test_normlime_fast(benchmark, case):
    benchmark.group = f"SP-LIME: {case}"
    n, d, budget = CASES[case]
    local = explanations(n, d)
    picked = benchmark.pedantic(local.submodular_pick, (budget,), **ROUNDS)
    np.testing.assert_array_equal(picked.instances, by_a_plain_loop(local.weights, budget)[: len(picked.instances)])


class Explained:
    """A lime explainer that has the explanations already."""

    def __init__(self, weights):
        self.explanations = []
        for row in range(weights.shape[0]):
            one, (start, end) = Explanation(DomainMapper(), class_names=["all"]), weights.indptr[row : row + 2]
            one.local_exp = {0: list(zip(weights.indices[start:end], weights.data[start:end], strict=True))}
            self.explanations.append(one)

    def explain_instance(self, row, predict, **settings):
        return self.explanations[row]


def test_lime(benchmark):
    case = "300 of 200 features"
    benchmark.group = f"SP-LIME: {case}"
    n, d, budget = CASES[case]
    local = explanations(n, d)
    explainer = Explained(local.weights)

    def pick():
        return SubmodularPick(explainer, range(n), None, method="full", num_exps_desired=budget, num_features=K).V

    assert benchmark.pedantic(pick, warmup_rounds=0, rounds=3) == local.submodular_pick(budget).instances.tolist()
