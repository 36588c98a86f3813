"""Writes a report as JUnit XML, which continuous integration reads: a suite per target."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from tuned_contrastive.conformance import ledger
from tuned_contrastive.conformance.terminal import TOLD_INTERRUPTED
from tuned_contrastive.conformance.verdict import ERROR, FAIL, KNOWN, PASS

TAGS = {FAIL: "failure", ERROR: "error", KNOWN: "skipped"}
"""A declared deviation is no failure, and did not pass either: pytest tells its xfails so, too."""

NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 has no way to write, as the escape codes of a coloured message."""


def junit(document: Mapping[str, Any]) -> str:
    """Return a testcase per case, per clause that is wrong without one, and for what else is wrong.

    That is an interrupt, and a share of the allowed error that exceeds the ledger. A target that
    was not judged is a suite without cases.
    """
    root = Element("testsuites", name=f"TCL and SupCon {document['spec_version']}")
    for entry in document["results"]:
        root.append(_suite(entry, document["environment"]))
    for each in document["not_judged"]:
        left = SubElement(root, "testsuite", name=_clean(each["target"]), tests="0")
        left.append(_properties([("not judged", each["reason"])]))
    indent(root)
    text = tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'


def _suite(entry: Mapping[str, Any], environment: Mapping[str, str]) -> Element:
    suite = Element("testsuite", name=_clean(entry["target"]))
    verdicts = ((name, str(entry[name]).lower()) for name in ("conforming", "partial"))
    notes = (("note", note) for note in entry["notes"])
    suite.append(_properties((*environment.items(), *verdicts, *notes)))
    suite.extend(_cases(entry))
    ended = Counter(inner.tag for case in suite.iter("testcase") for inner in case)
    suite.set("tests", str(len(suite.findall("testcase"))))
    for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(name, str(ended[tag]))
    return suite


def _cases(entry: Mapping[str, Any]) -> Iterator[Element]:
    blamed: set[str] = set()
    for case in entry["ran"]:
        status = case.get("status", PASS)
        cited = entry["citations"][case["cites"]]
        message = case.get("reason", case.get("message", ""))
        if status in (FAIL, ERROR):
            blamed |= set(cited)
        yield _testcase(entry["target"], case["test"], cited, status, message)
    for clause in entry["clauses"]:
        if clause["status"] in (FAIL, ERROR) and clause["id"] not in blamed:
            name = clause["id"]
            yield _testcase(entry["target"], name, [name], clause["status"], clause["reason"])
    for note in entry["notes"]:
        if note.endswith(ledger.HOW):
            yield _testcase(entry["target"], "ledger", [], FAIL, note)
    if TOLD_INTERRUPTED in entry["notes"]:
        yield _testcase(entry["target"], "interrupt", [], ERROR, TOLD_INTERRUPTED)


def _testcase(target: str, test: str, cited: list[str], status: str, message: str) -> Element:
    case = Element("testcase", classname=_clean(target), name=_clean(test))
    case.append(_properties(("clause", name) for name in cited))
    if status != PASS:
        first, *_ = message.splitlines() or [status]
        ended = SubElement(case, TAGS[status], message=_clean(first))
        ended.text = _clean(message)
    return case


def _properties(pairs: Iterable[tuple[str, str]]) -> Element:
    properties = Element("properties")
    for name, value in pairs:
        SubElement(properties, "property", name=name, value=_clean(value))
    return properties


def _clean(text: str) -> str:
    return NOT_XML.sub("\ufffd", text)
