"""Rows of the comparison in which both explain tables, images and texts as lime does: the same features and weights."""

import copy
import statistics
import time
import warnings
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from lime import lime_image
from lime.lime_tabular import LimeTabularExplainer
from lime.lime_text import LimeTextExplainer
from scipy.sparse import issparse, vstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import pairwise_distances
from sklearn.pipeline import make_pipeline

import normlime_fast as nlf
from benchmarks.common import workloads
from benchmarks.common.measuring import Clocked, Result, Settings, SkipError, interleaved, seconds, spell

lime_image.tqdm = lambda rows: rows  # no progress bar, which would take time

K = 10
GRID = 7
TARGET = 1  # the probability of the second class
# lime's ways to select features. It refits with a ridge of 1, whichever it is.
SELECTIONS = {"lasso_path": "lasso_path", "auto": "highest_weights"}  # "auto" is that for K above 6
EMPTY = ".*effective sample size is below.*"  # warned of; the note counts them

Predict = Callable[[Any], np.ndarray]
Explanation = list[tuple[Hashable, float]]  # features and their weights
Lime = Callable[[Any, Predict], Explanation]


class Kept(Clocked):
    """A model's function that counts its rows and, if wanted, keeps them and what it said of them."""

    def __init__(self, function: Predict, keep: bool = True) -> None:
        super().__init__(function)
        self.keep = keep
        self.rows = 0
        self.asked: list[Any] = []
        self.said: list[np.ndarray] = []

    def __call__(self, X: Any) -> np.ndarray:
        outputs = super().__call__(X)
        self.rows += len(outputs)
        if self.keep:
            self.asked.append(X.copy())
            self.said.append(outputs)
        return outputs

    def times(self, work: Callable[[], object], count: int) -> np.ndarray:
        """Seconds in all and outside the model, for each of `count`."""
        inside, start = self.seconds, time.perf_counter()
        work()
        whole = time.perf_counter() - start
        return np.array([whole, whole - (self.seconds - inside)]) / count


@dataclass(frozen=True, kw_only=True)
class Case:
    """What both explain, and how: the same model."""

    what: str
    X: Any  # what ours explains in a round
    predict: Predict
    explainer: Callable[[Predict], nlf.NormLIME]
    some: list[Any]  # the first instances, as lime takes them
    lime_predict: Predict
    lime: Callable[[int], Lime]  # by its seed


def explanations(local: nlf.LocalExplanations, count: int) -> list[Explanation]:
    """Return the first ones, with features by name where they have one."""
    names = local.feature_names or range(local.weights.shape[1])
    rows = (local.weights[[row]] for row in range(count))
    return [[(names[j], float(w)) for j, w in zip(row.indices, row.data, strict=True)] for row in rows]


def strongest(explanation: Explanation, count: int) -> set[Hashable]:
    return {feature for feature, _ in sorted(explanation, key=lambda pair: -abs(pair[1]))[:count]}


def agreement(some: list[Explanation], others: list[Explanation], count: int) -> float:
    """Mean share of the strongest features that both have; over explanations that have any."""
    pairs = [(strongest(a, count), strongest(b, count)) for a, b in zip(some, others, strict=True)]
    return statistics.mean(len(a & b) / min(len(a), len(b)) for a, b in pairs if a and b)


def assert_same(ours: Explanation, lime: Explanation) -> None:
    """The same features and, to a millionth of the largest, the same weights."""
    ours, lime = sorted(ours), sorted(lime)
    assert [feature for feature, _ in ours] == [feature for feature, _ in lime], "other features, on the same draws"
    expected = np.array([weight for _, weight in lime])
    np.testing.assert_allclose(
        [weight for _, weight in ours], expected, rtol=0, atol=1e-6 * np.abs(expected).max(), err_msg="same draws"
    )


