// <time datetime> says how long ago, and goes on saying it. The wording is the server's (portal/templatetags/ui.py).
const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
const MONTH = 30 * 86400;
// The server's clock counts, not this machine's.
const skew = new Date(document.documentElement.dataset.now || Date.now()) - Date.now();

export function ago(then, now) {
  const seconds = (now - then) / 1000;
  const size = Math.abs(seconds);
  if (size < 5) return "just now";
  if (size >= MONTH) return then.toISOString().slice(0, 10);
  const [step, unit] = UNITS.find(([step]) => size >= step);
  const text = `${Math.floor(size / step)} ${unit}`;
  return seconds > 0 ? `${text} ago` : `in ${text}`;
}

function tell() {
  const now = new Date(Date.now() + skew);
  for (const time of document.querySelectorAll("time[datetime]:not([data-fixed])")) {
    const text = ago(new Date(time.dateTime), now);
    if (time.textContent !== text) time.textContent = text;
  }
}

setInterval(() => document.hidden || tell(), 10_000);
document.addEventListener("visibilitychange", () => document.hidden || tell());
document.addEventListener("htmx:afterSettle", tell);
