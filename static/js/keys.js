// Keyboard: g and a letter goes to a place, / searches, ? helps, Esc closes.
import { open as openPalette } from "./palette.js";

const SOON = 1200;
let wentAt = 0;

const typing = (element) => element.closest("input, textarea, select, [contenteditable]");
const help = () => document.getElementById("keys")?.showModal();

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") {
    document.activeElement?.blur();
    for (const menu of document.querySelectorAll("details.nav-account[open]")) menu.open = false;
    return;
  }
  if (typing(event.target) || document.querySelector("dialog[open]")) return;
  if (Date.now() - wentAt < SOON) {
    wentAt = 0;
    const place = document.querySelector(`[data-key="${CSS.escape(event.key.toLowerCase())}"]`);
    if (place) {
      event.preventDefault();
      place.click();
    }
  } else if (event.key === "g") {
    wentAt = Date.now();
  } else if (event.key === "/") {
    const search = document.querySelector("[data-search]");
    event.preventDefault();
    if (search) search.select();
    else openPalette();
  } else if (event.key === "?") {
    event.preventDefault();
    help();
  }
});

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-keys-help]")) help();
  for (const menu of document.querySelectorAll("details.nav-account[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});
