"""Writes README.md: what the paper says, beside what was found."""

import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import stats

from benchmarks.common.measuring import table
from benchmarks.paper import choose, maps, retrain, retraining
from benchmarks.paper.comparing import CONFIDENCE, Difference, difference, signed
from benchmarks.paper.explain import FEATURES, LITERAL
from benchmarks.paper.questionnaire import METHODS
from benchmarks.paper.study import Study
from normlime_fast import evaluation

NAMES = {"pixels": "pixels", "features": "outputs of the second block"}
CLAIMED = ("LIME", "SmoothGrad²", "VarGrad", "SHAP", "random")  # the paper compares with these; others are controls
PAPER_ACCURACY = 0.9904
CHOSEN = ("NormLIME, chosen", "LIME, chosen")
BEST = 8  # settings that are shown
NEIGHBORHOODS = "gaussian", "mask", "features"
CHANGES = {  # of settings: from, to
    "LIME's Eq. 6 in place of NormLIME's Eq. 3": ({"method": "NormLIME"}, {"method": "LIME"}),
    "`shrink=True`": ({"method": "NormLIME"}, {"method": "NormLIME, shrunk"}),
    "`min_count=5`": ({"method": "NormLIME"}, {"method": "NormLIME, min_count 5"}),
    "log-probability in place of probability": ({"output": "probability"}, {"output": "log-probability"}),
    "K = 100 in place of 20": ({"n_features": 20}, {"n_features": 100}),
    "4 times the samples": ({"times": 1}, {"times": 4}),
}

TEXT = Path(__file__).with_name("report-template.md")

Found = dict[str, evaluation.Retrained]  # by method
Compared = dict[tuple[str, str], dict[float, Difference]]  # by level, of pairs of methods


