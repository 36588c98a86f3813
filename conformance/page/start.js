// Draws the page, and listens.

function drawScope() {
  const cases = results.reduce((sum, entry) => sum + entry.cases, 0);
  const counts = [counted(ids.length, "clause"), counted(results.length, "implementation")];
  const told = [...counts, counted(cases, "case")].join(", ");
  const left = report.not_judged.map((each) => `${each.target} (${each.reason})`);
  const scope = [`Specification ${report.spec_version}: ${told}`];
  if (report.partial) scope.push("partial: it says nothing about conformance");
  if (left.length) scope.push(`not judged: ${left.join(", ")}`);
  document.getElementById("scope").textContent = scope.join("; ");
  const versions = Object.entries(report.environment).map((pair) => pair.join(" "));
  document.getElementById("environment").textContent = versions.join(" · ");
}

drawScope();
drawFilters();
drawGrid();
applyFilters();
grid.addEventListener("keydown", onGridKey);
grid.addEventListener("click", onGridClick);
document.addEventListener("keydown", (event) => event.key === "Escape" && close());
