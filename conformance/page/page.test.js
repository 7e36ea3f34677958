// The status page in a real Chromium: every view of an environment of 5,000 services, on a desktop and on a phone, light and dark, by keyboard,
// without JavaScript, while things change, and with texts that try to break out of it.
//
// Serves `cargo run -p syncd --example page`. Writes screenshots into $SCREENSHOTS, where it is set, for people to look at.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { mkdir } from "node:fs/promises";
import path from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";

const project = path.resolve(import.meta.dirname, "../..");
const axe = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
const screenshots = process.env.SCREENSHOTS;
const SERVICES = 5000;
// The phone is as narrow as phones are.
const PHONE = { width: 360, height: 740 };
const DESKTOP = { width: 1280, height: 900 };

let server, browser, address, odd;

before(async () => {
  const program = path.join(process.env.CARGO_TARGET_DIR ?? path.join(project, "target"), process.env.PROFILE ?? "debug", "examples/page");
  server = spawn(program, [String(SERVICES)], { stdio: ["pipe", "pipe", "inherit"] });
  [address] = await once(createInterface({ input: server.stdout }), "line");
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
  const list = await (await fetch(`${address}api/v1/services?q=odd`)).json();
  odd = `services/${encodeURIComponent(list.services[0].name)}`;
  if (screenshots) await mkdir(screenshots, { recursive: true });
});

after(async () => {
  await browser?.close();
  server?.kill();
});

// Opens a page in a context of its own; whatever the browser complains of fails the test.
async function open(t, where, options = {}) {
  const context = await browser.newContext({ viewport: DESKTOP, ...options });
  const page = await context.newPage();
  const complaints = [];
  // A page that is not there is one of the views.
  const isMissing = (message) => message.location().url.endsWith("/none") && message.text().includes("404");
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && !isMissing(message) && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("dialog", (dialog) => complaints.push(`dialog: ${dialog.message()}`));
  page.on("request", (request) => request.url().startsWith(address) || complaints.push(`asked ${request.url()}`));
  t.after(async () => {
    await context.close();
    assert.deepEqual(complaints, []);
  });
  await page.goto(address + where);
  return page;
}

// Lets a cycle begin in the made-up environment, or end.
const next = () => server.stdin.write("\n");

const VIEWS = () => ({ overview: "", filtered: "?q=service-00&state=synced&page=2", service: odd, history: "history", drift: "drift", nothing: "services/none" });

for (const colorScheme of ["light", "dark"]) {
  for (const [device, viewport] of Object.entries({ desktop: DESKTOP, phone: PHONE })) {
    test(`every view fits a ${device}, ${colorScheme}, and has no finding of axe`, async (t) => {
      for (const [name, where] of Object.entries(VIEWS())) {
        await t.test(name, async (t) => {
          const page = await open(t, where, { viewport, colorScheme, bypassCSP: true });
          const [wide, seen] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
          assert.ok(wide <= seen, `${wide} px wide, ${seen} seen`);
          await page.addScriptTag({ path: axe });
          const { violations } = await page.evaluate(() => globalThis.axe.run());
          assert.deepEqual(violations.map(({ id, impact, nodes }) => [id, impact, nodes[0].html]), []);
          if (screenshots) await page.screenshot({ path: path.join(screenshots, `${name}-${device}-${colorScheme}.png`), fullPage: name !== "filtered" && name !== "overview" });
        });
      }
    });
  }
}

