"""Both losses and their gradients in plain NumPy, one small step per method, for mutants to break.

Written from the specification alone: it shares no formula with the reference.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from tuned_contrastive.conformance.adapters import native
from tuned_contrastive.conformance.mutants.batch import Array, Batch, describe, rounded
from tuned_contrastive.conformance.protocol import DTYPES, TILES, Capabilities, Case, Outcome
from tuned_contrastive.spec import contract

DEFAULTS = {"temperature": 0.1, "k1": 5000.0, "k2": 1.0, "normalize": True, "reduction": "mean"}


def claims(**given: Any) -> Capabilities:
    """Return what a mutant claims: the plain call of SupCon in float64, but for what is given."""
    return Capabilities(**{"losses": frozenset({"supcon"}), "dtypes": ("float64",), **given})


class Plain:
    """A right implementation; a mutant overrides one step."""

    name = "plain"
    breaks: ClassVar[str] = ""
    """The clause that a mutant breaks."""
    capabilities = Capabilities(
        dtypes=DTYPES,
        modes=("eager", "compiled", "mixed", "module", *TILES),
        errors="text",
        features=frozenset({"defaults", "native-labels", "learnable", "mixed-precision"}),
    )

    @np.errstate(all="ignore")
    def loss(self, case: Case) -> Outcome:
        """Return the loss alone."""
        return _outcome(self.reduce(self.forward(case)))

    @np.errstate(all="ignore")
    def gradients(self, case: Case, upstream: Array) -> Outcome:
        """Return the loss and its gradients."""
        b = self.forward(case)
        b.w = self.weights(b, upstream)
        g = self.gradient_in_z(b, self.responses(b))
        rows = self.project(b, g) if b.given["normalize"] else self.unprojected(b, g)
        scalars = {"temperature": self.in_temperature(b)}
        if case.loss == "tcl":
            scalars |= {"k1": self.in_k1(b), "k2": self.in_k2(b)}
        return self.outcome(b, self.reduce(b), rows.reshape(case.embeddings.shape), scalars)

    def loss_with_labels_as(self, kind: str, case: Case) -> Outcome:
        """Return the loss with labels as an array or as a list."""
        assert case.labels is not None
        labels = case.labels.tolist() if kind == "list" else case.labels
        return self.loss(Case(**{**vars(case), "labels": np.asarray(labels)}))

    def call(self, loss: str, arguments: Mapping[str, Any]) -> object:
        """Check arguments made from portable descriptions."""
        given = {name: native(value, np.ones) for name, value in arguments.items()}
        scalars = ("temperature",) if loss == "supcon" else ("temperature", "k1", "k2")
        known = {name: DEFAULTS[name] for name in (*scalars, "normalize", "reduction")}
        unknown = set(given) - {"embeddings", "labels", *known}
        if unknown:
            raise TypeError(f"got an unexpected keyword argument {unknown.pop()!r}")
        self.check({**known, **given})
        return None

    def call_in_32_bits(self, loss: str, arguments: Mapping[str, Any]) -> object:
        """Check as `call` does, and refuse labels that 32 bits do not hold (INP-28)."""
        self.call(loss, arguments)
        labels = native(arguments["labels"], np.ones)
        low, high = int(np.min(labels)), int(np.max(labels))
        if low < -(2**31) or high >= 2**32 or (low < 0 and high >= 2**31):
            raise ValueError(f"labels must fit 32 bits, got {low} to {high}")
        return None

    def product_precisions(self, case: Case, precision: str | None) -> frozenset[str]:
        """Return what products ask for (NUM-18)."""
        return frozenset({precision or "highest"})

    def check(self, given: dict[str, Any]) -> None:
        """Refuse wrong arguments."""
        contract.check_arguments(describe, **given)

    @np.errstate(all="ignore")
    def forward(self, case: Case) -> Batch:
        """Take the steps up to the losses of the anchors."""
        b = Batch(case, self.parameters(case), self.read_rows(case))
        b.classes = self.read_classes(case)
        b.z, b.norms = self.normalise(b) if b.given["normalize"] else self.unnormalised(b)
        b.s = self.similarities(b)
        b.positives, b.negatives = self.sets(b)
        b.log_D = self.log_denominator(b, self.exponents(b))
        b.losses = self.anchor_losses(b)
        return b

    def parameters(self, case: Case) -> dict[str, Any]:
        """Return every parameter as the formulas use it."""
        supcon = {"k1": 0.0, "k2": 1.0} if case.loss == "supcon" else {}
        return {**DEFAULTS, **case.parameters, **supcon}

    def read_rows(self, case: Case) -> Array:
        """Return x in the dtype to compute in; (N, D)."""
        dtype = contract.COMPUTE_DTYPES[case.dtype]
        return np.asarray(case.embeddings.reshape(-1, case.embeddings.shape[-1]).astype(dtype))

    def read_classes(self, case: Case) -> Array:
        """Return one class per row; (N,)."""
        views = case.embeddings.shape[1] if case.embeddings.ndim == 3 else 1
        labels = case.labels if case.labels is not None else np.arange(len(case.embeddings))
        return np.repeat(labels, views)

    def normalise(self, b: Batch) -> tuple[Array, Array]:
        """Return z and ||x_i||, which is infinite for a zero row; (N, D), (N,)."""
        largest = np.abs(b.x).max(axis=1)
        scaled = b.x / np.where(largest > 0, largest, 1)[:, None]
        lengths = np.sqrt((scaled * scaled).sum(axis=1))
        norms = largest * lengths
        zero = norms.astype(np.float64) < 1e-12
        z = np.where(zero[:, None], 0, scaled / np.where(zero, 1, lengths)[:, None])
        return z.astype(b.x.dtype), np.where(zero, np.inf, norms).astype(b.x.dtype)

    def unnormalised(self, b: Batch) -> tuple[Array, Array]:
        """Return z = x and norms that are not used."""
        return b.x, np.ones(len(b.x), b.x.dtype)

    def similarities(self, b: Batch) -> Array:
        """Return s, all NaN where a number is not finite; (N, N)."""
        if not np.isfinite(b.x).all():  # NUM-12
            return np.full((len(b.x), len(b.x)), np.nan, b.x.dtype)
        return np.asarray(b.z @ b.z.T)

    def sets(self, b: Batch) -> tuple[Array, Array]:
        """Return whether j is in P(i), in N(i); (N, N)."""
        same = b.classes[:, None] == b.classes[None, :]
        return same & ~np.eye(len(b.x), dtype=bool), ~same

    def exponents(self, b: Batch) -> tuple[Array, Array, Array]:
        """Return the exponents of the three terms of D_i, -inf where there is none; (N, N)."""
        t = b.s / b.T
        return (
            np.where(b.positives, t, -np.inf),
            np.where(b.positives, np.log(b.s.dtype.type(b.k1)) - b.s, -np.inf),
            np.where(b.negatives, t + np.log(b.s.dtype.type(b.k2)), -np.inf),
        )

    def maximum(self, b: Batch, terms: tuple[Array, ...]) -> Array:
        """Return what is subtracted from the exponents; (N,)."""
        largest = np.max([term.max(axis=1) for term in terms], axis=0)
        return np.where(b.anchors, largest, 0)

    def log_denominator(self, b: Batch, terms: tuple[Array, ...]) -> Array:
        """Return log D_i; (N,)."""
        M = self.maximum(b, terms)
        total = np.sum([np.exp(term - M[:, None]).sum(axis=1) for term in terms], axis=0)
        return np.asarray(M + np.log(total))

    def mean_of_positives(self, b: Batch) -> Array:
        """Return the mean of s_ip/T over P(i); (N,)."""
        total = np.where(b.positives, b.s / b.T, 0).sum(axis=1)
        return np.asarray(total / b.counts.astype(b.s.dtype))

    def anchor_losses(self, b: Batch) -> Array:
        """Return l_i, 0 where P(i) is empty; (N,)."""
        return np.where(b.anchors, b.log_D - self.mean_of_positives(b), 0)

    def reduce(self, b: Batch) -> Array:
        """Return the reduced loss."""
        if b.given["reduction"] == "none":
            return b.losses.reshape(b.case.embeddings.shape[:-1])
        total = b.losses.sum()
        return np.asarray(total if b.given["reduction"] == "sum" else total / self.divisor(b))

    def divisor(self, b: Batch) -> Any:
        """Return by what the mean divides."""
        return b.x.dtype.type(max(int(b.anchors.sum()), 1))

    def weights(self, b: Batch, upstream: Array) -> Array:
        """Return w; (N,)."""
        w = np.broadcast_to(upstream.reshape(-1), len(b.x)).astype(b.x.dtype)
        w = w / self.divisor(b) if b.given["reduction"] == "mean" else w
        return np.where(b.anchors, w, 0)

    def shares(self, b: Batch) -> tuple[Array, Array, Array]:
        """Return the shares in D_i of the three terms; (N, N) each."""
        rows = b.anchors[:, None]
        first, second, third = (
            np.where(rows & (term > -np.inf), np.exp(term - b.log_D[:, None]), 0)
            for term in self.exponents(b)
        )
        return first, second, third

    def responses(self, b: Batch) -> Array:
        """Return dl_i/ds_ij; (N, N)."""
        p, q, n = self.shares(b)
        mean = b.positives / (b.T * b.counts.astype(b.s.dtype))[:, None]
        return np.asarray(p / b.T - q + n / b.T - mean).astype(b.s.dtype)

    def gradient_in_z(self, b: Batch, responses: Array) -> Array:
        """Return dL/dz; (N, D)."""
        G = b.w[:, None] * responses
        return np.asarray((G + G.T) @ b.z)

    def project(self, b: Batch, g: Array) -> Array:
        """Return dL/dx of normalised rows; (N, D)."""
        return np.asarray((g - (g * b.z).sum(axis=1)[:, None] * b.z) / b.norms[:, None])

    def unprojected(self, b: Batch, g: Array) -> Array:
        """Return dL/dx of rows that are taken as they are; (N, D)."""
        return g

    def in_temperature(self, b: Batch) -> Array:
        """Return dL/dT."""
        p, _, n = self.shares(b)
        mean = np.where(b.positives, b.s, 0).sum(axis=1) / b.counts.astype(b.s.dtype)
        inner = mean - ((p + n) * b.s).sum(axis=1)
        return np.asarray((np.where(b.w == 0, 0, b.w * inner) / b.T / b.T).sum())

    def in_k1(self, b: Batch) -> Array:
        """Return dL/dk1, which log k1 has no part in."""
        return self._weighed(b, np.where(b.positives, np.exp(-b.s - b.log_D[:, None]), 0))

    def in_k2(self, b: Batch) -> Array:
        """Return dL/dk2, which log k2 has no part in."""
        return self._weighed(b, np.where(b.negatives, np.exp(b.s / b.T - b.log_D[:, None]), 0))

    def outcome(self, b: Batch, loss: Array, rows: Array, scalars: dict[str, Array]) -> Outcome:
        """Return the gradients in the dtypes in which the caller has them."""
        stored, name = rows.astype(b.x.dtype), self.gradient_dtype(b)
        if name in ("bfloat16", "float16"):
            stored = rounded(stored, name)
        found: dict[str, Any] = {k: np.asarray(v, np.float64) for k, v in scalars.items()}
        return Outcome(
            np.asarray(loss, np.float64),
            stored.astype(np.float64),
            **found,
            loss_dtype=str(loss.dtype),
            gradient_dtype=name,
        )

    def gradient_dtype(self, b: Batch) -> str:
        """Return the dtype of the gradient in the embeddings."""
        return b.case.dtype

    @staticmethod
    def _weighed(b: Batch, shares: Array) -> Array:
        sums = shares.sum(axis=1)
        return np.asarray(np.where(b.w == 0, 0, b.w * sums).sum())


def _outcome(loss: Array) -> Outcome:
    return Outcome(np.asarray(loss, np.float64), loss_dtype=str(loss.dtype))
