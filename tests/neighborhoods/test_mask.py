import pickle
import tracemalloc

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from helpers.masks import SEED, samples
from lime.lime_image import LimeImageExplainer
from scipy.ndimage import gaussian_filter
from sklearn.feature_extraction.text import CountVectorizer

from normlime_fast import NormLIME
from normlime_fast._kernels import masks
from normlime_fast._neighborhoods.mask import Mask

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(256, size=(3, 12, 9)).astype(np.uint8)
COLORED = RNG.random((3, 12, 9, 3))
TABLE = RNG.random((4, 5))
DOCUMENTS = ["Good dress. Really good!", "a bad fit, bad\n colour", "?!", "good fit"]
GRID = (np.arange(12)[:, None] * 4 // 12) * 3 + np.arange(9) * 3 // 9  # 4 x 3 pieces
LABELS = RNG.permutation(np.arange(12 * 9) % 7).reshape(12, 9)


def test_pickled_masks_are_the_same():
    for mask, X in ((Mask("blur", segments=3), IMAGES), (Mask.text(DOCUMENTS), DOCUMENTS), (Mask(TABLE[0]), TABLE)):
        for first, second in zip(samples(mask, X), samples(pickle.loads(pickle.dumps(mask)), X), strict=True):
            np.testing.assert_array_equal(first, second)


# --- what is off


def by_loops(image, absent, on, labels):
    """One sample, pixel by pixel."""
    out = image.copy()
    for place, label in np.ndenumerate(labels):
        if not on[label]:
            out[place] = absent[place]
    return out


def blurred(image):
    return gaussian_filter(image.astype(float), [1.2, 1.2, 0][: image.ndim])  # a tenth of 12


def means(image, labels):
    out = image.astype(float)
    for label in np.unique(labels):
        out[labels == label] = image[labels == label].astype(float).mean(axis=0)
    return out


BASELINES = {
    "number": (0.5, lambda image, labels: np.full(image.shape, 0.5)),
    "array": (lambda X: X[1] / 2, lambda image, labels: None),
    "blur": ("blur", lambda image, labels: blurred(image)),
    "segment_mean": ("segment_mean", means),
    "callable": (lambda row: 255 - row, lambda image, labels: 255 - image),
}


@pytest.mark.parametrize("X", [IMAGES, IMAGES.astype(np.float32), COLORED], ids=["uint8", "float32", "color"])
@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize("segments", [(4, 3), LABELS, lambda image: 10 * LABELS - 3], ids=["grid", "map", "callable"])
def test_images_against_loops(X, baseline, segments):
    given, oracle = BASELINES[baseline]
    labels = GRID if isinstance(segments, tuple) else LABELS
    given = X[1] / 2 if baseline == "array" else given
    absent = given if baseline == "array" else oracle(X[2], labels)
    absent = np.rint(absent).astype(np.uint8) if X.dtype == np.uint8 else absent.astype(X.dtype)
    inputs, on, _, _ = samples(Mask(given, segments=segments), X, row=2)
    assert inputs.dtype == X.dtype
    expected = np.stack([by_loops(X[2], absent, mask, labels) for mask in on])
    # Means are summed in another order: a rounding or two of float64, or a unit of the type that it is rounded to.
    np.testing.assert_allclose(inputs, expected, rtol=2 * np.finfo(np.float32).eps if X.dtype == np.float32 else 1e-14)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint16, np.int64, np.float16, ">f4"])