def beside(case: Case, settings: Settings) -> Iterator[Result]:
    """Time ours and lime in turn, and compare what they find, each with draws of its own."""
    ours, theirs = Kept(case.predict, keep=False), Kept(case.lime_predict, keep=False)
    explainer, count, few = case.explainer(ours), len_of(case.X), len(case.some)
    lime, other = case.lime(0), case.lime(1)
    local = explainer.explain(case.X)
    found = explanations(local, few)
    expected = [lime(x, theirs) for x in case.some]
    rows, their_rows = ours.rows / count, theirs.rows / few
    again = [other(x, theirs) for x in case.some]
    rounds = interleaved(
        settings.slow_rounds,
        lambda: ours.times(lambda: explainer.explain(case.X), count),
        lambda: theirs.times(lambda: [lime(x, theirs) for x in case.some], few),
    )
    (whole, own), (their_whole, their_own) = (np.median(each, axis=0) for each in rounds)
    empty = np.count_nonzero(local.status > 1)
    yield Result(
        what=f"own time, {case.what}, an instance",
        against="lime",
        ours=spell(own),
        theirs=spell(their_own),
        figure=their_own / own,
        at_least=20,
    )
    yield Result(
        what=f"whole time, {case.what}, an instance",
        against="lime",
        ours=spell(whole),
        theirs=spell(their_whole),
        figure=their_whole / whole,
        at_least=1,
        note=f"Model rows an instance: ours {rows:,.0f}, lime {their_rows:,.0f}. Ours explained {count} instances, lime"
        f" {few} of them.{f' {empty} of ours are empty: hardly any point is near.' * bool(empty)}",
    )
    tops = [[agreement(those, expected, k) for k in (5, 10)] for those in (found, again)]
    yield Result(
        what=f"top 5 and top 10 in common with lime, {case.what}",
        against="lime with another seed",
        ours=" and ".join(f"{share:.0%}" for share in tops[0]),
        theirs=" and ".join(f"{share:.0%}" for share in tops[1]),
        figure=tops[0][1] / tops[1][1],
        note=f"Means over {sum(map(bool, found))} instances; measured is the ratio of the top 10.",
    )


def len_of(X: Any) -> int:
    return X.shape[0] if hasattr(X, "shape") else len(X)


# --- tables


def tabular_lime(data: workloads.Table, n: int, selection: str, binned: bool, seed: int) -> Lime:
    lime = LimeTabularExplainer(
        data.X,
        categorical_features=data.categorical if binned else None,
        discretize_continuous=binned,
        feature_selection=selection,
        random_state=seed,
    )
    told = {"labels": (TARGET,), "num_features": K, "num_samples": n}
    return lambda x, predict: lime.explain_instance(x, predict, **told).local_exp[TARGET]


def assert_same_points(case: Case) -> None:
    """With the points that lime drew, ours finds what lime finds."""
    lime, checked = case.lime(0), 0
    for x in case.some[:5]:
        kept = Kept(case.predict)
        expected = lime(x, kept)
        (asked,) = kept.asked
        explainer = case.explainer(case.predict)
        points = replace(explainer.neighborhood._data, values=asked[1:])  # the first is the instance itself
        explainer.neighborhood = copy.copy(explainer.neighborhood)
        object.__setattr__(explainer.neighborhood, "_points", lambda seed, n, points=points: points)
        local = explainer.explain(x[None])
        if local.status[0] <= 1:  # ours has no explanation where hardly any point is near
            assert_same(*explanations(local, 1), expected)
            checked += 1
    assert checked, "no explanation to check"


