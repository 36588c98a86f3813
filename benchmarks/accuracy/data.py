"""The data sets, each split into training, validation and test rows by a seed."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tuned_contrastive.benchmarks.accuracy import files

INSTALLED = (
    "digits", "digits-few", "digits-imbalanced", "digits-noisy", "wine", "breast-cancer",
)  # fmt: skip
"""Those that come inside scikit-learn, and what is made of its digits."""
ALTERED = ("digits-few", "digits-imbalanced", "digits-noisy")
DATASETS = (*INSTALLED, *files.SOURCES)
ABOUT = {
    "digits": "8 x 8 images of ten digits",
    "digits-few": "digits with 5 training rows of each class",
    "digits-imbalanced": "digits whose training classes shrink geometrically, the last to 1/20",
    "digits-noisy": "digits with 30 % of the training labels replaced by another class",
    "wine": "13 measurements of wines of three cultivars",
    "breast-cancer": "30 measurements of cell nuclei, two classes",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "fashion-mnist": "Fashion-MNIST",
}
TEST, VALIDATION = 0.3, 0.2
FEW, SMALLEST, NOISE = 5, 1 / 20, 0.3


@dataclass(frozen=True)
class Part:
    """Rows with their labels: x (N, C, H, W) or (N, F), float32; y (N,), int64."""

    x: NDArray[np.float32]
    y: NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """A data set as one run sees it."""

    train: Part
    validation: Part
    test: Part
    classes: int
    mirrored: bool
    """Whether an image means the same when left and right are exchanged."""


def load(name: str, seed: int, folder: Path | None = None) -> Split:
    """Return a data set, split by a seed, every class in proportion.

    Half of the rows train, a fifth validates, the rest tests; data sets in files keep their own
    test rows, the same for every seed. What makes digits few, imbalanced or noisy happens to the
    training rows only. Columns of tables are standardised by mean and spread of the training rows,
    images lie in [0, 1].

    Parameters
    ----------
    name : str
        One of `DATASETS`.
    seed : int
        Of the split, and of what is removed from, or wrong in, the training rows.
    folder : Path or None
        Where the files of CIFAR and Fashion-MNIST are.

    Raises
    ------
    FileNotFoundError, ValueError
        As `files.read`.
    """
    from sklearn.model_selection import train_test_split

    rng = np.random.default_rng(seed)
    whole, test, mirrored = _source(name, folder)
    share = VALIDATION
    if test is None:
        x, x_test, y, y_test = train_test_split(
            whole.x, whole.y, test_size=TEST, random_state=seed, stratify=whole.y
        )
        whole, test, share = Part(x, y), Part(x_test, y_test), VALIDATION / (1 - TEST)
    x, x_validation, y, y_validation = train_test_split(
        whole.x, whole.y, test_size=share, random_state=seed, stratify=whole.y
    )
    classes = int(whole.y.max()) + 1
    train = _altered(name, Part(x, y), classes, rng)
    parts = [train, Part(x_validation, y_validation), test]
    if train.x.ndim == 2:
        mean, spread = train.x.mean(0), train.x.std(0)
        parts = [Part((part.x - mean) / spread, part.y) for part in parts]
    train, validation, test = parts
    return Split(train, validation, test, classes, mirrored)


@cache
def _source(name: str, folder: Path | None) -> tuple[Part, Part | None, bool]:
    """Return all rows, or those that train and those that test, and whether they are mirrored."""
    if name in files.SOURCES:
        if folder is None:
            raise FileNotFoundError(
                f"{name} must be in a folder, --data DIR; it is to be had at {files.SOURCES[name]}"
            )
        pairs = files.read(name, folder)
        train, test = (Part((x / 255).astype(np.float32), y) for x, y in pairs)
        if len(np.unique(train.y)) < 2 or not np.isin(test.y, train.y).all():
            told = "must hold two classes or more that train, and no others that test"
            raise ValueError(f"the files of {name} in {folder} {told}")
        return train, test, True
    from sklearn import datasets

    base = "digits" if name.startswith("digits") else name.replace("-", "_")
    x, y = getattr(datasets, f"load_{base}")(return_X_y=True)
    if base == "digits":
        x = x.reshape(-1, 1, 8, 8) / 16
    return Part(x.astype(np.float32), y.astype(np.int64)), None, False


def _altered(name: str, train: Part, classes: int, rng: np.random.Generator) -> Part:
    of_class = [np.flatnonzero(train.y == label) for label in range(classes)]
    if name == "digits-few":
        kept = [rng.choice(rows, FEW, replace=False) for rows in of_class]
    elif name == "digits-imbalanced":
        sizes = len(train.y) / classes * SMALLEST ** (np.arange(classes) / (classes - 1))
        kept = [rows[: round(size)] for rows, size in zip(of_class, sizes, strict=True)]
    elif name == "digits-noisy":
        wrong = rng.random(len(train.y)) < NOISE
        other = rng.integers(1, classes, len(train.y))
        return Part(train.x, np.where(wrong, (train.y + other) % classes, train.y))
    else:
        return train
    rows = np.concatenate(kept)
    return Part(train.x[rows], train.y[rows])
