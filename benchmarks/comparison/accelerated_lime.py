"""Rows of the comparison in which lime explains with our solver, by `accelerate`, and with its own."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from lime.lime_image import LimeImageExplainer
from lime.lime_tabular import LimeTabularExplainer
from lime.lime_text import LimeTextExplainer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from benchmarks.common import workloads
from benchmarks.common.measuring import Clocked, Result, Settings, SkipError, medians, spell
from benchmarks.comparison.against_lime import TARGET, Predict, assert_same
from normlime_fast.interop.lime import accelerate


@dataclass(frozen=True, kw_only=True)
class Case:
    """What lime explains, and how."""

    what: str
    explainer: Callable[[], Any]  # of the same seed each time
    predict: Predict
    some: list[Any]
    told: dict[str, Any]  # to explain_instance


def both(case: Case, settings: Settings) -> Result:
    """Time lime with and without, in turn; both draw the same all along."""
    model = Clocked(case.predict)
    lime, ours = case.explainer(), accelerate(case.explainer())
    told = {**case.told, "num_samples": case.told.get("num_samples", settings.n_samples)}
    for x in case.some:
        theirs, found = (each.explain_instance(x, model, **told).local_exp for each in (lime, ours))
        assert list(found) == list(theirs)
        for label, expected in theirs.items():
            assert_same(found[label], expected)
    own, their_own = medians(
        settings.slow_rounds,
        *(
            lambda explainer=explainer: model.own(
                lambda: [explainer.explain_instance(x, model, **told) for x in case.some], len(case.some)
            )
            for explainer in (ours, lime)
        ),
    )
    return Result(
        what=f"own time, {case.what}, an instance",
        against="lime without",
        ours=spell(own),
        theirs=spell(their_own),
        figure=their_own / own,
        at_least=3 if told["num_features"] <= 6 else None,  # forward selection, by many regressions
    )


def tables(settings: Settings) -> Iterator[Case]:
    data = settings.codes()
    predict = workloads.both_classes(workloads.lightgbm(data))
    some = list(data.X[np.random.default_rng(0).permutation(len(data.X))[: settings.peer_instances]])
    for binned in (True, False):
        for selection, K in (("none", 10), ("auto", 10), ("auto", 5), ("lasso_path", 10)):
            yield Case(
                what=f"{data.name}, {'default bins' if binned else 'continuous'}, {selection}, K={K}",
                explainer=lambda binned=binned, selection=selection: LimeTabularExplainer(
                    data.X,
                    categorical_features=data.categorical if binned else None,
                    discretize_continuous=binned,
                    feature_selection=selection,
                    random_state=0,
                ),
                predict=predict,
                some=some,
                told={"labels": (TARGET,), "num_features": K},
            )


def images(settings: Settings) -> Iterator[Case]:
    data, side = settings.images(), 28
    network = workloads.cnn(data)
    some = np.random.default_rng(0).permutation(len(data.X_test))[: settings.peer_instances]
    for grid, K in ((7, 10), (7, 5), (14, 10)):
        along = np.arange(side) * grid // side
        segments = along[:, None] * grid + along
        yield Case(
            what=f"{data.name}, {grid} x {grid} grid, auto, K={K}, one label",
            explainer=lambda: LimeImageExplainer(random_state=0),
            predict=lambda X: network.predict(X[..., 0].reshape(len(X), -1)),  # lime makes colours of grey
            some=list(data.X_test[some].reshape(-1, side, side)),
            told={
                "segmentation_fn": lambda image, segments=segments: segments,
                "hide_color": 0,
                "top_labels": 1,
                "num_features": K,
                "num_samples": settings.image_samples,
            },
        )


def texts(settings: Settings) -> Iterator[Case]:
    data, vectorizer = settings.reviews(), TfidfVectorizer(min_df=3)
    regression = LogisticRegression(max_iter=1000).fit(vectorizer.fit_transform(data.texts), data.y)
    chosen = np.random.default_rng(0).permutation(len(data.texts))[: settings.peer_instances]
    for K in (10, 5):
        yield Case(
            what=f"{data.name}, auto, K={K}",
            explainer=lambda: LimeTextExplainer(random_state=0),
            predict=make_pipeline(vectorizer, regression).predict_proba,
            some=[data.texts[i] for i in chosen],
            told={"labels": (TARGET,), "num_features": K},
        )


def accelerated(settings: Settings) -> Iterator[Result]:
    for cases in (tables, images, texts):
        try:
            for case in cases(settings):
                yield both(case, settings)
        except (ImportError, OSError, SkipError) as error:
            yield Result.skip(f"lime accelerated, {cases.__name__}", error)