def test_other_types_of_images(dtype):
    X = (IMAGES // 100).astype(dtype)
    inputs, on, _, _ = samples(Mask(1), X)
    np.testing.assert_array_equal(inputs, np.where(on.reshape(40, 12, 9), X[0], 1))
    assert inputs.dtype == np.dtype(dtype).newbyteorder("=")


def test_read_only_and_strided_rows():
    """They get the same compiled kernel as others."""
    X = np.broadcast_to(COLORED[:1], COLORED.shape)[..., ::-1]
    inputs, on, _, _ = samples(Mask(), X, row=1)
    np.testing.assert_array_equal(inputs, on.reshape(40, 12, 9, 1) * X[1])
    frozen = np.ascontiguousarray(X)
    frozen.setflags(write=False)
    np.testing.assert_array_equal(samples(Mask(), frozen, row=1)[0], inputs)
    samples(Mask("segment_mean", segments=3), frozen)
    compiled = [array for signature in masks.render.signatures for array in signature]
    assert all(array.mutable and array.layout == "C" for array in compiled)


def test_probability():
    """A share of 40,000 is off by 5 standard deviations, 0.01, once in 1.7 million; sample 0 adds 2e-4."""
    on = samples(Mask(probability=0.8), TABLE, n=8_000)[1]
    assert abs(on.mean() - 0.8) < 0.0102


def test_several_rows_share_a_set_and_pieces_of_a_block_are_independent():
    mask, n = Mask("blur", segments=3), 30
    sampler = mask._sampler(SEED, n, mask._rows(COLORED))
    Z, weights, inputs = np.empty((2, n, 9), np.float32), np.empty((2, n)), np.empty((2, n, *COLORED.shape[1:]))
    sampler.perturb(np.array([5, 6], np.uint64), np.array([0, 1, 2]), slice(1, 3), Z, weights, inputs)
    for k in range(2):
        for mine, alone in zip(
            (inputs[k], Z[k] + 1, weights[k]), samples(mask, COLORED, 1 + k, n, 5 + k), strict=False
        ):
            np.testing.assert_array_equal(mine, alone)
    shared = np.empty_like(inputs)
    sampler.perturb(np.array([5], np.uint64), np.array([0, 2]), slice(1, 3), Z[:1], weights[:1], shared)
    np.testing.assert_array_equal(shared[0], inputs[0])
    np.testing.assert_array_equal(shared[1], samples(mask, COLORED, 2, n, 5)[0])


@pytest.mark.parametrize("segments", [None, [1, 0, 1, 2, 2], 2])
def test_tables(segments):
    frame = pd.DataFrame(TABLE, columns=list("abcde"))
    mask = Mask.from_data(frame, segments=segments)
    inputs, on, _, _ = samples(mask, frame)
    labels = {None: np.arange(5), 2: np.array([0, 0, 0, 1, 1])}.get(segments if segments in (None, 2) else 0, segments)
    # means of 4 numbers below 1 in another order
    np.testing.assert_allclose(inputs, np.where(on[:, labels] == 1, TABLE[0], TABLE.mean(axis=0)), rtol=1e-15)
    axis = mask._features(mask._rows(frame))
    assert axis == (max(labels) + 1, tuple("abcde") if segments is None else None)


def test_a_map_of_a_whole_rows_shape():
    """Such as of images whose channels come first."""
    X = COLORED.transpose(0, 3, 1, 2)
    labels = np.broadcast_to(LABELS, (3, 12, 9))
    inputs, on, _, _ = samples(Mask(segments=labels), X)
    np.testing.assert_array_equal(inputs, on[:, labels] * X[0])


def test_segments_of_a_callable_belong_to_pixels():
    def find(image):
        labels = np.where(image[..., 0] > 0.5, 40, -2)
        image[:] = 0  # its own copy
        return labels

    mask = Mask(segments=find)
    inputs, on, _, columns = samples(mask, COLORED)
    np.testing.assert_array_equal(inputs[0], COLORED[0])
    assert on.shape == (40, 2)
    np.testing.assert_array_equal(columns.toarray()[1].reshape(12, 9), COLORED[0, ..., 0] > 0.5)
    np.testing.assert_array_equal(columns.sum(axis=0), 1)
    assert columns.has_canonical_format
    assert mask._features(mask._rows(COLORED)).n_features == 12 * 9


def test_render_gets_the_row_and_the_masks():
    def render(row, masks):
        assert masks.dtype == bool
        row *= -1  # its own copy
        return masks[:, GRID] * -row

    with_render = Mask(render=render, segments=(4, 3))
    X = COLORED[..., 0].copy()
    for mine, filled in zip(samples(with_render, X)[:3], samples(Mask(segments=(4, 3)), X)[:3], strict=True):
        np.testing.assert_array_equal(mine, filled)
    np.testing.assert_array_equal(X, COLORED[..., 0])
    positions = samples(Mask(render=lambda row, masks: (row * masks).astype(np.float32)), TABLE)
    assert positions[0].dtype == TABLE.dtype
    assert positions[1].shape == (40, 5)


# --- lime


class Dealt:
    """A random state that deals given masks."""

    def __init__(self, masks):
        self.masks = masks

    def randint(self, *args, **kwargs):
        return self.masks.ravel().astype(int)


def test_images_and_weights_are_limes():
    """The whole of lime, its masks being ours: what it asks the model, and how it weighs the answers."""
    inputs, on, weights, _ = samples(Mask("segment_mean", segments=LABELS), COLORED, n=50)
    explainer, asked, seen = LimeImageExplainer(), [], {}
    explainer.random_state = Dealt(on)
    kernel = explainer.base.kernel_fn
    explainer.base.kernel_fn = lambda distances: seen.setdefault("weights", kernel(distances))

    def model(images):
        asked.extend(images)
        return images.mean(axis=(1, 2))

    explainer.explain_instance(
        COLORED[0], model, top_labels=1, num_samples=50, segmentation_fn=lambda image: LABELS, random_seed=0
    )
    np.testing.assert_allclose(inputs, asked, rtol=1e-14)
    # A cosine distance below 1 is known to a few roundings of 1e-16; its square over 2 * 0.25^2 is 8 times as large.
    np.testing.assert_allclose(weights, seen["weights"], rtol=1e-12)


def test_uniform_weights():
    assert samples(Mask(kernel="uniform"), TABLE)[2] is None


# --- sparse rows


@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.csr_array])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scheme", ["bernoulli", "text"])
def test_sparse_rows_against_dense(kind, dtype, scheme):
    X = kind(sp.random(6, 300, 0.1, random_state=1, dtype=dtype))
    mask = Mask(scheme=scheme)
    inputs, on, weights, columns = samples(mask, X, row=4)
    dense = X.toarray()[4]
    np.testing.assert_array_equal(columns, np.flatnonzero(dense))
    assert type(inputs) is kind
    assert inputs.dtype == dtype
    expected = np.zeros((40, 300), dtype)
    expected[:, columns] = on * dense[columns]
    np.testing.assert_array_equal(inputs.toarray(), expected)
    assert inputs.nnz == on.sum()
    inputs.check_format()
    again = kind((inputs.data, inputs.indices, inputs.indptr), shape=inputs.shape)  # without the flag that was set
    assert again.has_canonical_format
    assert on[0].all()
    assert weights[0] == 1
    assert mask._features(mask._rows(X)) == (300, None)


