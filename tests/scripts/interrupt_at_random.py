"""Send SIGINT at random moments of runs with several threads, and compare what each exception carries with a whole run.

Run by engine/test_interruptions.py; `python tests/scripts/interrupt_at_random.py 400 100` makes 400 of them in this
process and 100 of the command line.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np

import normlime_fast as nlf

rng = np.random.default_rng(0)
MATRIX = rng.normal(size=(20, 3))
X = rng.normal(size=(600, 20))
WORDS = ["good", "bad", "fit", "colour", "fine", "dress", "so", "very", "it", "is"]
TEXTS = [" ".join(rng.choice(WORDS, 8)) for _ in range(600)]


def scores(Z):
    exponentials = np.exp(np.clip(Z @ MATRIX, -30, 30))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def letters(texts):
    return np.array([text.count("o") + len(text) % 5 for text in texts], float)


CASES = {
    "gaussian": (scores, nlf.Gaussian(1.0), X, {}),
    "pool": (scores, nlf.Pool.from_data(rng.normal(size=(2000, 20))), X, {"n_samples": 2000}),
    "texts": (letters, nlf.Mask.text(TEXTS), TEXTS, {"n_samples": 300, "n_features": 3, "batch_size": 3000}),
}


def main(count, count_of_commands):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell ignore it
    chance = random.Random(0)
    wrong = 0
    for name, (predict, neighborhood, rows, options) in CASES.items():
        for n_jobs in (2, 4):
            explainer = nlf.NormLIME(predict, neighborhood, n_jobs=n_jobs, rng=0, **options)
            expected = explainer.explain(rows)
            started = time.perf_counter()
            explainer.explain(rows)
            seconds = time.perf_counter() - started
            delays = [chance.uniform(0.05, 1.0) * seconds for _ in range(-(-count // (2 * len(CASES))))]
            found = Counter(verdict(interrupted(explainer, rows, delay), expected) for delay in delays)
            print(f"{name}, n_jobs={n_jobs}: {dict(found)}", flush=True)
            wrong += found["WRONG"]
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder, "X.npy"), X)
        for jobs in ("2", "4") if count_of_commands else ():
            expected, _ = command(Path(folder), jobs)
            delays = [chance.uniform(0.0, 1.0) for _ in range(-(-count_of_commands // 2))]
            found = Counter(verdict(command(Path(folder), jobs, delay)[1], expected) for delay in delays)
            print(f"command line, --jobs {jobs}: {dict(found)}", flush=True)
            wrong += found["WRONG"]
    print(f"{wrong} wrong")
    return wrong


def verdict(finished, expected):
    if finished is None:
        return "nothing finished"
    names = ("intercept", "r2", "prediction", "status", "target", "effective_samples")
    same = (finished.weights != expected.weights[finished.instance]).nnz == 0 and all(
        np.array_equal(getattr(finished, name), getattr(expected, name)[finished.instance]) for name in names
    )
    return "right" if same else "WRONG"


def command(folder, jobs, delay=None):
    """What the command has written: all explanations, and those finished before the interruption."""
    arguments = ["--data", "X.npy", "--output", "O.npz", "--force", "--jobs", jobs, "--progress"]
    process = subprocess.Popen(
        [sys.executable, "-m", "normlime_fast", "explain", "--model", "interrupt_at_random:scores", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
        stderr=subprocess.PIPE,
    )
    process.stderr.readline()  # the first twentieth is explained
    if delay is not None:
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
    process.communicate(timeout=300)
    done = (folder / "O.npz").exists()  # a signal may come after the command's own end, when Python ends by it
    assert process.returncode == (0 if done else 130) or (done and process.returncode == -signal.SIGINT)
    results = []
    for path in (folder / "O.npz", folder / "O.npz.partial"):
        results.append(nlf.LocalExplanations.load(path) if path.exists() else None)
        path.unlink(missing_ok=True)
    return results


def interrupted(explainer, rows, delay):
    """What the exception carries; None if it came to no exception, or that carries nothing."""
    timer = threading.Timer(delay, lambda: signal.raise_signal(signal.SIGINT))
    finished = None
    try:
        timer.start()
        try:
            explainer.explain(rows)
        except KeyboardInterrupt as error:
            finished = getattr(error, "finished", None)
        timer.join()
    except KeyboardInterrupt:  # after the run
        pass
    return finished


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])) > 0)
