"""Trains the CNN that is explained."""

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
    torch.save(model.state_dict(), path)
    share = float(np.mean(network.predicted(model, network.as_images(images.X_test)) == images.y_test))
    study.results("network").write([{"epochs": epochs, "images": len(images.X), "accuracy": share, "seconds": seconds}])
    print(f"test accuracy {share:.2%} after {epochs} epochs")