def test_a_row_without_features():
    X = sp.csr_array(np.diag([1.0, 0.0, 2.0]))
    inputs, on, weights, columns = samples(Mask(), X, row=1)
    assert (inputs.shape, inputs.nnz, on.shape, columns.shape) == ((40, 3), 0, (40, 0), (0,))
    np.testing.assert_array_equal(weights, 1)


# --- what comes out


def explained(mask, model, X, **options):
    return NormLIME(model, mask, n_samples=300, rng=0, **options).explain(X)


@pytest.mark.parametrize("X", [COLORED, COLORED.astype(np.float32)])
def test_explanations_of_a_linear_model(X):
    """The weight of a segment is what the model loses with it, to the digits of the images and of the solver."""
    coefficients = RNG.random(X.shape[1:])
    local = explained(
        Mask("blur", segments=LABELS),
        lambda images: (images.astype(float) * coefficients).sum(axis=(1, 2, 3)),
        X,
        n_features=None,
    )
    change = np.stack([(image.astype(float) - blurred(image)) * coefficients for image in X]).sum(axis=3)
    expected = np.stack([change[:, LABELS == label].sum(axis=1) for label in range(7)], axis=1)
    np.testing.assert_allclose(local.weights.toarray(), expected, atol=30 * 108 * np.finfo(X.dtype).eps)
    np.testing.assert_allclose(local.intercept, local.prediction, atol=30 * 108 * np.finfo(X.dtype).eps)


