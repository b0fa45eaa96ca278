"""What a Mask's sampler makes of one instance, whichever kind of sampler it is."""

import numpy as np

SEED = np.uint64(7)


def samples(mask, X, row=0, n=40, number=5):
    """Inputs, masks (n, d), weights and columns of one instance."""
    rows = mask._checked_rows(X)
    sampler = mask._sampler(SEED, n, rows)
    if hasattr(sampler, "draw"):
        inputs, Z, weights, columns = sampler.draw(number, row)
        return inputs, Z + 1, weights, columns
    shape, dtype = rows.values.shape[1:], rows.values.dtype
    Z, weights, inputs = (
        np.empty((1, n, sampler.n_features), np.float32),
        np.ones((1, n)),
        np.empty((1, n, *shape), dtype),
    )
    sampler.perturb(np.array([number], np.uint64), np.array([0, 1]), slice(row, row + 1), Z, weights, inputs)
    return inputs[0], Z[0] + 1, weights[0] if sampler.weighted else None, None
