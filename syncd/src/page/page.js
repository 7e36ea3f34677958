// Keeps the status page fresh and filters as one types. Without it the page shows the same: every part that this replaces is what the
// server sends for the same address, so nothing is ever put together here, and no text becomes markup that the server did not escape.
"use strict";

const live = document.getElementById("live");
let asked = 0;

// Replaces the parts that change by those of `address`; an answer that was overtaken is dropped.
async function show(address) {
  const number = ++asked;
  const response = await fetch(address, { headers: { Accept: "text/html" } });
  if (!response.ok && response.status !== 404) throw new Error(String(response.status));
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  if (number !== asked) return;
  const parts = document.querySelectorAll("[data-live]");
  const same = [...parts].every((part) => fresh.getElementById(part.id)) && parts.length === fresh.querySelectorAll("[data-live]").length;
  // Something else is shown there now: the whole of it.
  const pairs = same ? [...parts].map((part) => [part, fresh.getElementById(part.id)]) : [[document.getElementById("main"), fresh.getElementById("main")]];
  for (const [old, now] of pairs) {
    if (old.innerHTML === now.innerHTML) continue;
    // Whoever is inside with the keyboard stays at the same link.
    const focused = old.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    old.replaceWith(document.adoptNode(now));
    if (focused) [...now.querySelectorAll("a[href]")].find((link) => link.getAttribute("href") === focused)?.focus({ preventScroll: true });
  }
}

function say(text) {
  if (live.textContent !== text) live.textContent = text;
}

function refresh() {
  if (document.visibilityState === "visible") show(location.href).catch(() => say("not connected"));
}

document.addEventListener("input", (event) => {
  const form = event.target.closest("#filter");
  if (!form) return;
  const query = new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== ""));
  const address = query.size > 0 ? "/?" + query : "/";
  history.replaceState(null, "", address);
  refresh();
});

// "/" goes to the search field, as on many pages.
document.addEventListener("keydown", (event) => {
  const field = document.getElementById("q");
  if (event.key !== "/" || !field || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input")) return;
  event.preventDefault();
  field.focus();
});

const events = new EventSource("/api/v1/events");
events.addEventListener("open", () => say("live"));
events.addEventListener("error", () => say("not connected"));
events.addEventListener("changed", refresh);
document.addEventListener("visibilitychange", refresh);