test("the first paint and the filter, as measured in the browser", async (t) => {
  const page = await open(t, "");
  const paint = await page.evaluate(() => new Promise((resolve) => new PerformanceObserver((list) => resolve(list.getEntriesByName("first-contentful-paint")[0].startTime)).observe({ type: "paint", buffered: true })));
  const times = [];
  for (const text of ["s", "se", "service-01", "service-012", "service-0123", ""]) {
    times.push(
      await page.evaluate(async (text) => {
        const field = document.getElementById("q");
        const list = () => document.getElementById("list");
        const begun = performance.now();
        const shown = new Promise((resolve) => new MutationObserver((_, seen) => (seen.disconnect(), resolve())).observe(list().parentElement, { childList: true }));
        field.value = text;
        field.dispatchEvent(new Event("input", { bubbles: true }));
        await shown;
        void list().offsetHeight;
        return performance.now() - begun;
      }, text),
    );
  }
  t.diagnostic(`first paint ${paint.toFixed(0)} ms; filter ${times.map((time) => time.toFixed(0)).join(", ")} ms, with ${SERVICES} services`);
});

test("typing filters, keeps the address, and says how many are left", async (t) => {
  const page = await open(t, "");
  assert.equal(await page.textContent("#found"), `${SERVICES} services`);
  await page.keyboard.press("/");
  await page.keyboard.type("service-0123");
  await page.waitForFunction(() => document.getElementById("found").textContent === "1 of 5000 services");
  assert.equal(new URL(page.url()).search, "?q=service-0123");
  assert.equal(await page.evaluate(() => document.activeElement.id), "q", "the keyboard stays in the field");
  await page.reload();
  assert.equal(await page.inputValue("#q"), "service-0123");
  await page.click(".services a.name");
  assert.equal(await page.textContent("h2"), "service-0123");
});

test("without JavaScript it says and finds the same", async (t) => {
  const page = await open(t, "", { javaScriptEnabled: false });
  await page.fill("#q", "service-012");
  await page.click("#filter button");
  assert.equal(await page.textContent("#found"), "10 of 5000 services");
  await page.goto(address);
  await page.click(".chips a.failed");
  assert.equal(await page.textContent("#found"), "50 of 5000 services");
  await page.goto(address);
  await page.click("a[rel=next]");
  assert.equal(await page.textContent(".pages span"), "page 2 of 50");
});

test("the keyboard reaches everything, first of all what skips the rest", async (t) => {
  const page = await open(t, "");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");
  const reached = new Set();
  for (let i = 0; i < 25; i++) {
    await page.keyboard.press("Tab");
    reached.add(await page.evaluate(() => document.activeElement.id || document.activeElement.className || document.activeElement.tagName));
  }
  for (const what of ["command", "q", "BUTTON", "failed", "name"]) assert.ok(reached.has(what), `${what} among ${[...reached]}`);
});

test("an open page changes when a cycle goes on, and the keyboard stays where it is", async (t) => {
  const page = await open(t, "?q=service-000");
  await page.waitForFunction(() => document.getElementById("live").textContent === "live");
  await page.focus('.services a[href="/services/service-0001"]');
  next();
  await page.waitForFunction(() => document.querySelector(".services .badge.waiting"));
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute("href")), "/services/service-0001");
  assert.equal(await page.textContent(".services li:first-child .message"), "Deployment.apps shop/service-0003: 1 of 3 replicas");
  next();
  await page.waitForFunction(() => document.querySelector("#environment .badge.synced") && !document.querySelector(".badge.waiting"));
});

test("a page whose syncd is gone says so", async (t) => {
  const context = await browser.newContext();
  t.after(() => context.close());
  const page = await context.newPage();
  await page.goto(address);
  await page.waitForFunction(() => document.getElementById("live").textContent === "live");
  await context.setOffline(true);
  await page.fill("#q", "x");
  await page.waitForFunction(() => document.getElementById("live").textContent === "not connected");
});

test("texts from outside are shown, and do nothing", async (t) => {
  for (const where of ["", odd, "history", "drift"]) {
    const page = await open(t, where);
    assert.match(await page.textContent("main"), /<x-hostile onclick=alert\(1\)>/, where);
    assert.equal(await page.locator("x-hostile").count(), 0, where);
    assert.equal(await page.locator("main script").count(), 0, where);
    assert.match(await page.title(), /production · syncd$/);
  }
});
