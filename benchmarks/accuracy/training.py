"""One run: contrastive training, then a linear probe (and neighbours) on the frozen encoder."""

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tuned_contrastive.benchmarks.accuracy import losses, models
from tuned_contrastive.benchmarks.accuracy.data import Part, Split, load
from tuned_contrastive.benchmarks.accuracy.names import CROSS_ENTROPY, UNTRAINED
from tuned_contrastive.benchmarks.accuracy.plan import EMBEDDINGS, FINAL, Run, batch_count
from tuned_contrastive.benchmarks.accuracy.views import views

MOMENTUM, WEIGHT_DECAY = 0.9, 1e-4
NEIGHBOURS = 5
LEAST_SPREAD = 0.01
"""Of the mean spread of the features: a unit that is silent on the training rows stays small."""
STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)
"""Inverse regularisations of the linear probe, of which the validation rows choose one."""
Features = NDArray[np.float32]


def carry_out(run: Run, folder: Path | None) -> dict[str, Any]:
    """Return the record of a run: accuracies in [0, 1], of the test rows only where it counts.

    The same run gives the same numbers on the same machine: the split, the weights at the start,
    the batches and the views all follow from its seed.
    """
    began = time.perf_counter()
    split = load(run.dataset, run.seed, folder)
    torch.manual_seed(run.seed)
    encoder, head, told = trained(run, split)
    record = {"key": run.key, "run": run.as_json(), "rows": _rows(split), **told}
    record |= judged(run, split, encoder, head)
    if run.role == EMBEDDINGS:
        record["projections"] = _features(nn.Sequential(encoder, head), split.validation)
        record["labels"] = split.validation.y
    return {**record, "seconds": round(time.perf_counter() - began, 3)}


def trained(run: Run, split: Split) -> tuple[nn.Module, nn.Module, dict[str, Any]]:
    """Return the encoder and the head after training, and how the loss went.

    SGD with momentum 0.9 and weight decay 1e-4, the learning rate falling to 0 by a half cosine.
    """
    given = dict(run.parameters)
    embedding = int(given.get("embedding", 1))
    encoder = models.encoder(split.train.x.shape[1:])
    supervised_head = run.loss == CROSS_ENTROPY
    head = (
        models.classifier(split.classes) if supervised_head else models.projection_head(embedding)
    )
    if run.loss == UNTRAINED:
        return encoder, head, {"steps": 0}
    criterion = losses.build(run.loss, embedding, given)
    module = nn.ModuleList([encoder, head, criterion]).train()
    x, y = torch.from_numpy(split.train.x), torch.from_numpy(split.train.y)
    batches = batch_count(len(x), given["batch_size"])
    epochs = max(int(given["epochs"]), math.ceil(given["steps"] / batches))
    optimizer = torch.optim.SGD(
        module.parameters(), given["learning_rate"], momentum=MOMENTUM, weight_decay=WEIGHT_DECAY
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * batches)
    means: list[float] = []
    for _ in range(epochs):
        values = []
        for batch in torch.randperm(len(x)).tensor_split(batches):
            count = losses.view_count(run.loss)
            seen = views(x[batch], count, mirrored=split.mirrored)
            z = head(encoder(seen)).unflatten(0, (-1, count))
            loss: Tensor = criterion(z, y[batch])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            values.append(loss.item())
        means.append(float(np.mean(values)))
        if not math.isfinite(means[-1]):
            break
    told = {"steps": len(means) * batches, "loss": [_finite(means[0]), _finite(means[-1])]}
    return encoder, head, told


def judged(run: Run, split: Split, encoder: nn.Module, head: nn.Module) -> dict[str, Any]:
    """Return the accuracies on validation rows, and on test rows in a run that counts."""
    train = _features(encoder, split.train)
    parts = {"validation": split.validation} | ({"test": split.test} if run.role == FINAL else {})
    if not np.isfinite(train).all():  # training has diverged
        return {name: {"linear": 0.0, "neighbours": 0.0, "own": 0.0} for name in parts}
    mean, spread = train.mean(0), train.std(0)
    spread = np.maximum(spread, LEAST_SPREAD * spread.mean())
    standard = (_features(encoder, split.validation) - mean) / spread
    probes = [_probe((train - mean) / spread, split.train.y, C) for C in STRENGTHS]
    probe = max(probes, key=lambda each: float(each.score(standard, split.validation.y)))
    found: dict[str, Any] = {}
    for name, part in parts.items():
        features = _features(encoder, part)
        accuracy = {"linear": float(probe.score((features - mean) / spread, part.y)), "C": probe.C}
        if run.setting == "self-supervised":
            accuracy["neighbours"] = _neighbours(train, split.train.y, features, part.y)
        if run.loss == CROSS_ENTROPY:
            logits = _features(nn.Sequential(encoder, head), part)
            accuracy["own"] = float((logits.argmax(1) == part.y).mean())
        found[name] = accuracy
    return found


def _features(encoder: nn.Module, part: Part) -> Features:
    """Return the outputs for rows as they are, without views."""
    encoder.eval()
    with torch.no_grad():
        blocks = [encoder(block) for block in torch.split(torch.from_numpy(part.x), 4096)]
    return torch.cat(blocks).numpy()


def _probe(features: Features, labels: NDArray[np.int64], strength: float) -> Any:
    """Return a logistic regression, which has one optimum, whatever the loss before it was."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        # Where rows are separable the optimum is flat, and the last digits do not matter.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(C=strength, max_iter=300).fit(features, labels)


def _neighbours(
    train: Features, labels: NDArray[np.int64], features: Features, truth: NDArray[np.int64]
) -> float:
    """Return the accuracy of the majority of the nearest training rows, by cosine."""
    from sklearn.neighbors import KNeighborsClassifier

    classifier = KNeighborsClassifier(NEIGHBOURS, metric="cosine").fit(train, labels)
    return float(classifier.score(features, truth))


def _rows(split: Split) -> dict[str, int]:
    parts = {"train": split.train, "validation": split.validation, "test": split.test}
    return {name: len(part.y) for name, part in parts.items()}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
