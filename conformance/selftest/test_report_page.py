"""The report's page: nothing from outside, nothing let out; in a browser, by mouse and by keys."""

import json
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from tuned_contrastive.conformance import report
from tuned_contrastive.conformance.page import MEANINGS, embedded, page
from tuned_contrastive.conformance.selftest import browser
from tuned_contrastive.conformance.selftest import sample_reports as sample
from tuned_contrastive.conformance.targets import known_targets
from tuned_contrastive.conformance.verdict import STATUSES
from tuned_contrastive.spec.clauses import FAMILIES, load_clauses

LARGEST = 4_000_000
TCL = [name for name in load_clauses() if name.startswith("TCL-")]


class Read(HTMLParser):
    """What an HTML parser makes of a page: tags, attributes that load something, scripts."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.references: list[str] = []
        self.handlers: list[str] = []
        self.inside: dict[str, str] = {}
        self._within = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep a tag and its attributes."""
        given = dict(attrs)
        self.tags.append(tag)
        loading = ("src", "href", "srcset", "action", "data", "poster", "xlink:href")
        self.references += [str(given[name]) for name in loading if name in given]
        self.handlers += [name for name in given if name.startswith("on")]
        self._within = f"{tag} {given.get('type', '')}".strip()

    def handle_data(self, data: str) -> None:
        """Keep the text of an element."""
        self.inside[self._within] = self.inside.get(self._within, "") + data

    def handle_endtag(self, tag: str) -> None:
        """Leave the element."""
        self._within = ""


@pytest.fixture(scope="module")
def read() -> Read:
    """Return the page of every kind of result, parsed."""
    return Read(page(sample.every_kind()))


def test_page_refers_to_nothing_outside(read: Read) -> None:
    assert {reference[:1] for reference in read.references} <= {"#"}
    assert "link" not in read.tags
    assert not re.search(r"url\(|@import|https?:", read.inside["style"])
    loads = r"fetch\(|XMLHttpRequest|WebSocket|EventSource|sendBeacon|import\(|importScripts|Worker"
    assert not re.search(loads, read.inside["script"])
    addresses = re.findall(r"https?://[^\s\"']+", read.inside["script"])
    assert addresses == ["http://www.w3.org/2000/svg"]  # a name, which nothing loads


def test_policy_allows_nothing_from_outside() -> None:
    text = page(sample.every_kind())
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules.pop("default-src") == "'none'"
    assert {re.fullmatch(r"'sha256-[\w+/=]{44}'", rule) is not None for rule in rules.values()} == {
        True
    }


def test_hostile_text_stays_data(read: Read) -> None:
    shown = json.loads(read.inside["script application/json"])
    assert shown["document"] == json.loads(json.dumps(sample.every_kind()))
    assert (read.tags.count("script"), read.tags.count("img"), read.handlers) == (2, 0, [])


def test_embedded_data_ends_no_script() -> None:
    text = embedded([sample.HOSTILE])
    assert text.isascii()
    assert "<" not in text
    assert json.loads(text) == [sample.HOSTILE]


def test_page_stays_small() -> None:
    document = sample.as_large_as_they_come()
    assert [entry["cases"] for entry in document["results"]] == [sample.CASES] * len(
        known_targets()
    )
    assert len(page(document).encode()) < LARGEST


def test_every_family_and_status_has_its_words() -> None:
    assert set(FAMILIES) == {name[:3] for name in load_clauses()}
    assert set(MEANINGS) == set(STATUSES)


def test_every_status_has_a_shape_of_its_own() -> None:
    symbol = r'<symbol id="shape-([\w-]+)"(.+?)</symbol>'
    shapes = dict(re.findall(symbol, page(sample.every_kind()), re.DOTALL))
    assert set(shapes) == set(STATUSES)
    assert len(set(shapes.values())) == len(STATUSES)


