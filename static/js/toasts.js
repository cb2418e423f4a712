// Messages in their fixed place: they can be sent away, good news leaves by itself, and a failed fetch is told.
const STAYS = 6000;

export function tell(text, tone = "error") {
  const place = document.getElementById("toasts");
  const note = document.createElement("div");
  note.className = `toast-note toast-${tone}`;
  const words = document.createElement("span");
  words.textContent = text;
  const close = document.createElement("button");
  close.type = "button";
  close.className = "toast-close";
  close.dataset.dismiss = "";
  close.setAttribute("aria-label", "Dismiss");
  close.textContent = "×";
  note.append(words, close);
  place?.replaceChildren(note);
}

document.addEventListener("click", (event) => event.target.closest("[data-dismiss]")?.parentElement.remove());
setTimeout(() => {
  for (const note of document.querySelectorAll(".toast-success, .toast-info")) note.remove();
}, STAYS);

document.addEventListener("refused", (event) => tell(event.detail.detail));
document.addEventListener("htmx:responseError", (event) => {
  const { status } = event.detail.xhr;
  if (event.detail.xhr.getResponseHeader("HX-Trigger")) return;
  if (status === 401) location.reload();
  else tell(status >= 500 ? "The portal could not answer. Try again." : "This can no longer be shown. Load the page again.");
});
document.addEventListener("htmx:sendError", () => tell("The portal cannot be reached."));
document.addEventListener("htmx:timeout", () => tell("The portal took too long to answer."));