def test_explanations_of_sparse_rows_and_texts():
    X = sp.csr_array(sp.random(20, 500, 0.01, random_state=0))
    coefficients = RNG.random(500)
    local = explained(Mask(), lambda rows: rows @ coefficients, X, n_features=20)
    np.testing.assert_allclose(local.weights.toarray(), X.toarray() * coefficients, atol=1e-10)
    mask = Mask.text(DOCUMENTS)
    with pytest.warns(UserWarning, match="1 empty"):
        local = explained(
            mask, lambda some: np.array([2.0 * text.count("bad") for text in some]), DOCUMENTS, n_features=3
        )
    expected = np.zeros((4, 8))
    expected[1, local.feature_names.index("bad")] = 4
    np.testing.assert_allclose(local.weights.toarray(), expected, atol=1e-10)


@pytest.mark.parametrize("mask", [Mask("blur", segments=3), Mask(segments=lambda image: LABELS)])
def test_explanations_do_not_depend_on_threads_and_batches(mask):
    def model(images):
        return np.sin(images.sum(axis=(1, 2)))

    X = np.tile(COLORED[..., 0], (4, 1, 1))
    first, second = (explained(mask, model, X, n_jobs=j, batch_size=b, n_features=7) for j, b in ((1, 300), (2, 900)))
    assert (first.weights != second.weights).nnz == 0
    assert first.weights.nnz > 0


def test_memory_does_not_grow_with_what_is_absent():
    """Twice the images, as the model gets a copy, a batch of samples with z and weights, and the blur of one image.

    A third time the images is for what belongs to explanations, and is 20 times what their 5 weights take.
    """
    images = RNG.integers(256, size=(200, 64, 64), dtype=np.uint8)
    batch = 300 * (64 * 64 + 64 * 4 + 2 * 8) + 3 * 64 * 64 * 8

    def run(X):
        explained(Mask("blur", segments=8), lambda some: some.mean(axis=(1, 2)), X, n_features=5, batch_size=300)

    run(images[:2])  # compiles and imports
    tracemalloc.start()
    run(images)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * images.nbytes + batch


# --- what is refused


def predict_sums(rows):
    return rows.sum(axis=1)


def none(*args):
    return None


