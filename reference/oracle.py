"""A second truth: 60 digits from the definition alone, derivatives by numerical differentiation.

Shares nothing with the rest of the reference (NUM-14, NUM-15, GRD-13). Arguments must be valid.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from mpmath import mp, mpf

WORKING_DIGITS = 240
"""Carried while differencing, so that derivatives keep 60 digits too."""
STEP = 75
"""Central differences step by 10^-STEP of an argument's scale: their error is near 10^-150."""

ZERO = mpf(0)
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
        sums = batch.sums()
        per_anchor = batch.losses(sums)
        reduced, w = batch.reduction(per_anchor, reduction, upstream)
        table = _Table.of(batch)
        gradient = [
            [table.derivative(w, i, d) for d in range(len(batch.x[0]))] for i in range(len(batch.x))
        ]
        names = ("T", "k1", "k2") if loss == "tcl" else ("T",)
        scalars = {name: _scalar_derivative(batch, name, w, sums) for name in names}
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
        v += [ZERO] * (3 - len(names))
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

    def z(self) -> Matrix:
        """Return every z_i."""
        lengths = [self.length(row) for row in self.x]
        return [[a / r for a in row] for row, r in zip(self.x, lengths, strict=True)]

    def length(self, row: list[Any]) -> Any:
        """Return what SUP-1 to SUP-3 divide a row by; infinity makes it 0."""
        length = mp.sqrt(mp.fdot(row, row)) if self.normalize else mpf(1)
        return length if length >= mpf("1e-12") else mpf("inf")

    def positives(self, i: int) -> list[int]:
        """Return P(i)."""
        return [j for j, c in enumerate(self.classes) if c == self.classes[i] and j != i]

    def parts(self, i: int, j: int, s: Any) -> list[Any]:
        """Return what the pair i != j adds in both its rows: to S, Q, M and the sum of s over P."""
        e = mp.exp(s / self.T)
        is_positive = self.classes[i] == self.classes[j]
        return [e, mp.exp(-s), ZERO, s] if is_positive else [ZERO, ZERO, e, ZERO]

    def denominator(self, S: Any, Q: Any, M: Any) -> Any:
        """Return D_i of TCL-1 from its three sums, or what one pair adds to it."""
        return S + self.k1 * Q + self.k2 * M

    def sums(self) -> Matrix:
        """Return S_i, Q_i, M_i and the sum of s over P(i), for every i."""
        z = self.z()
        sums = [[ZERO] * 4 for _ in z]
        for i, j in combinations(range(len(z)), 2):
            parts = self.parts(i, j, mp.fdot(z[i], z[j]))
            for row in (i, j):
                sums[row] = [a + b for a, b in zip(sums[row], parts, strict=True)]
        return sums

    def losses(self, sums: Matrix | None = None) -> list[Any]:
        """Every l_i; 0 where P(i) is empty."""
        losses = []
        for i, (*parts, s) in enumerate(sums or self.sums()):
            P, D = self.positives(i), self.denominator(*parts)
            losses.append(_minus(mp.log(D), s / self.T / len(P)) if P else ZERO)
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
        w = [mpf(g) / count if a else ZERO for g, a in zip(per_anchor, is_anchor, strict=True)]
        return (losses if word == "none" else sum(losses) / count), w


