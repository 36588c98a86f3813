// What the page shows, and the small parts that all of it is made of: marks, bars, words.
// Whatever comes from a run is set as text, never as markup.

const { document: report, clauses, families, statuses } = JSON.parse(
  document.getElementById("data").textContent,
);
const results = report.results;
const ids = Object.keys(clauses);
const ended = results.map((entry) => new Map(entry.clauses.map((clause) => [clause.id, clause])));
const grid = document.getElementById("matrix");
const detail = document.getElementById("detail");

function make(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function mark(status) {
  const space = "http://www.w3.org/2000/svg";
  const shape = document.createElementNS(space, "svg");
  shape.setAttribute("class", `mark ${status}`);
  shape.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(space, "use");
  use.setAttribute("href", `#shape-${status}`);
  shape.append(use);
  return shape;
}

const word = (status) => statuses[status]?.[0] ?? "not run";
const digits = (share) => {
  if (share === "Infinity") return "∞";
  return share < 1e4 ? String(+share.toPrecision(2)) : share.toExponential(1);
};
const family = (id) => id.slice(0, 3);
const counted = (n, name) => `${n.toLocaleString("en")} ${name}${n === 1 ? "" : "s"}`;

// A status is always a shape and a word: colour says nothing that they do not.
function marked(name, status) {
  const told = make("span", { class: "word" }, word(status));
  return make(name, { class: `marked ${status}` }, mark(status), told);
}

function bar(share) {
  const beyond = Number(share) > 1;
  const filled = make("i");
  filled.style.width = `${Math.min(1, Number(share)) * 100}%`;
  return make("span", { class: beyond ? "bar beyond" : "bar", "aria-hidden": "true" }, filled);
}

function verdict(entry) {
  if (entry.partial) return "partial";
  if (entry.conforming) return "conforming";
  return entry.as_declared ? "deviates as declared" : "not conforming";
}
