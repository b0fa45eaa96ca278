"""A questionnaire that asks people which method's class map best explains a digit, and the analysis of its answers.

    python -m benchmarks.paper.questionnaire ANSWERS_FOLDER [--json]

The paper let 83 people vote: 25 questions, in each four maps of one digit, without names and in random order. It
reports that NormLIME had 30 % more votes than the other three together. This claim about people is not reproduced:
nobody was asked. What is here is ready to ask them: the page, and its analysis, tried on simulated votes.

The paper's analysis takes the votes that the methods have of a participant as independent (one-way ANOVA, Tukey's
HSD). They are not: a participant's votes sum to a constant, so that more for one method are fewer for the others. If
all k methods are liked alike, the correlation of the votes of two is -1 / (k - 1) and F is too large by k / (k - 1):
with four methods and many participants, about 12 % of such studies are significant at the level of 5 %. So beside them
are tests within participants: Friedman's, and for pairs paired t tests with Bonferroni's correction.
"""

import argparse
import base64
import hashlib
import io
import itertools
import json
import math
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.image
import numpy as np
from scipy import stats

METHODS = ("NormLIME", "LIME", "SmoothGrad²", "VarGrad")
PAPER = {"NormLIME": 1.3, "LIME": 1 / 3, "SmoothGrad²": 1 / 3, "VarGrad": 1 / 3}  # how it split the last three is ours
VERSION = 1  # of the answers' layout
COLOURS = "cividis"  # as in normlime_fast.plotting
LEVEL = 0.95
ALLOWED = 1  # attention checks that a participant may fail
DIGITS = range(10)


class Question(NamedTuple):
    kind: str  # "vote" or "check"
    digit: int
    shown: tuple[str, ...]  # methods, or digits of a check, from left to right


class Result(NamedTuple):
    statistic: float
    p: float


class Mean(NamedTuple):
    """Votes per participant for one method, with a Student's t interval."""

    method: str
    mean: float
    low: float
    high: float


class Pair(NamedTuple):
    """How many more votes per participant the first method has, with Tukey's interval."""

    first: str
    second: str
    difference: float
    low: float
    high: float
    p_tukey: float
    p_paired: float


@dataclass(frozen=True)
class Analysis:
    votes: dict[str, dict[str, int]]  # of a participant, per method
    excluded: list[str]  # who failed too many attention checks
    means: list[Mean]
    anova: Result
    friedman: Result
    pairs: list[Pair]

    def to_json(self) -> dict[str, Any]:
        """Return it as dictionaries and lists; where there is no number, None."""
        parts = asdict(self) | {
            "means": [_finite(mean) for mean in self.means],
            "anova": _finite(self.anova),
            "friedman": _finite(self.friedman),
            "pairs": [_finite(pair) for pair in self.pairs],
        }
        return {"participants": len(self.votes), **parts}

    def __str__(self) -> str:
        percent = f"{LEVEL:.0%} interval"
        lines = [
            f"{len(self.votes)} participants; {len(self.excluded)} more are excluded (failed attention checks)",
            "",
            f"{'votes per participant':<28}{'mean':>8}{percent:>18}",
        ]
        lines += [f"{mean.method:<28}{mean.mean:8.2f}{_interval(mean):>18}" for mean in self.means]
        lines += [
            "",
            f"One-way ANOVA:   F = {self.anova.statistic:.2f}, p = {self.anova.p:.2g} (as the paper; see below)",
            f"Friedman's test: chi-squared = {self.friedman.statistic:.2f}, p = {self.friedman.p:.2g}",
            "",
            f"{'difference':<28}{'mean':>8}{percent:>18}{'p, Tukey':>11}{'p, paired':>11}",
        ]
        lines += [
            f"{pair.first + ' - ' + pair.second:<28}{pair.difference:8.2f}{_interval(pair):>18}"
            f"{pair.p_tukey:11.2g}{pair.p_paired:11.2g}"
            for pair in self.pairs
        ]
        lines += ["", "A participant's votes sum to a constant, which the ANOVA and Tukey's HSD leave out of account."]
        return "\n".join(lines)


