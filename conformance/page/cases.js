// The cases behind a cell, the worst first, each with the command that reproduces it.

const RANKS = ["error", "fail", "known", "pass"];
const SHOWN = 100; // cases drawn before one asks for more

function casesOf(entry, id) {
  const citing = new Set(entry.citations.flatMap((cited, k) => (cited.includes(id) ? [k] : [])));
  const rank = (one) => RANKS.indexOf(one.status ?? "pass");
  const share = (one) => (one.share === undefined ? -1 : Number(one.share));
  const differ = (a, b) => rank(a) - rank(b) || (share(a) === share(b) ? 0 : share(b) - share(a));
  return entry.ran.filter((one) => citing.has(one.cites)).sort(differ);
}

function caseList(entry, cases) {
  const first = cases.slice(0, SHOWN).map((one, k) => caseItem(entry, one, k === 0));
  const rest = cases.slice(SHOWN);
  const list = make("ul", {}, ...first);
  if (!rest.length) return [list];
  const told = `Show ${counted(rest.length, "more case")}`;
  const more = make("button", { type: "button", class: "more" }, told);
  more.addEventListener("click", () => {
    const added = rest.map((one) => caseItem(entry, one, false));
    list.append(...added);
    more.remove();
    added[0].querySelector("summary").focus();
  });
  return [list, more];
}

function caseItem(entry, one, isOpen) {
  const status = one.status ?? "pass";
  const head = make("summary", { class: status, "aria-label": `${one.test}: ${word(status)}` });
  head.append(mark(status), make("code", {}, one.test));
  if (one.share !== undefined) {
    head.append(bar(one.share), make("span", { class: "share" }, digits(one.share)));
  }
  const made = make("details", {}, head);
  const fill = () => made.children.length > 1 || made.append(caseInside(entry, one));
  if (isOpen) fill();
  made.open = isOpen;
  made.addEventListener("toggle", fill);
  return make("li", {}, made);
}

function caseInside(entry, one) {
  const inside = make("div", { class: "inside" });
  const share = one.share === undefined ? "" : `, error over allowed error ${one.share}`;
  if (one.message) inside.append(make("pre", {}, one.message));
  inside.append(make("p", {}, `Cites ${entry.citations[one.cites].join(", ")}${share}`));
  inside.append(command(`${entry.reproduce} --test ${quoted(one.test)}`));
  return inside;
}

const quoted = (name) => `'${name.replaceAll("'", "'\"'\"'")}'`;

function command(text) {
  const code = make("code", {}, text);
  const button = make("button", { type: "button", "aria-live": "polite" }, "Copy");
  button.addEventListener("click", async () => {
    button.textContent = (await copied(code)) ? "Copied" : "Press Ctrl+C";
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
  return make("div", { class: "command" }, code, button);
}

async function copied(code) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(code); // where a page from disk may not use the clipboard
    return document.execCommand("copy");
  }
}
