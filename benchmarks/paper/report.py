"""Writes README.md: what the paper says, beside what was found."""

import numpy as np
from scipy import stats

from benchmarks.measuring import table
from benchmarks.paper import retrain, retraining
from benchmarks.paper.comparing import CONFIDENCE, Difference, difference
from benchmarks.paper.explain import FEATURES, LITERAL, Setting
from benchmarks.paper.study import Study
from normlime_fast import evaluation

NAMES = {"pixels": "pixels", "features": "outputs of the second block"}
BEST = 8  # settings that are shown
LATE = (0.5, 0.7, 0.8, 0.9)  # levels at which something happens
NEIGHBORHOODS = "gaussian", "mask", "features"
CHANGES = {  # of settings: from, to
    "LIME's Eq. 6 in place of NormLIME's Eq. 3": ({"method": "NormLIME"}, {"method": "LIME"}),
    "`shrink=True`": ({"method": "NormLIME"}, {"method": "NormLIME, shrunk"}),
    "`min_count=5`": ({"method": "NormLIME"}, {"method": "NormLIME, min_count 5"}),
    "log-probability in place of probability": ({"output": "probability"}, {"output": "log-probability"}),
    "K = 100 in place of 20": ({"n_features": 20}, {"n_features": 100}),
    "4 times the samples": ({"times": 1}, {"times": 4}),
}

TEXT = """# The paper's experiments, repeated

Written by `python -m benchmarks.paper report`, not by hand. The paper is Ahern et al., "NormLIME: A New Feature
Importance Metric for Explaining Deep Neural Networks", AAAI 2020. Its data are MNIST, its network a small CNN.

    pip install -e ".[paper]"
    python -m benchmarks.paper            # all of it; what was stopped goes on where it was
    python -m benchmarks.paper --quick    # small sizes, to see it run: no figure of it means anything

Settings and sizes are in [`study.py`](study.py) (`Plan`), every number behind the tables is in [`results`](results), as
JSON lines.

## What the paper says, and what was found here

{claims}

* "Held" and "not held" of an error mean that it is at or below the paper's, or that its interval is above. Between
  these it is not distinguishable. Points are percentage points of the test error, beyond the mean error of
  networks that were trained for as long on all features.
* "Better" is held at a level if the interval of the difference is below 0, and not held if it is above. The levels are
  {late}, or those of them that were measured.
* Intervals are over {plan.replicates} rankings by explanations of disjoint sets of {part} images, each with one
  training, and over {n_baselines} trainings with all features. They do not know that other test images could have been
  taken.

## Maps of classes

![Maps of the ten digits by NormLIME, LIME, SmoothGrad-squared and VarGrad, as in Figure 1](figures/class-maps.png)

NormLIME's S_y and LIME's global importance (Eq. 6) of the weights above 0, of {per_class} images of each class, and the
gradients' means over 10. The same weights in other settings:

![Maps by other neighborhoods and outputs](figures/class-maps-settings.png)

A local explanation, as Figure 2:

![An image of a digit and its explanations](figures/local.png)

{explanations}

"Gaussian" is noise of 0.3, in units of ink; "mask" presence and absence against black; "features" noise of the standard
deviation of each output of the second block. All with {plan.n_samples:,} samples. R^2 is that of the fit itself.

### In place of 83 people

Nobody was asked. The page to ask with is [`questionnaire.html`](results/questionnaire.html), to be saved and opened in
a browser; `python -m benchmarks.paper.questionnaire FOLDER` analyses answers, and was tried on simulated votes alone.
These numbers stand for what can be measured without people:

{maps}

* **Halves.** Pearson's correlation between maps of disjoint halves of the images; in brackets how many images of a
  class each half has.
* **Own and others.** By how much the probability of a test image's class falls when the 60 largest pixels of its own
  class's map are replaced by black or by the mean image, and when those of another class's map are. {plan.map_images:,}
  images.
* **Digits seen.** How many of the ten maps another classifier, which knows nothing of the CNN, takes for their digit:
  {classifier}, which has {classifier_accuracy} of the test images right. Then the mean over the maps of disjoint parts
  of the images, and its standard deviation. It says that a map looks like a digit, not that it explains the network.

![The same, drawn](figures/map-measures.png)

A map of what a network has learned must change when the network forgets it (Adebayo et al., 2018). Spearman's
correlation with the maps of other networks, and of the same network on other images:

{randomised}

![Correlations with maps of other networks](figures/map-randomisation.png)

## Keep and retrain

The least important features are removed, and a network is trained anew: the CNN without pixels {plan.retrain_epochs}
epochs, what follows the convolutions without features {plan.head_epochs}. Below are gains of the error in
points, and their standard deviations over rankings. "Random"
is what no ranking gives; the features' standard deviation knows no network at all: a method that is not better than
these two has not shown that it knows one.

![Error gain against the share of pixels removed](figures/retrain-pixels.png)

![Error gain against the share of outputs of the second block removed](figures/retrain-features.png)

{gains}

NormLIME and LIME are of the same explanations: of pixels "{literal}", probability, and of features "{features}",
log-probability. The gradients are those of the log-probability. "Times variance" is the squared gradient in units of
the features' standard deviations, which NormLIME's weights are in, too. SHAP is the mean size of Shapley values of
{plan.shap_images} images by shap's PermutationExplainer, {plan.shap_permutations} permutations, against black.

NormLIME's error less that of the others, with its {confidence:.0%} interval over rankings, and the median over
rankings of McNemar's p. Below 0 NormLIME is better:

{differences}

### Settings that rank better

Chosen by the error without 90 % of the features on images that nothing above is judged on (one epoch, training images
kept apart, {plan.replicates_to_choose} rankings of {choosing} images each). The best of NormLIME's and of LIME's are
the rows "chosen" above. All are in [`choice.jsonl`](results/choice.jsonl).

{choice}

What each of the options changes there, all else being equal, as a mean over settings with its standard error. Below 0
it ranks better:

{changes}

## What it cost

On two cores of an AMD EPYC, beside other work: training the CNN {cost[train]:.0f} minutes, explaining
{cost[explain]:.0f}, gradients and SHAP {cost[attribute]:.0f}.
{cost[pixels]:,} trainings of CNNs took {cost[pixels seconds]:.0f} s of one core each,
{cost[features]:,} of heads {cost[features seconds]:.0f} s, at the median. The two parts that take long, explaining and
retraining, run in as many processes as there are cores.
"""