def build(
    maps: Mapping[str, np.ndarray],
    means: np.ndarray,
    path: str | Path,
    seed: int,
    n_questions: int = 25,
    n_checks: int = 5,
) -> None:
    """Write the questionnaire, one HTML file that needs nothing else.

    `maps` has class maps of the four METHODS and `means` the mean images of the digits, for the attention checks: a
    check asks for the mean image of a digit, beside those of three digits that look little like it. The seed decides
    the order of questions and maps. Answers from pages of different seeds can be analysed together.
    """
    pictures = {name: _checked(name, maps[name]) for name in METHODS}
    means = _checked("means", means)
    unlike = [tuple(map(str, np.argsort(row)[:5])) for row in np.corrcoef(means)]
    data = {
        "version": VERSION,
        "page": hashlib.sha256(np.stack([*pictures.values(), means]).tobytes()).hexdigest()[:12],
        "seed": seed,
        "questions": [question._asdict() for question in questions(unlike, seed, n_questions, n_checks)],
        "maps": {name: _drawn(rows) for name, rows in pictures.items()},
        "means": _drawn(means),
        "colours": _png(np.linspace(0, 1, 256)[None]),
    }
    template = Path(__file__).with_suffix(".html").read_text(encoding="utf-8")
    text = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")  # nothing in it may end the script
    Path(path).write_text(template.replace("@DATA@", text), encoding="utf-8")


def questions(unlike: Sequence[Sequence[str]], seed: int, n_questions: int = 25, n_checks: int = 5) -> list[Question]:
    """Return them in order. `unlike` has the digits that may stand beside each digit in a check.

    The right answers of the checks take turns at the four places: who always picks the same place, fails.
    """
    rng = np.random.default_rng(seed)
    asked = [Question("vote", *both) for both in zip(_digits(n_questions, rng), _orders(n_questions, rng), strict=True)]
    right = np.concatenate([rng.permutation(4) for _ in range(0, n_checks, 4)] or [[]])
    checks = []
    for digit, place in zip(_digits(n_checks, rng), right, strict=False):
        shown = [str(other) for other in rng.choice(unlike[digit], 3, replace=False)]
        shown.insert(int(place), str(digit))
        checks.append(Question("check", digit, tuple(shown)))
    places = rng.choice(n_questions + n_checks, n_checks, replace=False)
    for place, check in zip(sorted(places), checks, strict=True):
        asked.insert(place, check)
    return asked


def analyse(answers: str | Path | Iterable[Any]) -> Analysis:
    """Analyse a folder of the files that the page makes, or what such files hold.

    Answers that are not whole, of other maps than the first, or of somebody who answered already are a ValueError. Of
    p values, read Friedman's and the paired ones: see the top of this module.
    """
    checked: dict[str, _Answered] = {}
    for name, content in _contents(answers):
        try:
            found = _answered(content)
            first = next(iter(checked.values()), found)
            _require(found.study == first.study, "other maps, or another number of questions, than in the first")
            _require(found.participant not in checked, f"participant {found.participant} answered already")
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        checked[found.participant] = found
    excluded = [who for who, found in checked.items() if found.failed > ALLOWED]
    votes = {who: found.votes for who, found in checked.items() if found.failed <= ALLOWED}
    if len(votes) < 2:
        raise ValueError(f"{len(votes)} participants are left, {len(excluded)} are excluded: two are needed")
    counts = np.array([list(row.values()) for row in votes.values()], float)
    with warnings.catch_warnings(action="ignore"), np.errstate(all="ignore"):  # where all vote alike, there is no test
        return Analysis(votes, excluded, _means(counts), *overall(counts), _pairs(counts))


def overall(counts: np.ndarray) -> tuple[Result, Result]:
    """Return the ANOVA and Friedman's test of (n, 4) votes."""
    anova, friedman = (test(*counts.T) for test in (stats.f_oneway, stats.friedmanchisquare))
    return Result(*map(float, anova)), Result(*map(float, friedman))


