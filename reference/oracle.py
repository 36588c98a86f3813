"""A second truth: 60 digits from the definition alone, derivatives by numerical differentiation.

Shares nothing with the rest of the reference (NUM-14, NUM-15, GRD-13). Arguments must be valid.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from mpmath import mp, mpf

WORKING_DIGITS = 240
"""Carried while differencing, so that derivatives keep 60 digits too."""
STEP = 75
"""Central differences step by 10^-STEP of an argument's scale: their error is near 10^-150."""

Matrix = list[list[Any]]


@dataclass(frozen=True)
class Exact:
    """Values as mpmath numbers; rows and anchors are flat, in row-major order."""

    loss: Any
    per_anchor: list[Any]
    embeddings: Matrix
    temperature: Any
    k1: Any
    k2: Any


def evaluate(
    loss: str,
    embeddings: Any,
    labels: Sequence[int] | None,
    *,
    temperature: float,
    k1: float = 0.0,
    k2: float = 1.0,
    normalize: bool = True,
    reduction: str = "mean",
    upstream: Any = 1.0,
) -> Exact:
    """Return the loss, all l_i, and the gradients of <upstream, loss>, k1 and k2 None for SupCon.

    `embeddings` is a NumPy array (N, D) or (B, V, D), `upstream` a number or an array of the
    shape of the loss.
    """
    with mp.workdps(WORKING_DIGITS):
        batch = _Batch.read(loss, embeddings, labels, temperature, k1, k2, normalize)
        per_anchor = batch.losses()
        reduced, w = batch.reduction(per_anchor, reduction, upstream)
        table = _Table.of(batch)
        gradient = [
            [table.derivative(w, i, d) for d in range(len(batch.x[0]))] for i in range(len(batch.x))
        ]
        names = ("T", "k1", "k2") if loss == "tcl" else ("T",)
        scalars = {name: _scalar_derivative(batch, name, w) for name in names}
    return Exact(
        reduced,
        per_anchor,
        gradient,
        scalars["T"],
        scalars.get("k1"),
        scalars.get("k2"),
    )


def hessian_vector_product(
    loss: str,
    embeddings: Any,
    labels: Sequence[int] | None,
    *,
    temperature: float,
    k1: float = 0.0,
    k2: float = 1.0,
    normalize: bool = True,
    reduction: str = "mean",
    direction: Mapping[str, Any],
) -> dict[str, Any]:
    """Return H v of the summed or averaged loss as floats, for N <= 6 (GRD-13).

    `direction` has `embeddings` (its shape), `temperature` and, for TCL, `k1` and `k2`; the result
    has the same keys.
    """
    with mp.workdps(2 * WORKING_DIGITS):
        base = _Batch.read(loss, embeddings, labels, temperature, k1, k2, normalize)
        flat = embeddings.reshape(-1, embeddings.shape[-1])
        v = [mpf(float(value)) for value in direction["embeddings"].reshape(-1)]
        names = ("temperature", "k1", "k2") if loss == "tcl" else ("temperature",)
        v += [mpf(float(direction[name])) for name in names]
        v += [mpf(0)] * (3 - len(names))
        point = [value for row in base.x for value in row] + [base.T, base.k1, base.k2]

        def value(arguments: list[Any]) -> Any:
            return base.at(arguments).reduction(None, reduction, 1.0)[0]

        product = [_mixed(value, point, v, index) for index in range(len(point))]
        numbers = [float(entry) for entry in product]
    result: dict[str, Any] = {
        "embeddings": np.array(numbers[: flat.size]).reshape(embeddings.shape)
    }
    result.update(zip(names, numbers[flat.size :], strict=False))
    return result