def run(study: Study) -> None:
    found = {kind: retrain.load(study, kind) for kind in NAMES}
    text = TEXT.format(
        claims=_claims(study, found),
        plan=study.plan,
        literal=LITERAL,
        features=FEATURES,
        gains="\n\n".join(_gains(kind, found[kind]) for kind in NAMES),
        differences="\n\n".join(_differences(study, kind, found[kind]) for kind in NAMES),
        choice="\n\n".join(_choice(study, kind) for kind in NAMES),
        explanations=_explanations(study),
        **_maps(study),
        changes=_changes(study),
        cost=_cost(study),
        confidence=CONFIDENCE,
        late=", ".join(f"{level:.0%}" for level in study.plan.levels if level in LATE),
        n_baselines=len(retraining.BASELINES),
        part=study.plan.images // study.plan.replicates,
        per_class=study.plan.images // 10,
        choosing=study.plan.images_to_choose // study.plan.replicates_to_choose,
    )
    (study.out / "README.md").write_text(text, encoding="utf-8")
    print(f"written: {study.out / 'README.md'}")


def _at_late_levels(
    one: evaluation.Retrained, other: evaluation.Retrained, wrong: dict[str, set[int]]
) -> dict[float, Difference]:
    """Compare them at those of the late levels that both were measured at."""
    return {
        level: difference(one, other, k, wrong)
        for k, level in enumerate(one.levels.tolist())
        if level in LATE and np.isfinite(one.scores[k] - other.scores[k]).all()
    }