def simulate(
    n_participants: int, preferences: Mapping[str, float], seed: int, careless: int = 0
) -> list[dict[str, Any]]:
    """Return answers as the page gives them, of participants who choose a method with chances as the preferences.

    The last of them are careless: they choose anything, also in attention checks.
    """
    asked = questions([[str(other) for other in DIGITS if other != digit] for digit in DIGITS], seed)
    rng = np.random.default_rng([seed, 1])  # other numbers than those that made the questions
    attentive = np.arange(n_participants) < n_participants - careless
    chosen = np.empty((n_participants, len(asked)), int)
    for column, question in zip(chosen.T, asked, strict=True):
        liked = preferences if question.kind == "vote" else {str(question.digit): 1.0}
        chances = np.array([liked.get(name, 0.0) for name in question.shown])
        column[:] = rng.choice(4, n_participants, p=chances / chances.sum())
        column[~attentive] = rng.integers(4, size=careless)
    return [
        {
            "version": VERSION,
            "page": "simulated",
            "seed": seed,
            "participant": f"simulated {number}",
            "answers": [_answer(*both) for both in zip(asked, row, strict=True)],
        }
        for number, row in enumerate(chosen)
    ]


def false_positives(repetitions: int, n_participants: int, seed: int) -> tuple[float, float]:
    """Return how often the ANOVA and Friedman's test have p < 0.05 where all methods are liked alike."""
    rng = np.random.default_rng(seed)
    studies = rng.multinomial(25, [1 / len(METHODS)] * len(METHODS), (repetitions, n_participants))
    found = np.array([[result.p < 0.05 for result in overall(counts)] for counts in studies])
    return float(found[:, 0].mean()), float(found[:, 1].mean())


def run(study: Any) -> None:
    """Write the page, and analyses of simulated votes; five of the voters are careless."""
    X, y, voters = study.data.X, study.data.y, study.plan.voters
    with np.load(study.work / "maps.npz") as maps:
        page = study.out / "results" / "questionnaire.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        build(maps, np.stack([X[y == digit].mean(axis=0) for digit in DIGITS]), page, seed=0)
    lines = []
    for name, preferences in {"equal": dict.fromkeys(METHODS, 1.0), "as the paper": PAPER}.items():
        found = analyse(simulate(voters, preferences, seed=0, careless=5)).to_json()
        del found["votes"]
        lines.append({"simulated": True, "preferences": name, **found})
    anova, friedman = false_positives(2000, voters, seed=0)
    rates = {"anova": anova, "friedman": friedman, "studies": 2000}
    lines.append({"simulated": True, "preferences": "equal", "false positives at 0.05": rates})
    results = study.out / "results" / "questionnaire.jsonl"
    results.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    print(f"questionnaire: {page.name} is ready to be answered; {results.name} has simulated votes only")


class _Answered(NamedTuple):
    participant: str
    study: tuple[str, int, int]  # page, votes, checks
    votes: dict[str, int]
    failed: int


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ValueError(otherwise)


def _contents(answers: str | Path | Iterable[Any]) -> Iterable[tuple[str, Any]]:
    if not isinstance(answers, str | Path):
        yield from ((f"answers {number}", content) for number, content in enumerate(answers))
        return
    paths = sorted(Path(answers).glob("*.json"))
    _require(bool(paths), f"{answers}: no answers (*.json) here")
    for path in paths:
        try:
            yield path.name, json.loads(path.read_text(encoding="utf-8-sig"))  # editors may have added a mark
        except ValueError as error:
            raise ValueError(f"{path.name}: not JSON: {error}") from None


def _answered(content: Any) -> _Answered:
    """Return what counts of the answers of one participant, after a check of all they hold."""
    _require(isinstance(content, dict), "not an object")
    missing = [key for key in ("version", "page", "seed", "participant", "answers") if key not in content]
    _require(not missing, f"lacks {', '.join(missing)}")
    _require(content["version"] == VERSION, f"is of version {content['version']}, not {VERSION}")
    _require(all(isinstance(content[key], str) for key in ("page", "participant")), "page or participant is not text")
    _require(isinstance(content["answers"], list), "answers are not a list")
    for number, answer in enumerate(content["answers"], 1):
        _require(isinstance(answer, dict) and _is_whole(answer), f"question {number} is not answered as the page does")
    chosen = Counter(answer["chosen"] for answer in content["answers"] if answer["kind"] == "vote")
    passed = [answer["passed"] for answer in content["answers"] if answer["kind"] == "check"]
    _require(chosen.total() > 0, "has no votes")
    study = content["page"], chosen.total(), len(passed)
    return _Answered(content["participant"], study, {name: chosen[name] for name in METHODS}, passed.count(False))


