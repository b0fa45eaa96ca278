"""What the library computes, to the bit: SHA-256 of saved explanations and sums, for every neighborhood and setting.

Bits depend on the processor, whose instructions LLVM chooses, and on numpy and scipy. So `tests/data/digests.json` has
a record for each kind of machine on which `python tests/test_digests.py` was run; on others, only what must agree on
any machine is compared. A change that is to change no bit leaves the file as it is.
"""

import hashlib
import json
import tempfile
import warnings
from pathlib import Path

import llvmlite.binding
import numba
import numpy as np
import pytest
import scipy
from scipy import sparse

import normlime_fast as nlf

RECORDS = Path(__file__).parent / "data" / "digests.json"
MACHINE = ", ".join(
    [
        llvmlite.binding.get_host_cpu_name(),
        f"numba {numba.__version__}",
        f"numpy {np.__version__}",
        f"scipy {scipy.__version__}",
    ]
)
SHARED, SELECTIONS, JOBS = (1, 5), ("lasso_path", "highest_weights"), (1, 2)

rng = np.random.default_rng(0)
TABLE = np.round(rng.normal(size=(60, 6)), 3)
TABLE[:, 5] = rng.integers(3, size=60)
IMAGES = rng.integers(256, size=(12, 6, 8), dtype=np.uint8)
WORDS = ["good", "bad", "fit", "colour", "fine", "dress", "so", "very", "it", "is", "gründlich", "日"]
TEXTS = [" ".join(rng.choice(WORDS, 7)) for _ in range(12)]
GAPS = np.where(np.random.default_rng(1).random((60, 6)) < 0.2, np.nan, TABLE)
COUNTS = sparse.csr_array(np.maximum(rng.integers(-3, 4, size=(12, 10)), 0).astype(float))


class Own:
    """A neighborhood of a user's own."""

    n_features = 6

    def perturb(self, instance, n_samples, rng):
        Z = rng.integers(-4, 5, size=(n_samples, 6)) / 4
        return instance + Z, Z, 1 / (1 + np.abs(Z).sum(axis=1))


def numbers(X):
    """Two outputs by arithmetic that IEEE 754 rounds in one way."""
    X = np.asarray(X, float).reshape(len(X), -1)
    first = X[:, 0] * X[:, 1] + X[:, 2] - X[:, 3] * X[:, 3]
    return np.stack([first, X[:, 4] / (1 + X[:, 5] * X[:, 5]) + np.abs(X[:, 1])], axis=1)


def of_gaps(X):
    """The same of rows with missing values, for each of which an output moves by 2."""
    missing = np.isnan(X)
    return numbers(np.where(missing, 0.0, X)) + 2.0 * missing.sum(axis=1, keepdims=True)


def words(texts):
    return np.array([[text.count("o"), len(text) % 7 + text.count("日")] for text in texts], float)


def of_sparse(X):
    return numbers(X.toarray())


def render(image, masks):
    return np.where(np.repeat(masks[:, :, None], 12, axis=2).reshape(-1, 6, 8), image, 100)


LIMES = {"numeric": range(5), "quantiles": 4, "draw": "normal"}
HALVES = np.repeat(np.arange(4), 12).reshape(6, 8)
CASES = {  # neighborhood, model, rows
    "gaussian": (nlf.Gaussian(0.7), numbers, TABLE[:12]),
    "gaussian, float32": (nlf.Gaussian(0.7), numbers, TABLE[:12].astype(np.float32)),
    "gaussian, sobol": (nlf.Gaussian(0.7, "sobol"), numbers, TABLE[:12]),
    "gaussian, categories": (nlf.Gaussian.from_data(TABLE, categorical=[5]), numbers, TABLE[:12]),
    "pool": (nlf.Pool.from_data(TABLE, categorical=[5]), numbers, TABLE[:12]),
    "pool, drawn": (nlf.Pool.gaussian(TABLE.mean(axis=0), TABLE.std(axis=0)), numbers, TABLE[:12]),
    "binned": (nlf.Binned.from_data(TABLE, categorical=[5], **LIMES), numbers, TABLE[:12]),
    "binned, bins": (nlf.Binned.from_data(TABLE, categorical=[5], **LIMES, features="bin"), numbers, TABLE[:12]),
    "binned, observed": (nlf.Binned.from_data(TABLE, categorical=[5]), numbers, TABLE[:12]),
    "missing": (nlf.Gaussian.from_data(GAPS), of_gaps, GAPS[:12]),
    "pool, missing": (nlf.Pool.from_data(GAPS), of_gaps, GAPS[:12]),
    "binned, missing": (nlf.Binned.from_data(GAPS), of_gaps, GAPS[:12]),
    "mask of a table": (nlf.Mask.from_data(TABLE), numbers, TABLE[:12]),
    "mask of images": (nlf.Mask("blur"), numbers, IMAGES),
    "mask of segments": (nlf.Mask("segment_mean", segments=(2, 3)), numbers, IMAGES),
    "mask that renders": (nlf.Mask(segments=HALVES, render=render), numbers, IMAGES),
    "mask of sparse rows": (nlf.Mask(), of_sparse, COUNTS),
    "mask of texts": (nlf.Mask.text(TEXTS), words, TEXTS),
    "custom": (Own(), numbers, TABLE[:12]),
}


def digests(case, n_jobs, shared_samples, selection):
    """Return those of the files of explanations and of sums."""
    neighborhood, model, rows = CASES[case]
    explainer = nlf.NormLIME(
        model,
        neighborhood,
        n_features=3,
        n_samples=50,
        targets="all",
        rng=0,
        n_jobs=n_jobs,
        shared_samples=shared_samples,
        selection=selection,
    )
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore", UserWarning)  # of statuses, which are in the files
        explainer.explain(rows).save(Path(folder, "local"))
        explainer.statistics(rows, by="target", block_size=5).save(Path(folder, "sums"))
        return [hashlib.sha256(Path(folder, name).read_bytes()).hexdigest() for name in ("local", "sums")]


@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("shared_samples", SHARED)
@pytest.mark.parametrize("case", CASES)
def test_bits(case, shared_samples, selection):
    found = [digests(case, n_jobs, shared_samples, selection) for n_jobs in JOBS]
    assert found[0] == found[1]
    recorded = json.loads(RECORDS.read_text()).get(MACHINE)
    if recorded is not None:
        assert recorded[f"{case}, {shared_samples}, {selection}"] == found[0]


def record():
    records = json.loads(RECORDS.read_text()) if RECORDS.exists() else {}
    records[MACHINE] = {
        f"{case}, {shared_samples}, {selection}": digests(case, 1, shared_samples, selection)
        for case in CASES
        for shared_samples in SHARED
        for selection in SELECTIONS
    }
    RECORDS.write_text(json.dumps(records, indent=1, sort_keys=True) + "\n")
    print(f"recorded {len(records[MACHINE])} digests of {MACHINE}")


if __name__ == "__main__":
    record()
