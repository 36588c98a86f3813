// The matrix: clauses down, implementations across, every cell with its own way to be shown.
// One cell is in the tab order, and the arrow keys move it.

const rows = []; // of the grid, as arrays of cells: the first has the implementations

function drawGrid() {
  const columns = make("colgroup", {}, make("col"));
  columns.append(...results.map(() => make("col", { class: "target" })));
  const head = make("tr", { role: "row" }, make("td", { role: "gridcell" }));
  rows.push([head.firstChild, ...results.map((entry) => targetCell(entry))]);
  head.append(...rows[0].slice(1));
  grid.style.setProperty("--targets", results.length);
  grid.append(columns, make("thead", { role: "rowgroup" }, head));
  for (const [letters, title] of Object.entries(families)) {
    const own = ids.filter((id) => family(id) === letters);
    if (own.length) grid.append(familyGroup(letters, title, own));
  }
  stopAt(rows[1][1] ?? rows[1][0]);
}

function familyGroup(letters, title, own) {
  const label = make("th", { role: "rowheader", scope: "rowgroup", colspan: results.length + 1 });
  label.append(make("b", {}, letters), title);
  const group = make("tbody", { role: "rowgroup", "aria-label": title });
  group.append(make("tr", { role: "row", class: "family" }, label));
  for (const id of own) {
    const cells = [clauseCell(id), ...results.map((_, k) => cell(id, k))];
    rows.push(cells);
    group.append(make("tr", { role: "row" }, ...cells));
  }
  return group;
}

function targetCell(entry) {
  const name = entry.target.split(/(?<=_)/).flatMap((part) => [part, make("wbr")]);
  const told = make("small", {}, verdict(entry));
  const made = make("th", { role: "columnheader", scope: "col", tabindex: -1 }, ...name, told);
  if (entry.version) told.prepend(`${entry.version}, `);
  return Object.assign(made, { show: () => showTarget(entry) });
}

function clauseCell(id) {
  const made = make("th", { role: "rowheader", scope: "row", tabindex: -1 });
  made.append(make("b", {}, id), make("span", {}, clauses[id].replaceAll("`", "")));
  return Object.assign(made, { clause: id, show: () => showClause(id) });
}

function cell(id, k) {
  const found = ended[k].get(id);
  const status = found?.status ?? "not-run";
  const told = [`${id}, ${results[k].target}: ${word(status)}`];
  const inside = found ? marked("div", status) : make("div");
  if (found?.cases) told.push(counted(found.cases, "case"));
  if (found && found.worst_ratio !== null) {
    told.push(`worst error ${digits(found.worst_ratio)} of the allowed`);
    inside.append(bar(found.worst_ratio));
  }
  const place = { "data-clause": id, "data-target": results[k].target };
  const label = { role: "gridcell", tabindex: -1, class: status, "aria-label": told.join(", ") };
  const made = make("td", { ...label, ...place }, inside);
  return Object.assign(made, { status, show: () => showCell(id, k) });
}

const visibleRows = () => rows.filter(([first]) => !first.parentNode.hidden);
const rowOf = (one) => rows.find((cells) => cells.includes(one));
const tabStop = () => grid.querySelector("[tabindex='0']");

function stopAt(one) {
  tabStop()?.setAttribute("tabindex", -1);
  one?.setAttribute("tabindex", 0);
}

function moved(key, control) {
  const visible = visibleRows();
  const row = visible.indexOf(rowOf(tabStop()));
  const column = visible[row].indexOf(tabStop());
  const last = { row: visible.length - 1, column: results.length };
  const down = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[key] ?? 0;
  const right = { ArrowRight: 1, ArrowLeft: -1 }[key] ?? 0;
  let [r, c] = [Math.min(last.row, Math.max(0, row + down)), Math.min(last.column, column + right)];
  if (key === "Home") [r, c] = [control ? 0 : row, 0];
  if (key === "End") [r, c] = [control ? last.row : row, last.column];
  return visible[r][Math.max(r === 0 ? 1 : 0, c)]; // the corner is empty
}

function onGridKey(event) {
  if (event.key === "Enter" || event.key === " ") {
    open(tabStop());
    document.getElementById("detail-title").focus({ preventScroll: true });
  } else if (/^(Arrow|Page|Home|End)/.test(event.key) && !event.altKey && !event.metaKey) {
    const target = moved(event.key, event.ctrlKey);
    stopAt(target);
    target.focus();
    target.scrollIntoView({ block: "nearest", inline: "nearest" });
    if (!detail.hidden) open(target);
  } else return;
  event.preventDefault();
}

function onGridClick(event) {
  const target = event.target.closest("[tabindex]");
  if (!target || !grid.contains(target)) return;
  stopAt(target);
  target.focus({ preventScroll: true });
  open(target);
}