def _is_whole(answer: dict[str, Any]) -> bool:
    kind, digit, shown, chosen, seconds = map(answer.get, ("kind", "digit", "shown", "chosen", "seconds"))
    if digit not in DIGITS or not isinstance(seconds, int | float):
        return False
    if not isinstance(shown, list) or chosen not in shown:
        return False
    if kind == "vote":
        return sorted(map(str, shown)) == sorted(METHODS)
    return kind == "check" and str(digit) in shown and answer.get("passed") is (chosen == str(digit))


def _means(counts: np.ndarray) -> list[Mean]:
    mean = counts.mean(axis=0)
    half = stats.t.ppf((1 + LEVEL) / 2, len(counts) - 1) * stats.sem(counts)
    rows = zip(METHODS, mean.tolist(), (mean - half).tolist(), (mean + half).tolist(), strict=True)
    return [Mean(*row) for row in rows]


def _pairs(counts: np.ndarray) -> list[Pair]:
    tukey = stats.tukey_hsd(*counts.T)
    interval = tukey.confidence_interval(LEVEL)
    both = list(itertools.combinations(range(len(METHODS)), 2))
    paired = [min(1.0, len(both) * stats.ttest_rel(counts[:, i], counts[:, j]).pvalue) for i, j in both]
    tables = tukey.statistic, interval.low, interval.high, tukey.pvalue
    return [
        Pair(METHODS[i], METHODS[j], *(float(table[i, j]) for table in tables), float(p))
        for (i, j), p in zip(both, paired, strict=True)
    ]


def _answer(question: Question, place: int) -> dict[str, Any]:
    chosen = question.shown[place]
    answer = {**question._asdict(), "shown": list(question.shown), "chosen": chosen, "seconds": 0}
    return answer if question.kind == "vote" else answer | {"passed": chosen == str(question.digit)}


def _digits(n: int, rng: np.random.Generator) -> list[int]:
    """Return n digits, each as often as any other or once more, and none twice in a row."""
    while True:
        digits = [int(digit) for _ in range(0, n, 10) for digit in rng.permutation(10)][:n]
        if all(a != b for a, b in itertools.pairwise(digits)):
            return digits


def _orders(n: int, rng: np.random.Generator) -> list[tuple[str, ...]]:
    """Return n orders of the methods: Latin squares of four, different until all 24 orders have been used."""
    orders: list[tuple[str, ...]] = []
    while len(orders) < n:
        for rest in rng.permutation(list(itertools.permutations(METHODS[1:]))).tolist():
            first = [METHODS[0], *rest]
            orders += [(*first[turn:], *first[:turn]) for turn in rng.permutation(4)]
    return orders[:n]


def _checked(name: str, values: Any) -> np.ndarray:
    values = np.asarray(values, float)
    if values.shape != (10, 784) or not np.isfinite(values).all() or (values < 0).any():
        raise ValueError(f"{name}: class maps are (10, 784) finite numbers from 0 up")
    return values


def _drawn(rows: np.ndarray) -> list[str]:
    return [_png(row.reshape(28, 28)) for row in rows]


def _png(values: np.ndarray) -> str:
    """Return a picture of them, from 0 to their own maximum, as a data URI."""
    file = io.BytesIO()
    matplotlib.image.imsave(
        file, values, vmin=0, vmax=values.max(), cmap=COLOURS, format="png", metadata={"Software": None}
    )
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def _interval(row: Mean | Pair) -> str:
    return f"{row.low:.2f} to {row.high:.2f}"


def _finite(row: Any) -> dict[str, Any]:
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in row._asdict().items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Analyse the answers to the questionnaire.")
    parser.add_argument("folder", type=Path, help="of the JSON files that the page made, one a participant")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    try:
        found = analyse(arguments.folder)
    except ValueError as error:
        raise SystemExit(str(error)) from None
    print(json.dumps(found.to_json(), ensure_ascii=False, indent=2) if arguments.json else found)


if __name__ == "__main__":
    main()
