// Picking rows of a list: all of this page at once, and how many are picked. Without it the tick boxes work as they are.
const bars = () => document.querySelectorAll("form[data-bulk]");

function picks(bar) {
  return [...bar.elements].filter((it) => it.name === "pick");
}

function show(bar) {
  const all = picks(bar), ticked = all.filter((it) => it.checked), every = bar.elements.all;
  const whole = bar.parentElement.querySelector("[data-pick-page]");
  whole.hidden = false;
  whole.checked = all.length > 0 && ticked.length === all.length;
  whole.indeterminate = ticked.length > 0 && ticked.length < all.length;
  bar.classList.toggle("is-idle", !ticked.length);
  bar.querySelector(".list-all").hidden = ticked.length < all.length;
  if (ticked.length < all.length) every.checked = false;
  bar.querySelector("[data-picked]").textContent = every.checked ? "Everything that matches is picked:" : `${ticked.length} picked:`;
}

document.addEventListener("change", (event) => {
  const box = event.target;
  if (box.matches("[data-pick-page]")) {
    const bar = box.closest(".list-rows").querySelector("form[data-bulk]");
    for (const pick of picks(bar)) pick.checked = box.checked;
    show(bar);
  } else if (box.form?.matches("form[data-bulk]")) {
    show(box.form);
  }
});
document.addEventListener("htmx:afterSettle", () => bars().forEach(show));
bars().forEach(show);