def run(study: Study) -> None:
    found = {kind: retrain.load(study, kind) for kind in NAMES}
    crossed = {kind: retrain.crossed(study, kind) for kind in NAMES}
    for kind in NAMES:
        for name, one in [*found[kind].items(), *crossed[kind].items()]:
            if np.isnan(one.scores[np.isin(one.levels, retrain.late(study))]).any():
                sys.exit(f"{kind} are not all retrained without what {name} ranks last: run the step retrain first")
    compared = {kind: _compared(study, kind, found[kind], crossed[kind]) for kind in NAMES}
    n_signs = sum(len(cells) for kind in NAMES for cells in _ranked(compared[kind]).values())
    text = TEXT.read_text(encoding="utf-8").format(
        short=_short(study, found, compared),
        claims=_claims(study, crossed),
        ranks="\n\n".join(_ranks(kind, compared[kind]) for kind in NAMES),
        plan=study.plan,
        literal=LITERAL,
        features=FEATURES,
        gains="\n\n".join(_gains(kind, found[kind]) for kind in NAMES),
        differences="\n\n".join(_differences(kind, compared[kind]) for kind in NAMES),
        choice="\n\n".join(_choice(study, kind) for kind in NAMES),
        explanations=_explanations(study),
        **_maps(study),
        changes=_changes(study),
        chosen="; ".join(_chosen(study, kind) for kind in NAMES),
        lucky=", and ".join(_lucky(kind, crossed[kind]["NormLIME"]) for kind in NAMES),
        cost=_cost(study),
        confidence=CONFIDENCE,
        alpha=1 - CONFIDENCE,
        late=", ".join(f"{level:.0%}" for level in retrain.late(study)),
        n_seeds=len(retraining.SEEDS),
        n_signs=n_signs,
        n_chance=(1 - CONFIDENCE) * n_signs,
        n_test=len(study.data.X_test),
        splits=maps.SPLITS,
        checked=min(maps.CHECKED, study.plan.images // 20),
        part=study.plan.images // study.plan.replicates,
        per_class=study.plan.images // 10,
        choosing=study.plan.images_to_choose // study.plan.replicates_to_choose,
    )
    (study.out / "README.md").write_text(text, encoding="utf-8")
    print(f"written: {study.out / 'README.md'}")


def _short(study: Study, found: dict[str, Found], compared: dict[str, Compared]) -> str:
    """List methods from the best to the worst."""
    lines = []
    for kind, by_method in found.items():
        level = retrain.late(study)[-1]
        signs = {
            other: _sign(cells[level]) for (_, other), cells in _ranked(compared[kind]).items() if "," not in other
        }
        ahead, behind = ([other for other in signs if signs[other] == sign] or ["none"] for sign in "+-")
        rest = [other for other in signs if signs[other] not in ("+", "-")] or ["none"]
        lines.append(
            f"* **NormLIME's ranking of the {NAMES[kind]}**, {level:.0%} of which are removed, is better than that of "
            f"{', '.join(ahead)}; worse than that of {', '.join(behind)}; not distinguishable from {', '.join(rest)}."
        )
        for level in (retrain.late(study)[0], retrain.late(study)[-1]):
            at = study.plan.levels.index(level)
            gains = {name: one.gains[at].mean() for name, one in by_method.items() if "," not in name}
            lines.append(f"* **Without {level:.0%} of the {NAMES[kind]}** the error gains {_listed(gains, signed)}.")
    measured = [line for line in study.results("maps") if line["method"] in (*METHODS, "class mean")]
    halves = [line for line in measured if line["measure"] == "stability"]
    few = min(line["images"] for line in halves)
    stable = {line["method"]: line["pearson"] for line in halves if line["images"] == few}
    forgot, same = (
        {line["method"]: line["spearman"] for line in measured if line.get("model") == model}
        for model in ("random head", "same, other images")
    )
    two = "{:.2f}".format
    lines += [
        f"* **Maps by other images**, {few} of each class, correlate by {_listed(stable, two, -1)}.",
        f"* **Maps of the CNN with a random head** correlate with its own by {_listed(forgot, two)}, where its own of "
        f"other images do by {_listed(same, two)}.",
    ]
    return "\n".join(textwrap.fill(line, 116, subsequent_indent="  ", break_on_hyphens=False) for line in lines)


def _lucky(kind: str, one: evaluation.Retrained) -> str:
    """Say how well networks do on all features with the seed that most are trained with."""
    return f"{one.baseline[0]:.2f}% on all {NAMES[kind]}, where the mean is {one.baseline.mean():.2f}%"


def _listed(values: dict[str, float], written: Callable[[float], str], ascending: int = 1) -> str:
    names = sorted(values, key=lambda name: ascending * values[name])
    return ", ".join(f"{written(values[name])} ({name})" for name in names)


def _compared(study: Study, kind: str, found: Found, crossed: Found) -> Compared:
    """Compare NormLIME with the others at the late levels, and the chosen settings of NormLIME and LIME."""
    wrong = retraining.wrong(study, kind)
    compared: Compared = {}
    for mine, other in [*(("NormLIME", name) for name in found if name != "NormLIME"), CHOSEN]:
        one = crossed[mine] if len(found[other].seeds) > 1 else found[mine]
        compared[mine, other] = {level: difference(one, found[other], level, wrong) for level in retrain.late(study)}
    return compared


def _claims(study: Study, crossed: dict[str, Found]) -> str:
    accuracy = next(iter(study.results("network")))["accuracy"]
    verdict = "held" if accuracy >= PAPER_ACCURACY else "not held"
    rows = [["The CNN's test accuracy", f"{PAPER_ACCURACY:.2%}", f"{accuracy:.2%}", f"{1 - accuracy:.2%}", verdict]]
    for (kind, method, level), paper in retrain.PAPER.items():
        if level not in study.plan.levels:
            continue
        one = crossed[kind][method]
        row = next(row for row in one.summary(CONFIDENCE) if row.level == level)
        claim = f"{method}: gain of the error without {level:.0%} of the {NAMES[kind]}"
        verdict = "held" if row.gain <= paper else "not distinguishable" if row.low <= paper else "not held"
        here = f"{signed(row.gain)} [{signed(row.low)}, {signed(row.high)}]"
        error = one.baseline.mean() + row.gain
        rows.append([claim, signed(paper), here, f"{error:.2f}%", verdict])
    rows.append(["People prefer NormLIME's maps of classes", "83 people did", "nobody was asked", "", "not reproduced"])
    return table(["claim", "paper", f"here, {CONFIDENCE:.0%} interval", "error", "verdict"], rows, right=(1, 2, 3))


def _ranked(compared: Compared) -> Compared:
    """Return what is to have a sign."""
    return {pair: cells for pair, cells in compared.items() if "," not in pair[1] or pair == CHOSEN}


def _ranks(kind: str, compared: Compared) -> str:
    rows = []
    for (mine, other), cells in _ranked(compared).items():
        signs = [_sign(cell) for cell in cells.values()]
        verdict = " and ".join(word for sign, word in (("+", "held"), ("-", "not held")) if sign in signs)
        rows.append([f"{mine} against {other}", *signs, (verdict or "not distinguishable") if other in CLAIMED else ""])
    levels = next(iter(compared.values()))
    heads = [NAMES[kind], *(f"{level:.0%}" for level in levels), "verdict"]
    return table(heads, sorted(rows, key=lambda row: not row[-1]), right=())


def _sign(cell: Difference) -> str:
    """Return + where NormLIME is better."""
    if np.isnan(cell.low) and not cell.mean:
        return "same"
    sign = "+" if cell.high < 0 else "-" if cell.low > 0 else "="
    return f"({sign})" if sign != "=" and cell.p > 1 - CONFIDENCE else sign


def _gains(kind: str, found: dict[str, evaluation.Retrained]) -> str:
    """Tabulate the error gains of all levels."""
    rows = []
    for name, retrained in found.items():
        gains = retrained.gains.reshape(len(retrained.levels), -1)
        cells = ["" if np.isnan(row).any() else f"{signed(row.mean())} ({row.std(ddof=1):.2f})" for row in gains]
        rows.append([name, str(len(retrained.ranking)), *cells])
    one = found["NormLIME"]
    error = f"{NAMES[kind]}; error with all {one.baseline.mean():.2f}%"
    heads = [error, "rankings", *(f"{level:.0%}" for level in one.levels)]
    return table(heads, rows, right=range(1, len(heads)))


def _differences(kind: str, compared: Compared) -> str:
    rows = [[" less ".join(pair), *map(str, cells.values())] for pair, cells in compared.items()]
    heads = [NAMES[kind], *(f"{level:.0%}" for level in next(iter(compared.values())))]
    return table(heads, rows, right=range(1, len(heads)))


def _chosen(study: Study, kind: str) -> str:
    return f"of {NAMES[kind]} " + " and ".join(f'"{way}"' for way in choose.chosen(study, kind).values())


def _choice(study: Study, kind: str) -> str:
    rows = [
        [
            str(choose.of_line(line)),
            signed(line["mean"]),
            ", ".join(map(signed, line["gains"])),
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
        way = choose.of_line(line)
        gains[frozenset(({"method": way.method, "output": way.output} | way.setting._asdict()).items())] = line["mean"]
    rows = []
    for name, (before, after) in CHANGES.items():
        gaps: dict[str, list[float]] = {neighborhood: [] for neighborhood in NEIGHBORHOODS}
        for way, gain in gains.items():
            other = frozenset((dict(way) | after).items())
            if before.items() <= way and other in gains:
                gaps[dict(way)["neighborhood"]].append(gains[other] - gain)
        rows.append(
            [name, *(f"{signed(np.mean(of))} ({stats.sem(of):.2f}, {len(of)})" if of else "" for of in gaps.values())]
        )
    heads = ["change (standard error, settings)", *NEIGHBORHOODS]
    return table(heads, rows, right=range(1, len(heads)))


def _explanations(study: Study) -> str:
    lines = [line for line in study.results("explanations") if not line["choosing"]]
    lines.sort(key=lambda line: (line["setting"].split(",")[0], line["features_used"]))
    rows = [
        [
            *(line["setting"], line["output"], f"{line['r2']:.2f}", f"{line['features_used']:.0f}"),
            f"{line['never_used']:,}",
        ]
        for line in {(line["setting"], line["output"]): line for line in lines}.values()
    ]
    heads = ["explanations", "of", "median R^2", "features used, mean", "features that none uses"]
    return table(heads, rows, right=range(2, 5))


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
    heads = [
        "maps",
        "halves: r (images)",
        "black: own / others",
        "mean: own / others",
        "digits seen: all images; parts (std)",
    ]
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
        cost[f"{kind}_seconds"] = np.median([line["seconds"] for line in lines if "seconds" in line])
    return cost