@pytest.fixture(scope="module")
def driver() -> Iterator[Chrome]:
    """Start the browser, once; skip with the reason where there is none."""
    if browser.missing():
        pytest.skip(browser.missing())
    with browser.chromium() as started:
        yield started


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the page to disk."""
    place = tmp_path_factory.mktemp("page") / "report.html"
    place.write_text(page(sample.every_kind()), encoding="utf-8")
    return place


@pytest.fixture
def shown(driver: Chrome, file: Path) -> Chrome:
    """Open the page from disk, in the colours of the browser's own choice."""
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    driver.get(file.as_uri())
    return driver


VISIBLE = """
const heads = [...document.querySelectorAll("#matrix tbody tr:not(.family) th b")];
return heads.filter((head) => head.checkVisibility()).map((head) => head.textContent);
"""


def visible(driver: Chrome) -> list[str]:
    """Return the clauses whose rows are shown."""
    found: list[str] = driver.execute_script(VISIBLE)
    return found


def button(driver: Chrome, value: str) -> WebElement:
    """Return the button of a filter."""
    return driver.find_element(By.CSS_SELECTOR, f"[data-filter='{value}']")


def cell(driver: Chrome, clause: str, target: str) -> WebElement:
    """Return a cell of the matrix."""
    found = f"[data-clause='{clause}'][data-target='{target}']"
    return driver.find_element(By.CSS_SELECTOR, found)


def press(driver: Chrome, *keys: str) -> WebElement:
    """Press keys, one after the other, and return what then has the focus."""
    ActionChains(driver).send_keys(*keys).perform()
    return driver.switch_to.active_element


def press_with_control(driver: Chrome, key: str) -> WebElement:
    """Press a key while Control is down, and return what then has the focus."""
    ActionChains(driver).key_down(Keys.CONTROL).send_keys(key).key_up(Keys.CONTROL).perform()
    return driver.switch_to.active_element


def wait_until_copied(driver: Chrome) -> None:
    """Wait for the clipboard, which answers later."""
    WebDriverWait(driver, 5).until(lambda _: "Copied" in told(driver))


def tab_to(driver: Chrome, wanted: Callable[[WebElement], bool]) -> WebElement:
    """Press Tab until the focus is where it is wanted."""
    reached = (press(driver, Keys.TAB) for _ in range(60))
    return next(element for element in reached if wanted(element))


def is_a_button(element: WebElement) -> bool:
    return element.tag_name == "button"


def is_in_the_grid(element: WebElement) -> bool:
    return element.get_attribute("role") in ("gridcell", "rowheader", "columnheader")


def detail(driver: Chrome) -> WebElement:
    return driver.find_element(By.ID, "detail")


def told(driver: Chrome) -> str:
    """Return the text of the detail; the driver has no words for half of a surrogate pair."""
    script = "return arguments[0].innerText.toWellFormed()"
    return str(driver.execute_script(script, detail(driver)))


def first_failure() -> Any:
    """Return the case of the wrong implementation that the page puts first at SUP-8."""
    entry = report.entry_of(sample.wrong())
    citing = [place for place, names in enumerate(entry["citations"]) if "SUP-8" in names]
    failed = [case for case in entry["ran"] if "status" in case and case["cites"] in citing]
    return max(failed, key=lambda case: float(case.get("share", -1)))


def told_of_a_failure(driver: Chrome) -> None:
    """Check what the detail of SUP-8 and the wrong implementation says."""
    text, first = told(driver), first_failure()
    assert "SUP-8, wrong-mean" in text
    assert load_clauses()["SUP-8"].text.replace("`", "") in text
    assert {c.id: c.reason for c in sample.wrong().clauses}["SUP-8"] in text
    assert first["message"].splitlines()[0] in text
    command = "python -m tuned_contrastive.conformance wrong-mean --test"
    assert f"{command} '{first['test']}'" in text


def test_opens_from_disk_without_a_complaint_or_a_request(shown: Chrome) -> None:
    assert shown.current_url.startswith("file://")
    assert shown.get_log("browser") == []  # type: ignore[no-untyped-call]
    assert shown.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert visible(shown) == list(load_clauses())


def test_scope_tells_a_part_and_what_was_not_judged(shown: Chrome) -> None:
    said = shown.find_element(By.ID, "scope").text
    assert "; partial: it says nothing about conformance; not judged: absent (it is" in said


