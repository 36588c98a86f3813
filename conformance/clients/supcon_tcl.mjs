// SupCon and TCL in JavaScript, over the protocol of spec/protocol.md: values in float64.

import { createInterface } from "node:readline";

const CLAIMS = { protocol: 1, name: "javascript", losses: ["supcon", "tcl"] };

const sum = (values) => values.reduce((total, value) => total + value, 0);
const written = (value) => (Number.isFinite(value) ? value : String(value));

function dot(a, b) {
  let total = 0;
  for (let d = 0; d < a.length; d++) total += a[d] * b[d];
  return total;
}

// Each row is first divided by its largest entry: no square overflows or vanishes (NUM-7).
function unit(row) {
  const largest = Math.max(...row.map(Math.abs));
  const scaled = row.map((value) => value / (largest || 1));
  const length = Math.sqrt(dot(scaled, scaled));
  const zero = largest * length < 1e-12;
  return scaled.map((value) => (zero ? 0 : value / length));
}

// The loss of each row, null for a row without a positive (SUP-4 to SUP-7, TCL-1 to TCL-5).
function anchorLosses(z, classes, { temperature, k1, k2 }, finite) {
  return z.map((row, i) => {
    const positives = [];
    const exponents = [];
    z.forEach((other, j) => {
      if (j === i) return;
      const s = dot(row, other);
      if (classes[j] !== classes[i]) {
        if (k2 > 0) exponents.push(Math.log(k2) + s / temperature);
        return;
      }
      positives.push(s / temperature);
      exponents.push(s / temperature);
      if (k1 > 0) exponents.push(Math.log(k1) - s);
    });
    if (positives.length === 0) return null;
    if (!finite) return NaN; // NUM-12
    const largest = Math.max(...exponents);
    const logD = largest + Math.log(sum(exponents.map((x) => Math.exp(x - largest))));
    return logD - sum(positives.map((x) => x / positives.length));
  });
}

function loss({ loss, embeddings, labels, parameters }) {
  const hasViews = Array.isArray(embeddings[0][0]);
  const views = hasViews ? embeddings[0].length : 1;
  const flat = hasViews ? embeddings.flat() : embeddings;
  const rows = flat.map((row) => row.map(Number)); // "NaN" and "Infinity" are strings
  const classes = rows.map((_, i) => (labels ? labels[Math.floor(i / views)] : Math.floor(i / views)));
  const finite = rows.every((row) => row.every(Number.isFinite));
  const z = parameters.normalize ? rows.map(unit) : rows;
  const given = loss === "supcon" ? { ...parameters, k1: 0, k2: 1 } : parameters;
  const found = anchorLosses(z, classes, given, finite);
  if (parameters.reduction === "none") {
    const values = found.map((value) => written(value ?? 0));
    if (!hasViews) return values;
    return embeddings.map((_, b) => values.slice(b * views, (b + 1) * views));
  }
  const anchors = found.filter((value) => value !== null);
  const total = sum(anchors);
  return written(parameters.reduction === "sum" ? total : total / Math.max(anchors.length, 1));
}

for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  const answer = asked.hello ? CLAIMS : { id: asked.id, loss: loss(asked) };
  process.stdout.write(JSON.stringify(answer) + "\n");
}
