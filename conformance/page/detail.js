// The detail beside the matrix: of a cell, of a clause or of an implementation.

let selected = null;

function open(one) {
  selected?.removeAttribute("aria-selected");
  selected = one;
  selected.setAttribute("aria-selected", "true");
  const closing = make("button", { type: "button", class: "close", "aria-label": "Close" }, "×");
  closing.addEventListener("click", close);
  detail.replaceChildren(...one.show(), closing);
  detail.hidden = false;
  detail.scrollTop = 0;
  document.body.classList.add("open");
}

function close() {
  if (detail.hidden) return;
  detail.hidden = true;
  document.body.classList.remove("open");
  selected.removeAttribute("aria-selected");
  tabStop().focus();
}

const title = (...inside) => make("h2", { id: "detail-title", tabindex: -1 }, ...inside);

function prose(id) {
  const parts = clauses[id].split("`").map((part, k) => (k % 2 ? make("code", {}, part) : part));
  return make("p", { class: "text" }, ...parts);
}

function showCell(id, k) {
  const found = ended[k].get(id);
  const entry = results[k];
  const status = found?.status ?? "not-run";
  const meaning = statuses[status]?.[1] ?? "this run was not asked for it";
  const shown = [title(`${id}, ${entry.target}`, marked("span", status)), prose(id)];
  shown.push(make("p", { class: "meaning" }, meaning));
  if (found?.reason) shown.push(make("p", { class: `reason ${status}` }, found.reason));
  if (found && found.worst_ratio !== null) shown.push(worst(found.worst_ratio));
  const cases = casesOf(entry, id);
  if (!cases.length) return shown;
  return [...shown, make("h3", {}, counted(cases.length, "case")), ...caseList(entry, cases)];
}

function worst(share) {
  const times = Number(share) > 1 ? "times" : "of";
  const told = `${digits(share)} ${times} the allowed error, at worst`;
  return make("p", { class: "worst" }, bar(share), make("span", {}, told));
}

function showClause(id) {
  const list = results.map((entry, k) => {
    const status = ended[k].get(id)?.status ?? "not-run";
    return make("li", { class: "plain" }, entry.target, marked("span", status));
  });
  return [title(id), prose(id), make("h3", {}, "Implementations"), make("ul", {}, ...list)];
}

function showTarget(entry) {
  const told = Object.keys(statuses).flatMap((status) => {
    const n = entry.clauses.filter((clause) => clause.status === status).length;
    return n ? [make("li", { class: "plain" }, mark(status), `${n} ${word(status)}`)] : [];
  });
  const notes = entry.notes.map((note) => make("p", {}, note));
  const shown = [title(entry.target)];
  shown.push(make("p", {}, `${verdict(entry)}, ${counted(entry.cases, "case")}`));
  shown.push(make("h3", {}, "Clauses"), make("ul", {}, ...told));
  if (entry.telling.length) {
    shown.push(make("h3", {}, "Most telling"), make("p", {}, entry.telling.join(", ")));
  }
  if (notes.length) shown.push(make("h3", {}, "Notes"), ...notes);
  return [...shown, make("h3", {}, "Judge it again"), command(entry.reproduce)];
}
