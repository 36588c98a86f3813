"""Writes spec/vectors: only what reference and oracle agree on.

Run as `python -m tuned_contrastive.reference.make_vectors [DIR]`.
"""

import hashlib
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuned_contrastive.reference.agreement import disagreement
from tuned_contrastive.reference.bounds import bounds
from tuned_contrastive.reference.cases import Input, inputs
from tuned_contrastive.reference.citations import clauses_of
from tuned_contrastive.reference.pairs import Float64
from tuned_contrastive.reference.portable import (
    dump,
    input_digest,
    portable,
    portable_bound,
    portable_labels,
)
from tuned_contrastive.reference.rejects import rejects
from tuned_contrastive.spec import contract, tolerance

FOLDER = Path(__file__).parents[1] / "spec" / "vectors"
SHARP = 300
"""A quantity nowhere above this many times its bound and the smallest normal number is flagged: it
cannot tell a fault from rounding, or from flushing to 0."""


def main(folder: Path) -> None:
    """Write every vector file and the manifest to `folder`, with progress on standard error."""
    families: dict[str, list[dict[str, Any]]] = {}
    for item in inputs():
        family = families.setdefault(item.family, [])
        family.append(vector(item, f"{item.family}-{len(family) + 1:03d}"))
        sys.stderr.write(f"\r{family[-1]['id']:<20}")
    families["reject"] = rejects()
    refuse_other_inputs(families)
    files = {}
    for name, vectors in families.items():
        text = dump(vectors)
        (folder / f"{name}.json").write_text(text, encoding="utf-8")
        digest = hashlib.sha256(text.encode()).hexdigest()
        inputs_of = {vector["id"]: input_digest(vector) for vector in vectors}
        files[f"{name}.json"] = {"count": len(vectors), "sha256": digest, "inputs": inputs_of}
    manifest = {
        "spec_version": contract.SPEC_VERSION,
        "count": sum(len(v) for v in families.values()),
        "files": files,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    (folder / "coverage.md").write_text(coverage(families), encoding="utf-8")
    sys.stderr.write("\n")


def refuse_other_inputs(families: dict[str, list[dict[str, Any]]]) -> None:
    """Raise ValueError where an id of the committed manifest would get another input or none."""
    committed = json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))["files"]
    made = {v["id"]: input_digest(v) for vectors in families.values() for v in vectors}
    for entry in committed.values():
        for name, digest in entry["inputs"].items():
            if made.get(name) != digest:
                raise ValueError(f"ids are permanent: {name} must keep its input")


def vector(item: Input, name: str) -> dict[str, Any]:
    """Return one vector as it is written."""
    wide = item.wide_labels
    labels = item.labels if wide is None else np.array(wide, _wide_dtype(wide))
    shape = item.embeddings.shape
    given = np.asarray(item.upstream, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        expected = _expected(item, labels, given)
        allowed = bounds(item.loss, item.embeddings, labels, upstream=given, **item.parameters)
    exponent = float(allowed.pop("exponent"))
    dtypes = [dtype for dtype in item.dtypes if _first_order(exponent, dtype)]
    if "non-finite" in item.flags:
        allowed = {name: np.zeros_like(value) for name, value in expected.items()}
    return {
        "id": name,
        "loss": item.loss,
        "clauses": clauses_of(item, labels),
        "flags": list(item.flags),
        "source": item.source,
        "dtypes": dtypes,
        "embeddings": portable(item.embeddings),
        "labels": None if labels is None else portable_labels(labels),
        "parameters": item.parameters,
        "upstream": portable(given),
        "expected": {key: portable(value) for key, value in expected.items()},
        "bounds": {key: portable_bound(value) for key, value in allowed.items()},
        "quantity_flags": quantity_flags(expected, allowed, dtypes, shape[-1]),
    }


def _expected(item: Input, labels: Any, upstream: Any) -> dict[str, Any]:
    """Return the oracle's values; ArithmeticError where the reference does not agree."""
    arguments = {"labels": labels, "upstream": upstream, **item.parameters}
    none = item.parameters["reduction"] == "none"
    if "non-finite" in item.flags:  # NUM-12 leaves nothing to compute
        per_anchor = _not_a_number(labels)
        return {"loss": per_anchor if none else per_anchor.sum(), "per_anchor": per_anchor}
    exact, _, share = disagreement(item.loss, item.embeddings, **arguments)
    if not share <= 1:
        raise ArithmeticError(f"reference and oracle must agree, got {share} for {item}")
    values = {
        "loss": np.array(exact.loss, dtype=np.float64).reshape(
            item.embeddings.shape[:-1] if none else ()
        ),
        "per_anchor": np.array(exact.per_anchor, dtype=np.float64),
        "embeddings": np.array(exact.embeddings, np.float64).reshape(item.embeddings.shape),
        "temperature": np.float64(exact.temperature),
    }
    if item.loss == "tcl":
        values |= {"k1": np.float64(exact.k1), "k2": np.float64(exact.k2)}
    return values


def _not_a_number(labels: NDArray[Any]) -> Float64:
    """Return NaN for every anchor with a positive and 0 elsewhere (NUM-12), for (N, D)."""
    return np.where((labels[:, None] == labels).sum(axis=1) > 1, np.nan, 0.0)


def quantity_flags(
    expected: dict[str, Any], allowed: dict[str, Any], dtypes: list[str], columns: int
) -> dict[str, str]:
    """Return a flag for every quantity that is nowhere above SHARP of its bounds."""
    wide = contract.COMPUTE_DTYPES.get("float32" if "float32" in dtypes else "float64", "float64")
    u, flags = tolerance.UNIT_ROUNDOFF[wide], {}
    for name, bound in allowed.items():
        value = np.abs(np.asarray(expected[name], dtype=np.float64))
        if name == "embeddings":
            value = np.hypot.reduce(value.reshape(-1, columns), axis=1)
        if not np.isfinite(value).all():
            flags[name] = "non-finite"
        elif not value.any():
            flags[name] = "zero"
        elif not (value > SHARP * (u * np.asarray(bound) + tolerance.SMALLEST[wide])).any():
            flags[name] = "ill-conditioned"
    return flags


def _first_order(exponent: float, dtype: str) -> bool:
    u = tolerance.UNIT_ROUNDOFF[contract.COMPUTE_DTYPES[dtype]]
    return not exponent * u >= tolerance.MAX_EXPONENT_ERROR


def _wide_dtype(labels: tuple[int, ...]) -> str:
    return "uint64" if max(labels) >= 2**63 else "int64"


def coverage(families: dict[str, list[dict[str, Any]]]) -> str:
    """Return the table of flags against dtypes, with the number of vectors in each cell."""
    dtypes = list(contract.COMPUTE_DTYPES)
    counts = Counter(
        (flag, dtype)
        for vectors in families.values()
        for v in vectors
        for flag in v["flags"]
        for dtype in v.get("dtypes", ())
    )
    lines = [
        "# Coverage",
        "",
        "Generated. Vectors per edge and dtype; a value vector serves each of its dtypes.",
        "",
        f"| edge | {' | '.join(dtypes)} |",
        "|---|" + "---|" * len(dtypes),
    ]
    for flag in dict.fromkeys(flag for flag, _ in counts):
        cells = " | ".join(str(counts[flag, dtype]) for dtype in dtypes)
        lines.append(f"| {flag} | {cells} |")
    lines += ["", f"Must-reject vectors: {len(families['reject'])}."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
