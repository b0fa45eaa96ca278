"""Kill a run 20 times, each time without warning, and let it go on; run by engine/test_checkpoint.py.

Every run is a fork of this process, in which the kernels are compiled already. Column 0 is not perturbed: it says which
instance the model is asked about.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np
from helpers.runs import arrays, model

import normlime_fast as nlf

KILLS = 20
N = 150
ROWS = np.random.default_rng(3).normal(size=(N, 12))
ROWS[:, 0] = np.arange(N)
SCALE = np.array([0.0] + [0.7] * 11)


def main(folder):
    checkpoint, log = folder / "checkpoint", folder / "log"

    def watched(X):
        if len(X) == 60:
            with log.open("a") as file:
                file.write(f"{X[0, 0]:.0f}\n")
            time.sleep(0.002)
        return model(X)

    def explain(**options):
        return nlf.NormLIME(
            watched, nlf.Gaussian(SCALE), n_features=4, n_samples=60, targets="all", rng=0, batch_size=60
        ).explain(ROWS, block_size=1, **options)

    expected = arrays(explain())
    chance = random.Random(0)
    cut_off, asked_for_finished = 0, 0
    for _ in range(KILLS):
        log.write_text("")
        before = finished(checkpoint)
        started, wrote = os.pipe()
        process = os.fork()
        if process == 0:
            explain(checkpoint=checkpoint, progress=lambda done, total, pipe=wrote: os.write(pipe, b"."))
            os._exit(0)
        os.read(started, 1)
        time.sleep(chance.uniform(0, 0.04))
        os.kill(process, signal.SIGKILL)
        assert os.waitpid(process, 0)[1] == signal.SIGKILL, "the run ended before it could be killed"
        cut_off += len(list(checkpoint.glob(".*.tmp")))
        asked_for_finished += len(before & {int(line) for line in log.read_text().split()})
    kept = len(finished(checkpoint))
    log.write_text("")
    resumed = explain(checkpoint=checkpoint)
    asked = log.read_text().split()
    assert len(asked) == N - kept, f"{len(asked)} of {N - kept} blocks were asked for at the end"
    np.testing.assert_array_equal(arrays(resumed), expected)
    print(f"{KILLS} kills, {kept} of {N} blocks kept, {asked_for_finished} of them computed twice, {cut_off} cut off")
    assert asked_for_finished == 0


def finished(checkpoint):
    return {int(file.name.split("-")[0]) for file in checkpoint.glob("*.npz")}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
