"""Reads CIFAR-10, CIFAR-100 (binary version) and Fashion-MNIST from a folder that the user names.

Pickles, the other form in which CIFAR is to be had, run whatever code they hold: never read here.
"""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Images = tuple[NDArray[np.uint8], NDArray[np.int64]]
"""Images (N, C, H, W) and labels (N,)."""
CIFAR = "https://www.cs.toronto.edu/~kriz/cifar.html (the binary version)"
FASHION = "https://github.com/zalandoresearch/fashion-mnist"
SOURCES = {"cifar10": CIFAR, "cifar100": CIFAR, "fashion-mnist": FASHION}
_CIFAR_FILES = {
    "cifar10": ("cifar-10-batches-bin", [f"data_batch_{k}.bin" for k in range(1, 6)]),
    "cifar100": ("cifar-100-binary", ["train.bin"]),
}
_CIFAR_TEST = {"cifar10": "test_batch.bin", "cifar100": "test.bin"}
_IDX_PARTS = ("train", "t10k")
_SIDE = {"cifar10": 32, "cifar100": 32, "fashion-mnist": 28}
_UNSIGNED_BYTE = 8


def read(name: str, folder: Path) -> tuple[Images, Images]:
    """Return the training and the test images of a data set, with their labels.

    Parameters
    ----------
    name : {"cifar10", "cifar100", "fashion-mnist"}
    folder : Path
        Holds the files under their own names, or the folder that the archive unpacks to.

    Raises
    ------
    FileNotFoundError
        Where a file is missing; says where it is to be had.
    ValueError
        Where a file is not of the format.
    """
    if name == "fashion-mnist":
        train, test = (_read_idx_pair(folder, part) for part in _IDX_PARTS)
        return train, test
    subfolder, training = _CIFAR_FILES[name]
    paths = [_find(name, folder, subfolder, file) for file in (*training, _CIFAR_TEST[name])]
    *parts, test = (read_cifar(path, fine=name == "cifar100") for path in paths)
    images, labels = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
    return (images, labels.astype(np.int64)), test


def read_cifar(path: Path, *, fine: bool) -> Images:
    """Return the images and labels of one binary file.

    A record is the label, one byte (CIFAR-100: the coarse and the fine one, of which the fine is
    taken), and 3072 bytes: 32 x 32 of red, then of green, then of blue.
    """
    raw = np.frombuffer(path.read_bytes(), np.uint8)
    head, classes = (2, 100) if fine else (1, 10)
    size = head + 3 * 32 * 32
    if raw.size == 0 or raw.size % size:
        raise ValueError(f"{path} must hold records of {size} bytes, got {raw.size} bytes")
    records = raw.reshape(-1, size)
    labels = records[:, head - 1].astype(np.int64)
    _check_labels(path, labels, classes)
    return records[:, head:].reshape(-1, 3, 32, 32), labels


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Return the array of an idx file of unsigned bytes, packed by gzip or not."""
    content = path.read_bytes()
    if path.suffix == ".gz":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{path} must be a whole gzip file: {error}") from error
    start = 4 + 4 * dimensions
    magic = bytes([0, 0, _UNSIGNED_BYTE, dimensions])
    if len(content) < start or content[:4] != magic:
        found = content[:4].hex()
        raise ValueError(f"{path} must begin with the bytes {magic.hex()}, got {found}")
    shape = [int(size) for size in np.frombuffer(content, ">u4", dimensions, 4)]
    if len(content) != start + math.prod(shape):
        told = f"{start + math.prod(shape)} bytes for the shape {tuple(shape)}"
        raise ValueError(f"{path} must have {told}, got {len(content)}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _read_idx_pair(folder: Path, part: str) -> Images:
    name = "fashion-mnist"
    paths = [
        _find(name, folder, name, f"{part}-{what}-ubyte") for what in ("images-idx3", "labels-idx1")
    ]
    images, labels = read_idx(paths[0], 3), read_idx(paths[1], 1).astype(np.int64)
    side = _SIDE[name]
    if images.shape[1:] != (side, side):
        raise ValueError(f"{paths[0]} must have {side} x {side} images, got {images.shape[1:]}")
    if len(images) != len(labels) or not len(labels):
        told = f"as many labels as {paths[0].name} has images, {len(images)}, and not none"
        raise ValueError(f"{paths[1]} must have {told}, got {len(labels)}")
    _check_labels(paths[1], labels, 10)
    return images[:, None], labels


def _find(name: str, folder: Path, subfolder: str, file: str) -> Path:
    for place in (folder, folder / subfolder):
        for path in (place / file, place / f"{file}.gz"):
            if path.is_file() and (path.suffix != ".gz" or name == "fashion-mnist"):
                return path
    pickles = ("cifar-*-batches-py", "cifar-*-python") if SOURCES[name] == CIFAR else ()
    pickled = [path for pattern in pickles for path in folder.glob(pattern)]
    hint = "; the Python version, pickles, is never read" if pickled else ""
    raise FileNotFoundError(
        f"{folder} must hold {file}, which is to be had at {SOURCES[name]}{hint}"
    )


def _check_labels(path: Path, labels: NDArray[np.int64], classes: int) -> None:
    if labels.max() >= classes:
        raise ValueError(f"{path} must have labels below {classes}, got {labels.max()}")