REFUSED = [
    (lambda: Mask("blurred"), "baseline must be a number, an array, .* got 'blurred'"),
    (lambda: Mask(np.nan), "baseline must be finite"),
    (lambda: Mask(segments="slic"), "segments must be an integer or two"),
    (lambda: Mask(segments=[-1, 0]), "segments must be numbers of at least 0, got -1"),
    (lambda: Mask(render=3), "render must be callable, got 3"),
    (lambda: Mask(probability=1), "probability must be between 0 and 1, got 1"),
    (lambda: Mask(scheme="lime"), 'scheme must be "bernoulli" or "text", got \'lime\''),
    (lambda: Mask(kernel=None), 'kernel must be "exponential" or "uniform", got None'),
    (lambda: Mask(width=0), "width must be larger than 0, got 0"),
    (lambda: Mask(feature_names="ab"), "feature_names must be a list of str, got 'ab'"),
    (lambda: Mask.from_data(sp.eye_array(3)), "X must be a dense array, got a sparse matrix"),
    (lambda: Mask.from_data([[1e308], [1.7e308]]), "X must have finite means, got an overflow"),
    (lambda: samples(Mask(segments=LABELS), TABLE), r"segments must have a row's shape, \(5,\), got shape \(12, 9\)"),
    (
        lambda: samples(Mask(segments=LABELS * 2), IMAGES),
        "segments must have labels 0 to d - 1, got up to 12, but no 1",
    ),
    (
        lambda: samples(Mask(segments=np.where(LABELS, LABELS, 2**40)), IMAGES),
        f"segments must have labels 0 to d - 1, got up to {2**40}, but no 0; renumber them by np.unique",
    ),
    (lambda: samples(Mask(segments=(3, 10)), IMAGES), "a grid of 1 to 9 pieces along axis 1 of a row, got 10"),
    (
        lambda: samples(Mask(segments=none), IMAGES),
        r"segments must return integer labels of an image's shape, \(12, 9\)",
    ),
    (
        lambda: samples(Mask(TABLE), TABLE),
        r"baseline must be a number or have a row's shape, \(5,\), got shape \(4, 5\)",
    ),
    (lambda: samples(Mask("blur"), TABLE), r'baseline "blur" must be used with images, got rows of shape \(5,\)'),
    (lambda: samples(Mask("segment_mean"), IMAGES), 'baseline "segment_mean" must have segments of several positions'),
    (lambda: samples(Mask(300), IMAGES), "baseline must fit into X's dtype uint8, got 300.0"),
    (lambda: samples(Mask(1e300), TABLE.astype(np.float32)), "baseline must fit into X's dtype float32, got 1e[+]300"),
    (lambda: samples(Mask(lambda row: row[:2]), TABLE), r"baseline must return an array of a row's shape, \(5,\), got"),
    (lambda: samples(Mask(feature_names=["ab"]), TABLE), "feature_names must have 5 names, got 1"),
    (lambda: samples(Mask(1), sp.eye_array(3)), "baseline must be 0 for sparse rows, got 1.0"),
    (lambda: samples(Mask(segments=2), sp.eye_array(3)), "segments must be None for sparse rows, got array"),
    (lambda: samples(Mask(render=none), sp.eye_array(3)), "render must be None for sparse rows, got <function"),
    (lambda: samples(Mask(render=none), TABLE), r"render must return an input for each mask, shape \(40, 5\), got"),
    (lambda: samples(Mask(render=lambda row, on: row * on[1:]), TABLE), r"for each mask, .* got shape \(39, 5\)"),
    (
        lambda: explained(Mask(render=lambda row, on: np.where(on, row, np.nan)), predict_sums, TABLE, n_features=2),
        "render must return finite numbers, got other values of dtype float64",
    ),
    (
        lambda: explained(
            Mask(render=lambda row, on: np.where(on, 1e39, 0.0)), predict_sums, TABLE.astype("f4"), n_features=2
        ),
        "render must return inputs that fit into float32, got an overflow",
    ),
    (lambda: Mask.text(CountVectorizer().fit(DOCUMENTS)), "documents must be a list of str, got a CountVectorizer"),
    (
        lambda: samples(Mask(), TABLE.astype(np.longdouble)[:, None]),
        None if np.longdouble(0).itemsize == 8 else "8 bytes",
    ),
]


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_refused_in_one_line(call, message):
    with pytest.raises((TypeError, ValueError), match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_20_000_sparse_rows_of_20_000_columns():
    """Two of 8 features have the same 64 masks with probability 28 * 2^-63: the linear model's weights are exact."""
    rng = np.random.default_rng(0)
    n, k = 20_000, 8
    entries = rng.normal(size=n * k), rng.integers(0, n, n * k), np.arange(0, n * k + 1, k)
    X, effects = sp.csr_array(entries, shape=(n, n)), rng.normal(size=n)
    explainer = NormLIME(lambda X: X @ effects, Mask(), n_features=None, n_samples=64, rng=0)
    tracemalloc.start()
    local = explainer.explain(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 * 2**20  # dense rows would take 3.2 GB, and a row of weights for each of its columns as much
    assert (local.status == 0).all()
    # Paths end at a millionth of the first alpha, which is below the sum of a row's weights: below 20.
    assert abs(local.weights - X.multiply(effects[None])).max() < 20e-6
