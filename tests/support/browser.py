"""An annotator in a real browser, who logs in to Label Studio, draws, submits, skips and corrects.

The live test runs this file with the Python that has Playwright: ``python browser.py URL PLAN``. PLAN is a JSON file
with the account (``email``, ``password``), the ``project``, and the ``steps``: lists of a name in ``STEPS`` and its
arguments. Positions are fractions of the image's width and height. The program fails if a page requests anything from
another machine.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
CANVAS = ".konvajs-content canvas >> nth=0"
IMAGE = """() => {
    const boxes = [...document.querySelectorAll("img")].map((image) => image.getBoundingClientRect());
    const { left: x, top: y, width, height } = boxes.sort((one, other) => other.width - one.width)[0];
    return { x, y, width, height };
}"""  # the canvas may be wider than the image on it


def main(url: str, plan: dict) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as profile:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=CHROMIUM, args=FLAGS, viewport={"width": 1280, "height": 860}
        )
        context.set_default_timeout(60_000)
        page = context.pages[0]
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        try:
            page.goto(f"{url}/user/login/")
            page.fill("input[name=email]", plan["email"])
            page.fill("input[name=password]", plan["password"])
            page.click("button[type=submit]")
            page.wait_for_url(lambda where: "login" not in where, wait_until="commit")
            for name, *arguments in plan["steps"]:
                print(name, *arguments, flush=True)
                STEPS[name](page, url, plan["project"], *arguments)
        except Exception:
            page.screenshot(path=plan["failure"])
            raise
        finally:
            context.close()
    strangers = sorted({where for where in asked if not where.startswith((url, "data:", "blob:"))})
    assert not strangers, f"the pages asked for {strangers}"


def label_all(page: Page, url: str, project: int) -> None:
    """Open the stream of tasks, which shows the next task without a label."""
    page.goto(f"{url}/projects/{project}/data")
    page.get_by_role("button", name="Label All Tasks").first.click()
    wait_for_image(page)


def open_task(page: Page, url: str, project: int, task: int) -> None:
    page.goto(f"{url}/projects/{project}/data?task={task}")
    wait_for_image(page)


def wait_for_image(page: Page) -> None:
    page.wait_for_selector(CANVAS)
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(1500)  # the image fades in, and the regions are decoded


def draw(page: Page, url: str, project: int, label: str, *corners: list[float]) -> None:
    """Choose a label and drag the brush along a line, which must not start on a region: that would be selected."""
    page.locator(".lsf-label", has_text=label).first.click()
    box = page.evaluate(IMAGE)
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=12)
    page.mouse.up()
    page.wait_for_timeout(1000)


def press(page: Page, url: str, project: int, name: str) -> None:
    """Press Submit, Skip or Update, and wait for the server's answer."""
    with page.expect_response(
        lambda answer: "/annotations" in answer.url and answer.request.method in ("POST", "PATCH")
    ) as answer:
        page.locator("button:visible").filter(has_text=re.compile(f"^{name}$")).first.click()
    assert answer.value.ok, (answer.value.status, answer.value.url)
    page.wait_for_timeout(1500)


def wait_for_draft(page: Page, url: str, project: int) -> None:
    """Wait until the editor has saved a draft."""
    with page.expect_response(lambda answer: "/drafts" in answer.url and answer.ok):
        pass


def screenshot(page: Page, url: str, project: int, path: str) -> None:
    page.keyboard.press("Escape")  # a selected region darkens all others
    page.mouse.move(5, 5)
    page.wait_for_timeout(500)
    page.screenshot(path=path)


STEPS = {
    "label all": label_all,
    "open": open_task,
    "draw": draw,
    "press": press,
    "screenshot": screenshot,
    "wait for draft": wait_for_draft,
}

if __name__ == "__main__":
    main(sys.argv[1], json.loads(Path(sys.argv[2]).read_text()))