@dataclass(frozen=True)
class _Batch:
    """The definition: rows, classes and parameters, with the losses they give."""

    x: Matrix
    classes: list[int]
    T: Any
    k1: Any
    k2: Any
    normalize: bool

    @classmethod
    def read(
        cls,
        loss: str,
        embeddings: Any,
        labels: Any,
        T: float,
        k1: float,
        k2: float,
        normalize: bool,
    ) -> "_Batch":
        samples = embeddings.shape[0]
        views = embeddings.shape[1] if embeddings.ndim == 3 else 1
        names = range(samples) if labels is None else [int(label) for label in labels]
        rows = embeddings.reshape(samples * views, -1).tolist()
        k1, k2 = (0.0, 1.0) if loss == "supcon" else (k1, k2)
        return cls(
            [[mpf(value) for value in row] for row in rows],
            [name for name in names for _ in range(views)],
            mpf(T),
            mpf(k1),
            mpf(k2),
            normalize,
        )

    def at(self, point: list[Any]) -> "_Batch":
        """Return the batch with other numbers: the rows' entries, then T, k1, k2."""
        D = len(self.x[0])
        rows = [point[i * D : (i + 1) * D] for i in range(len(self.x))]
        T, k1, k2 = point[len(self.x) * D :]
        return _Batch(rows, self.classes, T, k1, k2, self.normalize)

    def z(self, row: list[Any]) -> list[Any]:
        """Return z_i, which SUP-1 to SUP-3 define."""
        if not self.normalize:
            return row
        norm = mp.sqrt(sum(value * value for value in row))
        return [mpf(0) for _ in row] if norm < mpf("1e-12") else [value / norm for value in row]

    def positives(self, i: int) -> list[int]:
        """Return P(i)."""
        return [j for j, c in enumerate(self.classes) if c == self.classes[i] and j != i]

    def term(self, i: int, j: int, s: Any) -> Any:
        """Return what the pair i != j adds to D_i, and as well to D_j."""
        if self.classes[i] == self.classes[j]:
            return mp.exp(s / self.T) + self.k1 * mp.exp(-s)
        return self.k2 * mp.exp(s / self.T)

    def losses(self) -> list[Any]:
        """Every l_i; 0 where P(i) is empty."""
        z = [self.z(row) for row in self.x]
        losses = []
        for i in range(len(z)):
            P = self.positives(i)
            s = [sum(a * b for a, b in zip(z[i], row, strict=True)) for row in z]
            D = sum(self.term(i, j, s[j]) for j in range(len(z)) if j != i)
            mean = sum(s[p] / self.T for p in P) / len(P) if P else mpf(0)
            losses.append(_minus(mp.log(D), mean) if P else mpf(0))
        return losses

    def reduction(
        self, losses: list[Any] | None, word: str, upstream: Any
    ) -> tuple[Any, list[Any]]:
        """Return the reduced loss and w_i = d<upstream, loss>/dl_i."""
        losses = self.losses() if losses is None else losses
        is_anchor = [bool(self.positives(i)) for i in range(len(losses))]
        count = max(sum(is_anchor), 1) if word == "mean" else 1
        given = upstream.reshape(-1).tolist() if hasattr(upstream, "reshape") else upstream
        per_anchor = given if isinstance(given, list) else [given] * len(losses)
        if len(per_anchor) == 1:
            per_anchor = per_anchor * len(losses)
        w = [mpf(g) / count if a else mpf(0) for g, a in zip(per_anchor, is_anchor, strict=True)]
        return (losses if word == "none" else sum(losses) / count), w


