// Light or dark: the system's, until somebody chooses; the choice is remembered in this browser.
const ORDER = ["system", "light", "dark"];
const chosen = () => localStorage.getItem("theme") || "system";

function apply() {
  const choice = chosen();
  if (choice === "system") delete document.documentElement.dataset.bsTheme;
  else document.documentElement.dataset.bsTheme = choice;
  for (const label of document.querySelectorAll("[data-theme-label]")) label.textContent = `Theme: ${choice}`;
}

document.addEventListener("click", (event) => {
  if (!event.target.closest("[data-theme-toggle]")) return;
  const next = ORDER[(ORDER.indexOf(chosen()) + 1) % ORDER.length];
  if (next === "system") localStorage.removeItem("theme");
  else localStorage.setItem("theme", next);
  apply();
});
apply();
