// The choice of light or dark: system, until somebody chooses; remembered in this browser.
const ORDER = ["system", "light", "dark"];
const system = matchMedia("(prefers-color-scheme: dark)");

const chosen = () => localStorage.getItem("theme") || "system";

function apply() {
  const choice = chosen();
  const theme = choice === "system" ? (system.matches ? "dark" : "light") : choice;
  document.documentElement.dataset.bsTheme = theme;
  for (const label of document.querySelectorAll("[data-theme-label]")) label.textContent = `Theme: ${choice}`;
}

document.addEventListener("click", (event) => {
  if (!event.target.closest("[data-theme-toggle]")) return;
  const next = ORDER[(ORDER.indexOf(chosen()) + 1) % ORDER.length];
  if (next === "system") localStorage.removeItem("theme");
  else localStorage.setItem("theme", next);
  apply();
});
system.addEventListener("change", apply);
apply();