def test_hostile_text_is_shown_as_text(shown: Chrome) -> None:
    cells = shown.find_elements(By.CSS_SELECTOR, "[data-clause='SUP-5']")
    cells[-1].click()
    assert told(shown).count("</script><img src=x onerror='window.hit = 1'>") >= 5
    assert shown.execute_script("return window.hit") is None
    assert shown.find_elements(By.TAG_NAME, "img") == []


def test_filter_by_status(shown: Chrome) -> None:
    button(shown, "known").click()
    expected = [c.id for c in sample.declared().clauses if c.status == "known"]
    assert visible(shown) == expected
    assert shown.find_element(By.ID, "count").text.startswith(f"{len(expected)} of")
    button(shown, "known").click()
    assert visible(shown) == list(load_clauses())


def test_filter_by_family(shown: Chrome) -> None:
    button(shown, "TCL").click()
    assert visible(shown) == TCL
    button(shown, "GRD").click()
    assert visible(shown) == [name for name in load_clauses() if name[:3] in ("TCL", "GRD")]


def test_filters_by_both(shown: Chrome) -> None:
    button(shown, "fail").click()
    button(shown, "SUP").click()
    wrong = [c.id for c in sample.wrong().clauses if c.status == "fail" and c.id[:3] == "SUP"]
    assert visible(shown) == sorted({*wrong, "SUP-5"}, key=list(load_clauses()).index)


def test_nothing_that_fits_keeps_the_keyboard(shown: Chrome) -> None:
    button(shown, "planned").click()
    button(shown, "TCL").click()
    assert visible(shown) == []
    assert is_in_the_grid(tab_to(shown, is_in_the_grid))
    assert is_in_the_grid(press(shown, Keys.ARROW_DOWN))


def test_click_opens_a_cell(shown: Chrome) -> None:
    assert not detail(shown).is_displayed()
    cell(shown, "SUP-8", "wrong-mean").click()
    told_of_a_failure(shown)
    assert cell(shown, "SUP-8", "wrong-mean").get_attribute("aria-selected") == "true"


def test_keyboard_alone_filters_opens_copies_and_closes(shown: Chrome) -> None:
    tab_to(shown, lambda element: element.get_attribute("data-filter") == "SUP")
    assert press(shown, Keys.SPACE).get_attribute("aria-pressed") == "true"
    assert tab_to(shown, is_in_the_grid).get_attribute("data-clause") == "SUP-1"
    reached = press(shown, *[Keys.ARROW_DOWN] * 7, Keys.ARROW_RIGHT)
    assert reached.accessible_name.startswith("SUP-8, wrong-mean: fail")
    assert press(shown, Keys.ENTER).get_attribute("id") == "detail-title"
    told_of_a_failure(shown)
    tab_to(shown, lambda element: element.text == "Copy")
    press(shown, Keys.ENTER)
    wait_until_copied(shown)
    assert press(shown, Keys.ESCAPE) == cell(shown, "SUP-8", "wrong-mean")
    assert not detail(shown).is_displayed()


def test_copied_command_is_the_one_that_is_shown(shown: Chrome) -> None:
    cell(shown, "SUP-8", "wrong-mean").click()
    detail(shown).find_element(By.CSS_SELECTOR, ".command button").click()
    wait_until_copied(shown)
    shown.execute_script("document.body.append(document.createElement('textarea'))")
    place = shown.find_element(By.TAG_NAME, "textarea")
    place.send_keys(Keys.CONTROL, "v")
    first = detail(shown).find_element(By.CSS_SELECTOR, ".command code")
    assert place.get_property("value") == first.text


def test_keys_move_by_rows_pages_and_ends(shown: Chrome) -> None:
    tab_to(shown, is_in_the_grid)
    assert press(shown, Keys.HOME).text.startswith("INP-1")
    assert press(shown, Keys.PAGE_DOWN).text.startswith("INP-11")
    assert press(shown, Keys.END).get_attribute("data-clause") == "INP-11"
    assert press_with_control(shown, Keys.END).get_attribute("data-clause") == "CNF-8"