def tabular_cases(settings: Settings, count: int) -> Iterator[Case]:
    try:
        data = settings.codes()
        predict = workloads.both_classes(workloads.lightgbm(data))
    except (ImportError, OSError) as error:
        raise SkipError(error) from error
    n = settings.n_samples
    X = data.X[np.random.default_rng(0).permutation(len(data.X))[:count]]
    numeric = [j for j in range(X.shape[1]) if j not in data.categorical]
    limes = {"numeric": numeric, "quantiles": 4, "draw": "normal"}
    binned = nlf.Binned.from_data(data.X, categorical=data.categorical, **limes)
    pool = nlf.Pool.gaussian(data.X.mean(axis=0), data.X.std(axis=0), kernel="exponential")
    kinds = (pool, "continuous", "lasso_path"), (binned, "default bins", "lasso_path"), (binned, "defaults", "auto")
    for neighborhood, name, selection in kinds:
        told = {"n_samples": n, "n_features": K, "selection": SELECTIONS[selection], "ridge": 1.0, "targets": TARGET}
        told["standardize"] = False
        case = Case(
            what=f"{data.name}, d={X.shape[1]}, LightGBM, {name}, {selection}",
            X=X,
            predict=predict,
            explainer=partial(nlf.NormLIME, neighborhood=neighborhood, rng=0, **told),
            some=list(X[: settings.lime_instances]),
            lime_predict=predict,
            lime=partial(tabular_lime, data, n, selection, neighborhood is binned),
        )
        assert_same_points(case)
        yield case


def tables(settings: Settings) -> Iterator[Result]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", EMPTY)
        for case in tabular_cases(settings, settings.pooled_instances):
            yield from beside(case, settings)


def reach(settings: Settings) -> Iterator[Result]:
    """Ours for many rows beside lime for few."""
    many, few = settings.reach
    case = next(tabular_cases(settings, many))
    lime, explainer = case.lime(0), case.explainer(case.predict)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", EMPTY)
        ours, theirs = interleaved(
            settings.slow_rounds,
            lambda: seconds(lambda: explainer.explain(case.X)),
            lambda: seconds(lambda: [lime(x, case.predict) for x in case.X[:few]]),
        )
    spent, their_time = statistics.median(ours), statistics.median(theirs)
    yield Result(
        what=f"whole time of {many:,} rows, {case.what}",
        against=f"lime, {few} rows",
        ours=spell(spent),
        theirs=spell(their_time),
        figure=spent / their_time,
        at_most=1,
        note=f"The model was asked about {settings.n_samples + many:,} rows by ours, {settings.n_samples * few:,} by"
        " lime.",
    )


# --- presence and absence


def assert_same_masks(case: Case, masks_of: Callable[[Any, Any], tuple[Any, np.ndarray]], lime: Any, unit: int) -> None:
    """lime's fit, of our masks and of what the model said of them, finds what ours finds.

    masks_of(X, inputs) are the masks that inputs show, and names of their features; `unit` is lime's of distances.
    """
    for row in range(min(2, len(case.some))):
        X, kept = case.X[row : row + 1], Kept(case.predict)
        local = case.explainer(kept).explain(X)
        _, *asked = kept.asked  # the first is about the instance itself
        names, masks = masks_of(X, vstack(asked) if issparse(asked[0]) else [each for some in asked for each in some])
        assert masks[0].all()
        distances = unit * pairwise_distances(masks, masks[:1], metric="cosine").ravel()
        said = np.concatenate(kept.said[1:])
        expected = lime.base.explain_instance_with_data(masks, said, distances, local.target[0], K)[1]
        assert_same(*explanations(local, 1), [(names[j], weight) for j, weight in expected])


def masked(predict: Predict, mask: nlf.Mask, n: int, targets: object) -> nlf.NormLIME:
    told = {"n_samples": n, "n_features": K, "selection": SELECTIONS["auto"], "ridge": 1.0, "standardize": False}
    return nlf.NormLIME(predict, mask, targets=targets, rng=0, **told)


