// Draws the page, and listens.

function drawScope() {
  const cases = results.reduce((sum, entry) => sum + entry.cases, 0);
  const counts = [counted(ids.length, "clause"), counted(results.length, "implementation")];
  const told = [...counts, counted(cases, "case")].join(", ");
  document.getElementById("scope").textContent = `Specification ${report.spec_version}: ${told}`;
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
