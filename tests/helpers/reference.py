"""The oracle: what the kernels compute, in plain NumPy float64, written to be read. Imports nothing of ours."""

import numpy as np


def philox(counter, key):
    """Philox4x32-10 (Salmon et al., SC 2011): counter is four words (or arrays of words), key two."""
    c0, c1, c2, c3 = (np.asarray(word, np.uint64) for word in counter)
    k0, k1 = key
    low = np.uint64(0xFFFFFFFF)
    for _ in range(10):
        left, right = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1 = (right >> 32) ^ c1 ^ np.uint64(k0), right & low
        c2, c3 = (left >> 32) ^ c3 ^ np.uint64(k1), left & low
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return c0, c1, c2, c3


def box_muller(uniform, angle, bits):
    """Two normal variates from a uniform number and an angle, an array of fractions of a turn in units of 2^-bits."""
    quarter = (angle >> np.uint64(bits - 2)).astype(int)
    rest = (angle << np.uint64(66 - bits)).view(np.int64) * 2.0**-64  # of a quarter turn, in [-1/2, 1/2)
    radius, sine, cosine = np.sqrt(-2 * np.log(uniform)), np.sin(np.pi / 2 * rest), np.cos(np.pi / 2 * rest)
    return (
        radius * np.choose(quarter, [cosine, -sine, -cosine, sine]),
        radius * np.choose(quarter, [sine, cosine, -sine, -cosine]),
    )


def normals(seed, instance, purpose, block, size, dtype):
    """Variates of the stream that (seed, instance, purpose) names from a block on: 256 counters a block, each variate
    of a counter 256 places after the one before it.

    The uniform number is rounded as the type rounds it: it may become 1, and the radius exactly 0. The rest is float64.
    """
    per_block = 256 * 16 // np.dtype(dtype).itemsize
    blocks = -(-size // per_block)
    position = np.uint64(block * 256) + np.arange(blocks * 256, dtype=np.uint64)  # 48 bits
    high = (position >> np.uint64(32)) + np.uint64(purpose << 16)
    counter = position % np.uint64(2**32), high, instance % 2**32, instance >> 32
    w0, w1, w2, w3 = philox(counter, (seed % 2**32, seed >> 32))
    if dtype == np.float32:
        uniforms = [((w >> np.uint64(1)).astype(np.float32) + np.float32(0.5)) * np.float32(2**-31) for w in (w0, w2)]
        pairs = [box_muller(u.astype(float), w, 32) for u, w in zip(uniforms, (w1, w3), strict=True)]
        variates = [*pairs[0], *pairs[1]]
    else:
        radius_bits = (w0 << np.uint64(21)) ^ (w1 >> np.uint64(11))
        variates = box_muller((radius_bits.astype(float) + 0.5) * 2.0**-53, (w2 << np.uint64(32)) | w3, 64)
    return np.stack(variates).reshape(-1, blocks, 256).transpose(1, 0, 2).reshape(-1)[:size]


def centred(Z, y, weights):
    """Rows minus their weighted mean, and the weights normalised."""
    p = weights / np.sum(weights)
    return Z - p @ Z, y - p @ y, p


def unweighted(Z, y, weights):
    """Rows and outputs whose plain mean squared residual is the weighted one: what scikit-learn's LASSO is given."""
    Z, y, p = centred(Z.astype(np.float64), y, weights)
    root = np.sqrt(p * len(p))
    return Z * root[:, None], y * root


def inside_segments(path):
    """Which features have a weight inside each segment of a piecewise linear path of coefficients (d, knots).

    At a knot itself the feature that enters or leaves is 0.
    """
    return np.abs(path[:, 1:] + path[:, :-1]) > 1e-12 * np.abs(path).max()


def duality_gap(Z, y, weights, w, alpha):
    """Gap of 1/2 sum_i p_i (y_i - z_i w)^2 + alpha ||w||_1, from its dual: the residual made feasible by shrinking."""
    Z, y, p = centred(Z, y, weights)
    residual = y - Z @ w
    theta = residual * min(1.0, alpha / np.abs(Z.T @ (p * residual)).max())
    primal = 0.5 * p @ residual**2 + alpha * np.abs(w).sum()
    dual = 0.5 * p @ y**2 - 0.5 * p @ (y - theta) ** 2
    return primal - dual


def refit(Z, y, weights, support, ridge=0.0):
    """(weights, intercept, R^2) of weighted least squares on the columns `support`, by lstsq on the rows themselves.

    ridge adds ridge * sum of squares to sum_i weights_i residual_i^2.
    """
    rows, target, p = centred(Z, y, weights)
    rows = rows[:, support]
    root = np.sqrt(weights)
    stacked = np.vstack([rows * root[:, None], np.sqrt(ridge) * np.eye(len(support))])
    coefficients = np.linalg.lstsq(stacked, np.concatenate([target * root, np.zeros(len(support))]))[0]
    w = np.zeros(Z.shape[1])
    w[support] = coefficients
    residual = target - rows @ coefficients
    return w, p @ (y - Z @ w), 1 - p @ residual**2 / (p @ target**2)


def contributions(W, kind):
    """What the members of E(c_i) contribute, (n, d) with the sign of the weights; 0 for features not used."""
    norm = np.abs(W).sum(axis=1, keepdims=True)
    gamma = np.divide(np.abs(W), norm, out=np.zeros_like(W), where=norm > 0)  # Eq. 4
    return {"normlime": gamma * W, "l2": np.sign(W) * W**2}.get(kind, W)


def members(W, kind, sign):
    """Per feature, the contributions that its importance is a mean or a sum of."""
    keep = {"absolute": W != 0, "positive": W > 0, "negative": W < 0, "net": W != 0}[sign]
    parts = np.where(keep, contributions(W, kind), 0.0)
    if sign != "net" and kind not in ("mean", "sum"):
        parts = np.abs(parts)
    averaged_over_all = kind in ("mean", "mean_abs")
    return [parts[:, i] if averaged_over_all else parts[keep[:, i], i] for i in range(W.shape[1])]


def importance(W, kind="normlime", sign="absolute"):
    """(values, counts) of a dense matrix of weights, one feature at a time."""
    reduce = {
        "normlime": np.mean,
        "mean": np.mean,
        "mean_abs": np.mean,
        "sum": np.sum,
        "l2": lambda x: np.sqrt(np.sum(x)),
        "sp_lime": lambda x: np.sqrt(np.sum(x)),
    }[kind]
    values = [reduce(part) if len(part) else 0.0 for part in members(W, kind, sign)]
    counts = {"positive": W > 0, "negative": W < 0}.get(sign, W != 0).sum(axis=0)
    return np.array(values), counts


def lime_weights(explanation, target, d):
    """Weights of d features, of which lime lists those that it uses."""
    weights = np.zeros(d)
    for feature, weight in explanation.local_exp[target]:
        weights[feature] = weight
    return weights