@dataclass(frozen=True)
class _Table:
    """The pairs of a batch, so that moving one row costs N terms instead of N^2."""

    batch: _Batch
    z: Matrix
    s: Matrix
    others: Matrix
    """others[j][i]: D_j without the term of i, summed without any subtraction."""
    positives: list[list[int]]

    @classmethod
    def of(cls, batch: _Batch) -> "_Table":
        n, z = len(batch.x), [batch.z(row) for row in batch.x]
        s = [[sum(a * b for a, b in zip(p, q, strict=True)) for q in z] for p in z]
        others = []
        for j in range(n):
            terms = [batch.term(j, i, s[j][i]) if i != j else mpf(0) for i in range(n)]
            before, after = [mpf(0)], [mpf(0)]
            for k in range(n - 1):
                before.append(before[-1] + terms[k])
                after.append(after[-1] + terms[n - 1 - k])
            others.append([before[i] + after[n - 1 - i] for i in range(n)])
        return cls(batch, z, s, others, [batch.positives(i) for i in range(n)])

    def derivative(self, w: list[Any], i: int, d: int) -> Any:
        """Return d sum_j w_j l_j / dx_id by a central difference; 0 for a zero row (SUP-2)."""
        row, h = self.batch.x[i], self._step(i)
        if self.batch.normalize and not any(self.z[i]):
            return mpf(0)
        up, down = ([*row[:d], row[d] + sign * h, *row[d + 1 :]] for sign in (1, -1))
        return _difference(self._weighted(w, i, up), self._weighted(w, i, down), h)

    def _weighted(self, w: list[Any], i: int, row: list[Any]) -> Any:
        """Return the part of sum_j w_j l_j that depends on row i, with that row replaced."""
        moved, T, total, D = self.batch.z(row), self.batch.T, mpf(0), mpf(0)
        for j, z in enumerate(self.z):
            if j == i:
                continue
            s = sum(a * b for a, b in zip(moved, z, strict=True))
            term = self.batch.term(i, j, s)
            D += term
            if w[j]:
                total += w[j] * mp.log(self.others[j][i] + term)
            if j in self.positives[i]:  # then i is in P(j), and both sets have the same size
                total -= (w[i] + w[j]) * s / T / len(self.positives[i])
        return total + w[i] * mp.log(D) if w[i] else total

    def _step(self, i: int) -> Any:
        """Return a step that changes no exponent by more than about 10^-STEP."""
        if self.batch.normalize:
            norm = mp.sqrt(sum(value * value for value in self.batch.x[i]))
            return norm * min(mpf(1), self.batch.T) * mpf(10) ** -STEP
        longest = max(mp.sqrt(sum(a * a for a in z)) for z in self.z)
        return min(mpf(1), self.batch.T) / max(longest, mpf(1)) * mpf(10) ** -STEP


def _scalar_derivative(batch: _Batch, name: str, w: list[Any]) -> Any:
    """Return d sum_i w_i l_i / dT, dk1 or dk2 by a central difference."""
    value = getattr(batch, name)
    h = _scalar_step(batch, name)
    up, down = (
        sum((a * b for a, b in zip(w, moved.losses(), strict=True)), mpf(0))
        for moved in (replace(batch, **{name: value + sign * h}) for sign in (1, -1))
    )
    return _difference(up, down, h)


def _scalar_step(batch: _Batch, name: str) -> Any:
    """Return a step small against the scale on which the losses bend."""
    if name == "T":
        longest = max(sum(a * a for a in batch.z(row)) for row in batch.x)
        return batch.T * min(mpf(1), batch.T / max(longest, mpf(1))) * mpf(10) ** -STEP
    # D_i is affine in k: its logarithm bends on the scale of k, and of D_i over its slope.
    return mpf(10) ** (-STEP) * (getattr(batch, name) + 1 / _response(batch, name))


def _response(batch: _Batch, name: str) -> Any:
    """Return how fast the fastest D_i grows with k1 or k2, relative to itself, or 1."""
    lone = replace(batch, k1=mpf(name == "k1"), k2=mpf(name == "k2"))
    z, fastest = [batch.z(row) for row in batch.x], mpf(1)
    for i in range(len(z)):
        if not batch.positives(i):
            continue
        own, total = mpf(0), mpf(0)
        for j in range(len(z)):
            if j != i:
                s = sum(a * b for a, b in zip(z[i], z[j], strict=True))
                total += batch.term(i, j, s)
                own += lone.term(i, j, s)
        fastest = max(fastest, own / total)
    return fastest


def _mixed(value: Callable[[list[Any]], Any], point: list[Any], v: list[Any], index: int) -> Any:
    """Return (H v)[index] by a mixed central difference."""
    h = mpf(10) ** -STEP

    def moved(a: int, b: int) -> Any:
        other = [p + b * h * direction for p, direction in zip(point, v, strict=True)]
        other[index] += a * h
        return value(other)

    return (moved(1, 1) - moved(1, -1) - moved(-1, 1) + moved(-1, -1)) / (4 * h * h)


def _difference(up: Any, down: Any, h: Any) -> Any:
    """Return the central difference."""
    return _minus(up, down) / (2 * h)


def _minus(a: Any, b: Any) -> Any:
    """Return a - b, and 0 where nothing but rounding is left of it."""
    noise = max(abs(a), abs(b), mpf(1)) * mpf(10) ** (20 - WORKING_DIGITS)
    return mpf(0) if abs(a - b) <= noise else a - b
