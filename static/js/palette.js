// ⌘K / Ctrl-K: the search over everything. The server finds and writes the list; this moves the selection and opens it.
// Without this script the field in the navigation leads to the page of the search, which does the same.
const palette = document.getElementById("palette");
const input = document.getElementById("palette-input");
// Whether Enter waits for an answer, an arrow has picked among what is shown, and no answer is on its way.
let waiting = false;
let picked = false;
let failed = false;

const options = () => [...palette.querySelectorAll("[role=option]")];
const chosen = () => palette.querySelector("[role=option][aria-selected=true]");

function choose(option) {
  chosen()?.setAttribute("aria-selected", "false");
  option?.setAttribute("aria-selected", "true");
  option?.scrollIntoView({ block: "nearest" });
  if (option) input.setAttribute("aria-activedescendant", option.id);
  else input.removeAttribute("aria-activedescendant");
}

function step(by) {
  const all = options();
  const at = all.indexOf(chosen());
  if (all.length) choose(all[(at < 0 && by < 0 ? 0 : at + by + all.length) % all.length]);
}

// Whether the list that is shown answers what is typed.
const answered = () => document.getElementById("palette-results").dataset.answers?.trim() === input.value.trim();

// Enter may come before the answer to the last letters does: what is shown till then was meant for others.
function enter(event) {
  if (picked || answered()) {
    // Without a choice the form leads to the page of the search.
    if (!chosen()) return;
    event.preventDefault();
    chosen().click();
  } else if (input.value.trim()) {
    event.preventDefault();
    waiting = true;
    if (failed) window.htmx.trigger(input, "opened");
    failed = false;
  }
}

function settled() {
  const opens = waiting && answered();
  waiting = waiting && !opens;
  picked = false;
  choose(input.value.trim() ? options()[0] : null);
  if (opens) chosen()?.click();
}

export function open() {
  if (!palette || palette.open || document.querySelector("dialog[open]")) return;
  palette.showModal();
  input.select();
  window.htmx.trigger(input, "opened");
}

// What was opened is remembered on the server, where it is checked again before it is shown.
function remember(link) {
  const { "X-CSRFToken": token } = JSON.parse(document.body.getAttribute("hx-headers"));
  const facts = { kind: link.dataset.hit, key: link.dataset.hitKey, csrfmiddlewaretoken: token };
  navigator.sendBeacon("/search/visited/", new URLSearchParams(facts));
}

document.addEventListener("keydown", (event) => {
  if ((event.metaKey || event.ctrlKey) && !event.altKey && !event.shiftKey && event.key.toLowerCase() === "k") {
    event.preventDefault();
    if (palette?.open) palette.close();
    else open();
  }
});

document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-hit]");
  if (link) remember(link);
  if (event.target.closest("[data-palette]") && palette && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    open();
  }
  if (event.target === palette) palette.close();
});

palette?.addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    input.focus();
    step(event.key === "ArrowDown" ? 1 : -1);
    picked = true;
    waiting = false;
  } else if (event.key === "Enter" && event.target === input && !event.isComposing) enter(event);
});
for (const moment of ["input", "close"]) {
  palette?.addEventListener(moment, () => {
    waiting = picked = failed = false;
  });
}
palette?.addEventListener("focusin", (event) => event.target.role === "option" && choose(event.target));
palette?.addEventListener("htmx:afterSettle", settled);

for (const failure of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) {
  palette?.addEventListener(failure, (event) => {
    event.stopPropagation();
    waiting = false;
    failed = true;
    document.getElementById("palette-status").textContent = "The search does not answer. Try again.";
    document.getElementById("palette-list").replaceChildren();
  });
}