def _claims(study: Study, found: dict[str, dict[str, evaluation.Retrained]]) -> str:
    accuracy = next(iter(study.results("network")))["accuracy"]
    rows = [["The CNN's test accuracy is 99.04 %", f"{accuracy:.2%}", "held" if accuracy >= 0.9904 else "not held"]]
    for (kind, method, level), paper in retrain.PAPER.items():
        claim = f"{method}: {level:.0%} of the {NAMES[kind]} removed raise the error by {paper:.2f} points"
        gain = _gain(study, kind, found[kind][method], level)
        if gain is not None:
            mean, low, high = gain
            verdict = "held" if mean <= paper else "not distinguishable" if low <= paper else "not held"
            rows.append([claim, f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]", verdict])
    for kind, by_method in found.items():
        wrong = retraining.wrong(study, kind)
        pairs = [("NormLIME", other) for other in by_method if other != "NormLIME" and "," not in other]
        for mine, other in [*pairs, ("NormLIME, chosen", "LIME, chosen")]:
            cells = _at_late_levels(by_method[mine], by_method[other], wrong)
            ahead = [f"{level:.0%}" for level, cell in cells.items() if cell.high < 0]
            behind = [f"{level:.0%}" for level, cell in cells.items() if cell.low > 0]
            figure = f"ahead at {_listed(ahead)}, behind at {_listed(behind)}, of {len(cells)} levels"
            rows.append(
                [f"{mine} ranks {NAMES[kind]} better than {other}", figure, _verdict(ahead, behind, len(cells))]
            )
    rows.append(["83 people prefer NormLIME's maps of classes", "nobody was asked", "not reproduced"])
    return table(["claim", f"here, with {CONFIDENCE:.0%} interval", "verdict"], rows, right=())


def _verdict(ahead: list[str], behind: list[str], n: int) -> str:
    if len(ahead) == n:
        return "held"
    if len(behind) == n:
        return "not held"
    parts = [f"{word} at {_listed(levels)}" for word, levels in (("held", ahead), ("not held", behind)) if levels]
    rest = ["not distinguishable"] if len(ahead) + len(behind) < n else []
    return ", ".join(parts + rest)


def _listed(levels: list[str]) -> str:
    return " and ".join(levels) or "none"


def _gain(study: Study, kind: str, found: evaluation.Retrained, level: float) -> tuple[float, float, float] | None:
    """Return the error gain and its interval, over rankings and over seeds of the baseline (Welch's)."""
    if level not in study.plan.levels:
        return None
    scores, baselines = found.scores[study.plan.levels.index(level), :, 0], retraining.baselines(study, kind)
    low, high = stats.ttest_ind(scores, baselines, equal_var=False).confidence_interval(CONFIDENCE)
    return scores.mean() - baselines.mean(), low, high


def _gains(kind: str, found: dict[str, evaluation.Retrained]) -> str:
    """Tabulate the error gains of all levels."""
    levels = next(iter(found.values())).levels
    baseline = next(iter(found.values())).baseline[0]
    rows = []
    for name, retrained in found.items():
        rows.append([name, str(len(retrained.ranking))])
        for gain, spread in zip(
            retrained.gains.mean(axis=(1, 2)), retrained.gains.std(axis=(1, 2), ddof=0), strict=True
        ):
            rows[-1].append("" if np.isnan(gain) else f"{gain:+.2f} ({spread:.2f})")
    heads = [f"{NAMES[kind]}, baseline {100 - baseline:.2f} %", "rankings", *(f"{level:.0%}" for level in levels)]
    return table(heads, rows, right=range(1, len(heads)))


def _differences(study: Study, kind: str, found: dict[str, evaluation.Retrained]) -> str:
    wrong = retraining.wrong(study, kind)
    levels = [level for level in study.plan.levels if level in LATE]
    rows = []
    for name, other in found.items():
        if name != "NormLIME":
            cells = _at_late_levels(found["NormLIME"], other, wrong)
            rows.append([f"NormLIME less {name}", *(str(cells.get(level, "")) for level in levels)])
    heads = [NAMES[kind], *(f"{level:.0%}" for level in levels)]
    return table(heads, rows, right=range(1, len(heads)))


def _choice(study: Study, kind: str) -> str:
    rows = [
        [
            f"{line['method']}, {Setting(*line['setting'])}, {line['output']}",
            f"{line['mean']:+.2f}",
            ", ".join(f"{gain:+.2f}" for gain in line["gains"]),
        ]
        for line in study.results("choice")
        if line["kind"] == kind
    ]
    return table(
        [f"{NAMES[kind]}, the best of {len(rows)}", "error gain", "of each ranking"], rows[:BEST], right=(1, 2)
    )


def _changes(study: Study) -> str:
    """Tabulate what options did to the errors of `choose`."""
    gains = {}
    for line in study.results("choice"):
        way = {"method": line["method"], "output": line["output"], **Setting(*line["setting"])._asdict()}
        gains[frozenset(way.items())] = line["mean"]
    rows = []
    for name, (before, after) in CHANGES.items():
        gaps: dict[str, list[float]] = {neighborhood: [] for neighborhood in NEIGHBORHOODS}
        for way, gain in gains.items():
            other = frozenset((dict(way) | after).items())
            if before.items() <= way and other in gains:
                gaps[dict(way)["neighborhood"]].append(gains[other] - gain)
        rows.append([name, *(f"{np.mean(of):+.2f} ({stats.sem(of):.2f}, {len(of)})" for of in gaps.values())])
    heads = ["change (standard error, settings)", *NEIGHBORHOODS]
    return table(heads, rows, right=range(1, len(heads)))


def _explanations(study: Study) -> str:
    lines = study.results("explanations")
    rows = [
        [
            *(line["setting"], line["output"], f"{line['r2']:.2f}", f"{line['features_used']:.0f}"),
            *(f"{line['never_used']:,}", f"{line['seconds']:.0f}"),
        ]
        for line in {(line["setting"], line["output"]): line for line in lines if not line["choosing"]}.values()
    ]
    heads = ["explanations", "of", "median R^2", "features used", "features never used", "seconds"]
    return table(heads, rows, right=range(2, 6))


def _maps(study: Study) -> dict[str, str]:
    """Tabulate the measures of maps, and how they change with the network."""
    lines = list(study.results("maps"))
    names = list(dict.fromkeys(line["method"] for line in lines))
    rows = []
    for name in names:
        of_name = [line for line in lines if line["method"] == name]
        stable = [line for line in of_name if line["measure"] == "stability"]
        halves = [f"{line['pearson']:.2f} ({line['images']})" for line in stable]
        drops = {line["fill"]: line for line in of_name if line["measure"] == "ablation"}
        fills = [
            f"{drops[fill]['own']:.2f} / {drops[fill]['others']:.2f}" if fill in drops else ""
            for fill in ("black", "mean")
        ]
        digits = [line for line in of_name if line["measure"] == "digits"]
        seen = [f"{10 * line['recognised']:.0f}; {_mean_and_spread(line['replicates'])}" for line in digits]
        rows.append([name, ", ".join(halves), *fills, *seen])
    heads = ["maps", "halves, r", "black: own / others", "mean: own / others", "digits seen of 10; of fewer images"]
    alike = {
        (line["method"], line["model"]): f"{line['spearman']:.2f}"
        for line in lines
        if line["measure"] == "randomisation"
    }
    models = list(dict.fromkeys(model for _, model in alike))
    changed = [[name, *(alike[name, model] for model in models)] for name in dict.fromkeys(name for name, _ in alike)]
    return {
        "maps": table(heads, rows, right=range(1, 5)),
        "randomised": table(["maps", *models], changed, right=range(1, len(models) + 1)),
        "classifier": next(line["classifier"] for line in lines if line["measure"] == "digits"),
        "classifier_accuracy": f"{next(line['accuracy'] for line in lines if line['measure'] == 'digits'):.1%}",
    }


def _mean_and_spread(replicates: list[dict[str, float]]) -> str:
    seen = [10 * replicate["recognised"] for replicate in replicates]
    return f"{np.mean(seen):.1f} ({np.std(seen, ddof=1):.1f})"


def _cost(study: Study) -> dict[str, float]:
    """Return minutes of steps, and of retrainings numbers and seconds."""
    cost = {}
    for step, name in {"train": "network", "explain": "explanations", "attribute": "attributions"}.items():
        lines = {(line.get("setting"), line.get("choosing"), line.get("name")): line for line in study.results(name)}
        cost[step] = sum(line["seconds"] for line in lines.values()) / 60
    for kind in NAMES:
        lines = list(study.results(f"retrained-{kind}"))
        cost[kind] = len(lines) + len(list(study.results(f"retrained-{kind}-to-choose")))
        cost[f"{kind} seconds"] = np.median([line["seconds"] for line in lines if "seconds" in line])
    return cost