@dataclass(frozen=True)
class _Table:
    """The pairs of a batch, so that moving one entry costs N terms instead of N^2."""

    batch: _Batch
    z: Matrix
    products: Matrix
    """products[i][j] = x_i . z_j."""
    others: Matrix
    """others[j][i]: D_j without the term of i, summed without any subtraction."""
    positives: list[list[int]]

    @classmethod
    def of(cls, batch: _Batch) -> "_Table":
        n, z = len(batch.x), batch.z()
        terms = [[ZERO] * n for _ in z]
        for i, j in combinations(range(n), 2):
            S, Q, M, _ = batch.parts(i, j, mp.fdot(z[i], z[j]))
            terms[i][j] = terms[j][i] = batch.denominator(S, Q, M)
        others = []
        for row in terms:
            before, after = [ZERO], [ZERO]
            for k in range(n - 1):
                before.append(before[-1] + row[k])
                after.append(after[-1] + row[n - 1 - k])
            others.append([before[i] + after[n - 1 - i] for i in range(n)])
        products = [[mp.fdot(x, other) for other in z] for x in batch.x]
        return cls(batch, z, products, others, [batch.positives(i) for i in range(n)])

    def derivative(self, w: list[Any], i: int, d: int) -> Any:
        """Return d sum_j w_j l_j / dx_id by a central difference; 0 for a zero row (SUP-2)."""
        if self.batch.normalize and not any(self.z[i]):
            return ZERO
        h = self._step(i)
        up, down = (self._weighted(w, i, self._moved(i, d, sign * h)) for sign in (1, -1))
        return _difference(up, down, h)

    def _moved(self, i: int, d: int, h: Any) -> list[Any]:
        """Return s_ij for all j with h added to x_id."""
        row = self.batch.x[i]
        length = self.batch.length([*row[:d], row[d] + h, *row[d + 1 :]])
        return [(own + h * z[d]) / length for own, z in zip(self.products[i], self.z, strict=True)]

    def _weighted(self, w: list[Any], i: int, s: list[Any]) -> Any:
        """Return the part of sum_j w_j l_j that depends on row i, with these similarities of it."""
        total, D, by_weight = ZERO, ZERO, {w[i]: mpf(1)}
        for j in range(len(s)):
            if j == i:
                continue
            S, Q, M, own = self.batch.parts(i, j, s[j])
            term = self.batch.denominator(S, Q, M)
            D += term
            if w[j]:  # equal weights share one logarithm, of a product
                by_weight[w[j]] = by_weight.get(w[j], mpf(1)) * (self.others[j][i] + term)
            if j in self.positives[i]:  # then i is in P(j), and both sets have the same size
                total -= (w[i] + w[j]) * own / self.batch.T / len(self.positives[i])
        if w[i]:
            by_weight[w[i]] *= D
        return total + sum(weight * mp.log(D) for weight, D in by_weight.items())

    def _step(self, i: int) -> Any:
        """Return a step that changes no exponent by more than about 10^-STEP."""
        if self.batch.normalize:
            norm = mp.sqrt(mp.fdot(self.batch.x[i], self.batch.x[i]))
            return norm * min(mpf(1), self.batch.T) * mpf(10) ** -STEP
        longest = max(mp.sqrt(mp.fdot(z, z)) for z in self.z)
        return min(mpf(1), self.batch.T) / max(longest, mpf(1)) * mpf(10) ** -STEP


def _scalar_derivative(batch: _Batch, name: str, w: list[Any], sums: Matrix) -> Any:
    """Return d sum_i w_i l_i / dT, dk1 or dk2 by a central difference."""
    value = getattr(batch, name)
    h = _scalar_step(batch, name, sums)
    up, down = (
        mp.fdot(w, moved.losses(None if name == "T" else sums))
        for moved in (replace(batch, **{name: value + sign * h}) for sign in (1, -1))
    )
    return _difference(up, down, h)


def _scalar_step(batch: _Batch, name: str, sums: Matrix) -> Any:
    """Return a step small against the scale on which the losses bend."""
    if name == "T":
        longest = max(mp.fdot(z, z) for z in batch.z())
        return batch.T * min(mpf(1), batch.T / max(longest, mpf(1))) * mpf(10) ** -STEP
    # D_i is affine in k: log D_i bends on the scale of D_i over its slope. k + 1/response is at
    # most twice the smallest of these scales, and the step far below it.
    return mpf(10) ** (-STEP) * (getattr(batch, name) + 1 / _response(batch, name, sums))


def _response(batch: _Batch, name: str, sums: Matrix) -> Any:
    """Return an upper estimate of every D_i's relative slope in k1 or k2: the largest, or 1."""
    column = 1 if name == "k1" else 2
    anchors = [row[:3] for i, row in enumerate(sums) if batch.positives(i)]
    return max([mpf(1), *(row[column] / batch.denominator(*row) for row in anchors)])


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
    return ZERO if abs(a - b) <= noise else a - b
