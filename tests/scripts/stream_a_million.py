"""Stream 1,000,000 rows x 20 columns through `importance`, and watch the memory; run by engine/test_stream.py.

python tests/scripts/stream_a_million.py [samples per row, 40 if not given]
"""

import sys
import time
from pathlib import Path

import numpy as np

import normlime_fast as nlf

ROWS, COLUMNS, BATCH = 1_000_000, 20, 10_000
GROWTH = 16 << 20  # bytes: a tenth of what the values of all rows take; 3 to 4 MiB as a rule, more on a busy machine


def resident():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def main(n_samples):
    weights = np.arange(COLUMNS) - 5.0
    rng = np.random.default_rng(0)
    sizes = []

    def batches():
        for _ in range(ROWS // BATCH):
            yield rng.standard_normal((BATCH, COLUMNS))
            sizes.append(resident())

    def linear(X):
        return X @ weights

    explainer = nlf.NormLIME(linear, nlf.Gaussian(1.0), n_features=5, n_samples=n_samples, rng=0)
    begin = time.perf_counter()
    importance = explainer.importance(batches(), by="target")
    seconds = time.perf_counter() - begin
    growth = max(sizes[10:]) - max(sizes[:10])
    print(
        f"{ROWS:,} rows x {COLUMNS} columns, {n_samples} samples each: {seconds:.0f} s, resident memory"
        f" {max(sizes[:10]) / 2**20:.0f} MiB after a tenth and at most {growth / 2**20:.1f} MiB more later"
    )
    assert importance.explanations.tolist() == [ROWS]
    assert importance.counts.sum() > 4.999 * ROWS  # LASSO may take a column of weight 0, which least squares drops
    assert importance.values[0].argmax() == np.abs(weights).argmax()
    assert growth <= GROWTH


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 40)