def images(settings: Settings) -> Iterator[Result]:
    try:
        data = settings.images()
        network = workloads.cnn(data)
    except (ImportError, OSError) as error:
        raise SkipError(error) from error
    n, side = settings.image_samples, 28
    some = np.random.default_rng(0).permutation(len(data.X_test))[: settings.lime_instances]
    X = data.X_test[some].reshape(-1, side, side)
    along = np.arange(side) * GRID // side
    grid = along[:, None] * GRID + along

    def lime_of(seed: int) -> Lime:
        lime = lime_image.LimeImageExplainer(random_state=seed)
        told = {"segmentation_fn": lambda image: grid, "hide_color": 0, "top_labels": 1, "num_samples": n}
        return lambda x, predict: lime.explain_instance(x, predict, num_features=K, **told).local_exp.popitem()[1]

    case = Case(
        what=f"{data.name}, {GRID} x {GRID} grid, ONNX CNN, n={n}, auto",
        X=X,
        predict=lambda X: network.predict(X.reshape(len(X), -1)),
        explainer=partial(masked, mask=nlf.Mask(segments=GRID), n=n, targets="predicted"),
        some=list(X),
        lime_predict=lambda X: network.predict(X[..., 0].reshape(len(X), -1)),  # lime makes colours of grey
        lime=lime_of,
    )
    corners = np.unique(along, return_index=True)[1]

    def masks_of(X: np.ndarray, inputs: list[np.ndarray]) -> tuple[range, np.ndarray]:
        return range(GRID**2), (np.stack(inputs)[:, corners[:, None], corners] != 0).reshape(len(inputs), -1)

    inked = replace(case, X=np.maximum(X, 0.01))  # where nothing is 0, masks can be seen
    assert_same_masks(inked, masks_of, lime_image.LimeImageExplainer(random_state=0), 1)
    yield from beside(case, settings)


def texts(settings: Settings) -> Iterator[Result]:
    """Raw texts, and sparse rows of TF-IDF, beside lime's raw texts."""
    try:
        data = settings.reviews()
    except OSError as error:
        raise SkipError(error) from error
    vectorizer, n = TfidfVectorizer(min_df=3), settings.n_samples
    rows = vectorizer.fit_transform(data.texts)
    regression = LogisticRegression(max_iter=1000).fit(rows, data.y)
    predict = make_pipeline(vectorizer, regression).predict_proba
    long = np.flatnonzero(np.diff(rows.indptr) >= 2 * K)
    chosen = np.random.default_rng(0).permutation(long)[: settings.lime_instances]
    documents = [data.texts[i] for i in chosen]
    vocabulary = vectorizer.get_feature_names_out()

    def lime_of(seed: int) -> Lime:
        lime = LimeTextExplainer(random_state=seed)
        told = {"labels": (TARGET,), "num_features": K, "num_samples": n}

        def explain(x: str, predict: Predict) -> Explanation:
            words = lime.explain_instance(x, predict, **told).as_list(TARGET)
            return [(word.lower(), weight) for word, weight in words]  # as the vectorizer spells them

        return explain

    def masks_of(X: Any, inputs: Any) -> tuple[np.ndarray, np.ndarray]:
        known, shown = (each if issparse(each) else vectorizer.transform(each) for each in (X, inputs))
        columns = np.sort(known.indices)
        return vocabulary[columns], shown.tocsc()[:, columns].toarray() != 0

    what = f"{data.name}, {{}}, TF-IDF, logistic regression, auto"
    common = {"some": documents, "lime_predict": predict, "lime": lime_of}
    text = Case(
        what=what.format("texts"),
        X=documents,
        predict=predict,
        explainer=partial(masked, mask=nlf.Mask.text(vectorizer=vectorizer), n=n, targets=TARGET),
        **common,
    )
    sparse = Case(
        what=what.format("sparse rows (lime: texts)"),
        X=rows[chosen],
        predict=regression.predict_proba,
        explainer=partial(masked, mask=nlf.Mask(scheme="text", feature_names=vocabulary), n=n, targets=TARGET),
        **common,
    )
    for case in (text, sparse):
        assert_same_masks(case, masks_of, LimeTextExplainer(random_state=0), 100)
        yield from beside(case, settings)