def test_detail_follows_the_arrow_keys(shown: Chrome) -> None:
    cell(shown, "SUP-7", "wrong-mean").click()
    press(shown, Keys.ARROW_DOWN)
    told_of_a_failure(shown)


def test_clause_opens_over_all_implementations(shown: Chrome) -> None:
    tab_to(shown, is_in_the_grid)
    press(shown, Keys.HOME, Keys.ENTER)
    assert load_clauses()["INP-1"].text.replace("`", "") in told(shown)
    assert len(detail(shown).find_elements(By.TAG_NAME, "li")) == 6


def test_implementation_opens_with_its_command(shown: Chrome) -> None:
    tab_to(shown, is_in_the_grid)
    press_with_control(shown, Keys.HOME)
    press(shown, Keys.ENTER)
    assert "python -m tuned_contrastive.conformance only-supcon" in told(shown)


def test_all_cases_can_be_reached(shown: Chrome) -> None:
    cell(shown, "NUM-14", "only-supcon").click()
    cases = [ran for ran in sample.right().ran if "NUM-14" in ran.clauses]
    assert len(detail(shown).find_elements(By.TAG_NAME, "li")) == 100
    detail(shown).find_element(By.CLASS_NAME, "more").click()
    assert len(detail(shown).find_elements(By.TAG_NAME, "li")) == len(cases)


def test_bar_is_as_long_as_the_share(shown: Chrome) -> None:
    filled = cell(shown, "SUP-5", "only-supcon").find_element(By.CSS_SELECTOR, ".bar i")
    share = {c.id: c.worst_ratio for c in sample.right().clauses}["SUP-5"]
    wide = shown.execute_script("return arguments[0].style.width", filled)
    assert float(wide.rstrip("%")) == pytest.approx(100 * float(share or 0), rel=1e-3)


def test_grid_has_its_roles_and_one_tab_stop(shown: Chrome) -> None:
    grid = shown.find_element(By.CSS_SELECTOR, "[role='grid']")
    assert grid.accessible_name == "Clauses down, implementations across"
    counts = {
        role: len(grid.find_elements(By.CSS_SELECTOR, f"[role='{role}']"))
        for role in ("columnheader", "gridcell")
    }
    assert counts == {"columnheader": 6, "gridcell": 6 * len(load_clauses()) + 1}
    assert len(grid.find_elements(By.CSS_SELECTOR, "[tabindex='0']")) == 1
    name = cell(shown, "SUP-5", "only-supcon").accessible_name
    assert re.match(r"SUP-5, only-supcon: pass, \d+ cases, worst error 0\.\d+ of the allowed", name)


@pytest.mark.parametrize("wanted", [is_a_button, is_in_the_grid])
def test_focus_can_be_seen(shown: Chrome, wanted: Callable[[WebElement], bool]) -> None:
    element = tab_to(shown, wanted)
    assert element.value_of_css_property("outline-style") == "solid"
    assert float(element.value_of_css_property("outline-width").removesuffix("px")) >= 2


def luminance(colour: str) -> float:
    """Return the relative luminance of rgb(...) or rgba(...)."""
    channels = [float(part) / 255 for part in re.findall(r"[\d.]+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


BACKGROUND = """
let place = arguments[0];
const clear = (one) => getComputedStyle(one).backgroundColor === "rgba(0, 0, 0, 0)";
while (place.parentElement && clear(place)) place = place.parentElement;
return getComputedStyle(place).backgroundColor;
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_can_be_read(shown: Chrome, scheme: str) -> None:
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    shown.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    words = shown.find_elements(By.CSS_SELECTOR, "td .word, th b, th span, small, #scope")
    pairs = {
        (word.value_of_css_property("color"), shown.execute_script(BACKGROUND, word))
        for word in words[:: len(words) // 40]
    }
    contrasts = []
    for pair in pairs:
        dark, bright = sorted(map(luminance, pair))
        contrasts.append((bright + 0.05) / (dark + 0.05))
    assert min(contrasts) >= 4.5
