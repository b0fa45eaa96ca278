"""Trains the CNN that is explained. What was found with another one goes."""

import time

import numpy as np
import torch

from benchmarks.paper import network
from benchmarks.paper.study import Study


def run(study: Study) -> None:
    path = study.work / "cnn.pt"
    if path.exists():
        return
    start = time.perf_counter()
    images, epochs = study.data, study.plan.epochs
    model = network.train(network.cnn(0), network.as_images(images.X), images.y, epochs, seed=0)
    seconds = time.perf_counter() - start
    share = float(np.mean(network.predicted(model, network.as_images(images.X_test)) == images.y_test))
    for found in study.results("network").path.parent.glob("*.jsonl*"):
        found.unlink()
    study.results("network").append(epochs=epochs, images=len(images.X), accuracy=share, seconds=seconds)
    unfinished = path.with_suffix(".part.pt")
    torch.save(model.state_dict(), unfinished)
    unfinished.replace(path)
    print(f"test accuracy {share:.2%} after {epochs} epochs")
