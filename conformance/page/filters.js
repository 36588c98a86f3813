// The filters: none chosen shows everything, several of a kind show any of them.

const chosen = { status: new Set(), family: new Set() };

function drawFilters() {
  const [byStatus, byFamily] = document.querySelectorAll("#filters [role=group]");
  const all = ended.flatMap((found) => [...found.values()].map((clause) => clause.status));
  for (const status of Object.keys(statuses)) {
    const n = all.filter((other) => other === status).length;
    if (n) byStatus.append(toggle("status", status, word(status), n, statuses[status][1]));
  }
  for (const [letters, title] of Object.entries(families)) {
    const n = ids.filter((id) => family(id) === letters).length;
    if (n) byFamily.append(toggle("family", letters, letters, n, title));
  }
}

function toggle(kind, value, text, count, title) {
  const made = make("button", { type: "button", "aria-pressed": "false", title });
  made.dataset.filter = value;
  if (kind === "status") made.append(mark(value));
  made.append(text, make("small", {}, String(count)));
  made.addEventListener("click", () => {
    const on = !chosen[kind].delete(value) && Boolean(chosen[kind].add(value));
    made.setAttribute("aria-pressed", String(on));
    applyFilters();
  });
  return made;
}

function applyFilters() {
  let shown = 0;
  const { status, family: letters } = chosen;
  for (const [header, ...cells] of rows.slice(1)) {
    const fits = (one) => !status.size || status.has(one.status);
    const wanted = !letters.size || letters.has(family(header.clause));
    header.parentNode.hidden = !(wanted && (!status.size || cells.some(fits)));
    for (const one of cells) one.classList.toggle("dim", !fits(one));
    shown += header.parentNode.hidden ? 0 : 1;
  }
  for (const group of grid.tBodies) {
    group.hidden = !group.querySelector("tr:not(.family, [hidden])");
  }
  const visible = visibleRows();
  if (!visible.includes(rowOf(tabStop()))) stopAt((visible[1] ?? visible[0])[1]);
  const all = counted(ids.length, "clause");
  const told = shown === ids.length ? `All ${all}` : `${shown} of ${all}`;
  document.getElementById("count").textContent = told;
}
