"""The data of the accuracy benchmark: standard files, splits by seed, random views."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tuned_contrastive.benchmarks.__main__ import main
from tuned_contrastive.benchmarks.accuracy import files
from tuned_contrastive.benchmarks.accuracy import views as module_of_views
from tuned_contrastive.benchmarks.accuracy.data import load
from tuned_contrastive.benchmarks.accuracy.views import views

RNG = np.random.default_rng(0)


def cifar_record(head: list[int], first: int) -> bytes:
    """Return one record whose red, green and blue begin with a number and the next two."""
    planes = [np.full(1024, first + k, np.uint8) for k in range(3)]
    return bytes(head) + b"".join(plane.tobytes() for plane in planes)


def idx(array: Any) -> bytes:
    """Return an array of bytes as an idx file."""
    rows = np.asarray(array, np.uint8)
    head = bytes([0, 0, 8, rows.ndim]) + b"".join(n.to_bytes(4, "big") for n in rows.shape)
    return head + rows.tobytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with tiny files of all three formats."""
    for k in range(1, 6):
        records = [cifar_record([label], label + 10 * k) for label in range(10)]
        (tmp_path / f"data_batch_{k}.bin").write_bytes(b"".join(records))
    (tmp_path / "test_batch.bin").write_bytes(cifar_record([3], 40) + cifar_record([9], 50))
    deep = tmp_path / "cifar-100-binary"
    deep.mkdir()
    hundred = [cifar_record([label // 5, label], label) for label in range(100)] * 5
    (deep / "train.bin").write_bytes(b"".join(hundred))
    (deep / "test.bin").write_bytes(cifar_record([19, 99], 7))
    images, labels = RNG.integers(0, 256, (50, 28, 28)), np.arange(50) % 10
    for part in ("train", "t10k"):
        packed = gzip.compress(idx(images))
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(packed)
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(idx(labels))
    return tmp_path


def test_cifar10_is_read_in_order(folder: Path) -> None:
    (images, labels), (test_images, test_labels) = files.read("cifar10", folder)
    assert images.shape == (50, 3, 32, 32)
    assert labels.tolist() == [*range(10)] * 5
    assert images[13, :, 5, 7].tolist() == [23, 24, 25]
    assert test_labels.tolist() == [3, 9]
    assert test_images[1, :, 0, 0].tolist() == [50, 51, 52]


def test_cifar100_has_the_fine_labels(folder: Path) -> None:
    (images, labels), (_, test_labels) = files.read("cifar100", folder)
    assert labels[:100].tolist() == [*range(100)]
    assert test_labels.tolist() == [99]
    assert images[42, :, 0, 0].tolist() == [42, 43, 44]


def test_fashion_mnist_is_read_packed_or_not(folder: Path) -> None:
    (images, labels), _ = files.read("fashion-mnist", folder)
    assert images.shape == (50, 1, 28, 28)
    assert labels.tolist() == [*range(10)] * 5
    packed = folder / "train-images-idx3-ubyte.gz"
    packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
    np.testing.assert_array_equal(files.read("fashion-mnist", folder)[0][0], images)


@pytest.mark.parametrize(
    ("name", "file", "content", "told"),
    [
        ("cifar10", "data_batch_2.bin", b"", "records of 3073 bytes, got 0 bytes"),
        ("cifar10", "data_batch_2.bin", bytes(3074), "records of 3073 bytes, got 3074 bytes"),
        ("cifar10", "test_batch.bin", cifar_record([10], 0), "labels below 10, got 10"),
        ("cifar100", "cifar-100-binary/train.bin", cifar_record([0, 100], 0), "below 100, got 100"),
        ("fashion-mnist", "train-labels-idx1-ubyte", idx([[1]]), "begin with the bytes 00000801"),
        ("fashion-mnist", "train-labels-idx1-ubyte", idx([1])[:-1], "must have 9 bytes for the"),
        ("fashion-mnist", "train-labels-idx1-ubyte", idx([1] * 49), "images, 50, and not none"),
        ("fashion-mnist", "train-labels-idx1-ubyte", idx([10] * 50), "labels below 10, got 10"),
        ("fashion-mnist", "t10k-images-idx3-ubyte.gz", b"no gzip", "must be a whole gzip file"),
        ("fashion-mnist", "t10k-images-idx3-ubyte", idx(np.zeros((50, 27, 28))), "28 x 28 images"),
    ],
)
def test_a_file_of_another_format_is_refused(
    name: str, file: str, content: bytes, told: str, folder: Path
) -> None:
    (folder / file).write_bytes(content)
    with pytest.raises(ValueError, match=told):
        files.read(name, folder)


def test_a_class_that_only_tests_is_refused(folder: Path) -> None:
    kept = b"".join(cifar_record([label], label) for label in range(10) if label != 3) * 9
    for k in range(1, 6):
        (folder / f"data_batch_{k}.bin").write_bytes(kept)
    (folder / "test_batch.bin").write_bytes(cifar_record([3], 40))
    with pytest.raises(ValueError, match="must hold two classes or more that train, and no others"):
        load("cifar10", 0, folder)


@pytest.mark.parametrize("name", files.SOURCES)
def test_a_missing_file_says_where_it_is_to_be_had(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"which is to be had at https://"):
        files.read(name, tmp_path)


def test_pickles_are_named_as_not_read(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-batches-py").mkdir()
    with pytest.raises(FileNotFoundError, match="the Python version, pickles, is never read"):
        files.read("cifar10", tmp_path)


def test_pickles_are_not_named_where_none_is_to_be_had(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-batches-py").mkdir()
    with pytest.raises(FileNotFoundError, match=r"github\.com/zalandoresearch/fashion-mnist$"):
        files.read("fashion-mnist", tmp_path)


def test_files_keep_their_own_test_rows(folder: Path) -> None:
    split = load("cifar10", 0, folder)
    assert (len(split.train.y), len(split.validation.y)) == (40, 10)
    assert split.test.y.tolist() == [3, 9]
    assert split.test.x.max() == pytest.approx(52 / 255)
    assert split.mirrored


def test_parts_of_a_split_share_no_row() -> None:
    split = load("breast-cancer", 3)
    rows = np.concatenate([part.x for part in (split.train, split.validation, split.test)])
    assert len(np.unique(rows, axis=0)) == len(rows) == 569


def test_tables_are_standardised_by_training_rows() -> None:
    split = load("wine", 1)
    np.testing.assert_allclose(split.train.x.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(split.train.x.std(0), 1, atol=1e-5)
    assert abs(split.test.x.mean(0)).max() > 1e-3


def test_seeds_split_anew() -> None:
    assert not np.array_equal(load("wine", 0).test.y, load("wine", 1).test.y)
    np.testing.assert_array_equal(load("wine", 1).test.x, load("wine", 1).test.x)


def test_few_digits_have_five_of_each_class() -> None:
    assert np.bincount(load("digits-few", 0).train.y).tolist() == [5] * 10


def test_imbalanced_classes_shrink_to_a_twentieth() -> None:
    counts = np.bincount(load("digits-imbalanced", 0).train.y)
    assert sorted(counts, reverse=True) == counts.tolist()
    assert counts[0] / counts[-1] == pytest.approx(20, rel=0.15)


def test_noise_is_in_three_of_ten_training_labels_and_nowhere_else() -> None:
    plain, noisy = load("digits", 2), load("digits-noisy", 2)
    np.testing.assert_array_equal(plain.train.x, noisy.train.x)
    assert np.mean(plain.train.y != noisy.train.y) == pytest.approx(0.3, abs=0.04)
    np.testing.assert_array_equal(plain.validation.y, noisy.validation.y)
    np.testing.assert_array_equal(plain.test.y, noisy.test.y)


def test_views_of_a_table_mask_a_fifth() -> None:
    torch.manual_seed(0)
    seen = views(torch.full((400, 10), 5.0), 2)
    assert (seen == 0).float().mean().item() == pytest.approx(0.2, abs=0.02)
    assert seen[seen != 0].std().item() == pytest.approx(0.3, abs=0.02)


def test_views_of_an_image_move_it_by_a_pixel_at_most() -> None:
    torch.manual_seed(0)
    x = torch.zeros(500, 1, 8, 8)
    x[:, :, 3:5, 3:5] = 1
    seen = views(x, 1).mean(0)[0]
    assert seen[3:5, 3:5].min() > 4 * seen[0].abs().max()
    assert seen[2:6, 2:6].sum().item() == pytest.approx(4, rel=0.1)


DOWN, ACROSS = (torch.arange(64) - 31.5)[:, None], (torch.arange(64) - 31.5)[None, :]
"""The coordinates of the pixels of a large image."""


def views_without(x: torch.Tensor, *left_out: str) -> torch.Tensor:
    """Return 500 views of an image in which nothing of some kinds is done to it."""
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        for name in left_out:
            patch.setattr(module_of_views, name, 0.0)
        return views(x[None, None], 500)[:, 0]


def test_views_of_an_image_are_noisy() -> None:
    seen = views_without(torch.zeros(8, 8))
    assert seen.std().item() == pytest.approx(0.1, rel=0.05)


def test_views_of_an_image_are_moved_by_an_eighth_at_most() -> None:
    x = (-(DOWN**2 + ACROSS**2) / (2 * 4**2)).exp()
    seen = views_without(x, "PIXEL_NOISE", "ROTATION")
    for axis in (DOWN, ACROSS):
        places = (seen * axis).sum((1, 2)) / seen.sum((1, 2))
        assert places.abs().max() <= 8.1
        assert places.std().item() == pytest.approx(8 / 3**0.5, rel=0.1)


def test_views_of_an_image_are_turned_by_15_degrees_at_most() -> None:
    x = (-(ACROSS**2) / (2 * 12**2) - DOWN**2 / (2 * 3**2)).exp()
    seen = views_without(x, "PIXEL_NOISE", "SHIFT")
    spread, own, both = ((seen * each).sum((1, 2)) for each in (ACROSS**2, DOWN**2, ACROSS * DOWN))
    turned = torch.rad2deg(torch.atan2(2 * both, spread - own) / 2)
    assert turned.abs().max() <= 15.5
    assert turned.std().item() == pytest.approx(15 / 3**0.5, rel=0.1)


def test_views_of_a_row_stand_together() -> None:
    torch.manual_seed(0)
    seen = views(torch.tensor([[100.0] * 40, [-100.0] * 40]), 3)
    assert seen.sum(1).sign().tolist() == [1, 1, 1, -1, -1, -1]


def test_files_are_trained_on_and_the_page_tells_of_them(folder: Path) -> None:
    output = folder / "out"
    words = ["--quick", "--datasets", "cifar10", "--data", str(folder), "--output", str(output)]
    assert main(["accuracy", *words, "--losses", "supcon", "tcl", "simclr", "tcl-2-views"]) == 0
    page = (output / "RESULTS.md").read_text(encoding="utf-8")
    assert "run for this page: cifar10." in page
    assert "half of the images are mirrored" in page
    assert "| cifar10 | CIFAR-10 | 40 | 10 | 2 |" in page
    assert "kinds of digits" not in page
