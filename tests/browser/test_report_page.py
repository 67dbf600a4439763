"""The report in a real browser: nothing fetched, readable on a phone, light and dark,
accessible by axe-core's rules.
"""

import base64
import json
from urllib.parse import urlsplit

import pytest

from emolib.results import report

pytestmark = pytest.mark.timeout(2400)  # the first test may have to make the demo
PHONE, DESK = (375, 800), (1280, 900)


@pytest.fixture(scope="module")
def address(demo, module_path) -> str:
    return report.write(demo, module_path / "report.html").as_uri()


def show(browser, address: str, size: tuple[int, int], scheme: str = "light") -> None:
    """Open the page at a size in CSS pixels and a colour scheme, with every notebook unfolded;
    the logs begin anew.
    """
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False},
    )
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
    )
    browser.get("about:blank")
    browser.get_log("browser"), browser.get_log("performance")
    browser.get(address)
    browser.execute_script("document.querySelectorAll('details').forEach(part => part.open = true)")


def requests(browser) -> set[str]:
    """The addresses asked for since the page was opened."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return {
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    }


def foreign(addresses: set[str]) -> set[str]:
    return {address for address in addresses if urlsplit(address).scheme not in ("file", "data")}


def keep(browser, path) -> None:
    """Store a picture of the whole page."""
    size = browser.execute_script(
        "return [document.documentElement.clientWidth, document.documentElement.scrollHeight]"
    )
    clip = {"x": 0, "y": 0, "width": size[0], "height": min(size[1], 8000), "scale": 1}
    shot = browser.execute_cdp_cmd(
        "Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip}
    )
    path.write_bytes(base64.b64decode(shot["data"]))


def violations(browser) -> list[str]:
    """What axe-core finds, with the first place of each kind."""
    axe = pytest.importorskip(
        "axe_core_python.selenium", reason="no axe-core-python here (the `test` extra)"
    ).Axe()
    found = axe.run(browser)["violations"]
    return [
        f"{rule['id']}: {rule['help']}: {rule['nodes'][0]['html'][:200]} "
        f"({len(rule['nodes'])} places)"
        for rule in found
    ]


def test_nothing_is_fetched_and_the_console_is_empty(browser, address):
    show(browser, address, DESK)
    assert browser.get_log("browser") == []
    asked = requests(browser)
    assert address in asked and foreign(asked) == set()


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_readable_and_accessible(browser, address, size, scheme, screenshots):
    show(browser, address, size, scheme)
    root = "document.documentElement"
    assert browser.execute_script(f"return {root}.scrollWidth") <= size[0]
    assert browser.execute_script(
        "return [...document.images].every(image => image.complete && image.naturalWidth > 0)"
    )
    background = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (scheme == "light")
    keep(browser, screenshots / f"report_{'phone' if size == PHONE else 'desk'}_{scheme}.png")
    assert violations(browser) == []


def test_the_index_leads_to_each_part_by_keyboard_and_link(browser, address):
    show(browser, address, DESK)
    for target in browser.execute_script(
        "return [...document.querySelectorAll('a[href^=\"#\"]')].map(a => a.getAttribute('href'))"
    ):
        assert browser.execute_script(
            "return document.querySelector(arguments[0]) !== null", target
        ), target
    browser.execute_script(
        "document.querySelectorAll('details').forEach(part => part.open = false)"
    )
    summary = browser.find_element("css selector", "summary")
    summary.send_keys("\n")
    assert browser.execute_script("return document.querySelector('details').open")


def test_the_checks_notice_faults(browser, tmp_path):
    """The counterpart: a page with each fault is caught, so that the tests above mean something."""
    page = tmp_path / "faulty.html"
    faults = (
        '<img src="http://127.0.0.1:9/a.png"><p style="color:#bbb;background:#fff">faint</p><div '
        'style="width:900px">wide</div>'
    )
    page.write_text(
        "<!DOCTYPE html><html><head><title>x</title></head>"
        f"<body><h1>x</h1><h4>y</h4>{faults}</body></html>"
    )
    show(browser, page.as_uri(), PHONE)
    assert browser.execute_script("return document.documentElement.scrollWidth") > PHONE[0]
    assert foreign(requests(browser)) == {"http://127.0.0.1:9/a.png"} and browser.get_log("browser")
    kinds = {line.split(":")[0] for line in violations(browser)}
    assert {"color-contrast", "image-alt", "html-has-lang", "heading-order"} <= kinds
