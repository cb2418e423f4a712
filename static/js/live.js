// Live updates. One EventSource per page tells which topics changed; elements that name a topic in data-live then
// fetch themselves anew through htmx. The stream carries names only, so every fetch is authorised as usual.
const FIRST_WAIT = 1000;
const LONGEST_WAIT = 30_000;
const STALE_AFTER = 10_000;
const TOGETHER = 250;

let source = null;
let listening = "";
let wait = FIRST_WAIT;
let retry = 0;
let lostAt = 0;
const changed = new Set();
const held = new Set();
let refreshing = 0;
let pressed = false;

const living = () => [...document.querySelectorAll("[data-live]")];
const topicsOf = (element) => element.dataset.live.split(/\s+/).filter(Boolean);
const topics = () => [...new Set(living().flatMap(topicsOf))].sort();
const refresh = (element) => window.htmx.trigger(element, "live");

function close() {
  source?.close();
  source = null;
  clearTimeout(retry);
}

function open() {
  close();
  const wanted = topics();
  listening = wanted.join(" ");
  if (!wanted.length || document.hidden) return;
  source = new EventSource(`/live/?${wanted.map((topic) => `topic=${encodeURIComponent(topic)}`).join("&")}`);
  source.addEventListener("ready", opened);
  source.addEventListener("change", (event) => note(JSON.parse(event.data).topic));
  source.addEventListener("again", all);
  source.addEventListener("error", lost);
}

function opened() {
  wait = FIRST_WAIT;
  // What changed while nobody listened is not known, so everything is fetched. Between the page and the first listening
  // that is a moment only: enough for one thing to come to its end, and then no further change would tell.
  if (lostAt) all();
  else living().filter((element) => topicsOf(element).some((topic) => topic.includes(":"))).forEach(refresh);
  lostAt = 0;
  mark();
}

function lost() {
  close();
  lostAt ||= Date.now();
  retry = setTimeout(open, wait * (0.75 + Math.random() / 2));
  wait = Math.min(wait * 2, LONGEST_WAIT);
}

function note(topic) {
  changed.add(topic);
  clearTimeout(refreshing);
  refreshing = setTimeout(() => {
    for (const element of living()) if (topicsOf(element).some((one) => changed.has(one))) refresh(element);
    changed.clear();
  }, TOGETHER);
}

function all() {
  living().forEach(refresh);
}

function mark() {
  const stale = lostAt > 0 && Date.now() - lostAt > STALE_AFTER && !document.hidden;
  document.documentElement.toggleAttribute("data-stale", stale);
  const place = document.getElementById("connection");
  const text = stale ? `Not live since ${new Date(lostAt).toLocaleTimeString()}. Connecting again…` : "";
  if (place && place.textContent !== text) place.textContent = text;
}

// What is replaced between a press and its release never hears the click, so what has come meanwhile is fetched after it.
function released() {
  pressed = false;
  setTimeout(() => {
    held.forEach(refresh);
    held.clear();
  });
}

addEventListener("pointerdown", () => (pressed = true), true);
for (const end of ["pointerup", "pointercancel"]) addEventListener(end, released, true);
document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  if (!pressed || detail.requestConfig.elt !== detail.target || !detail.target.dataset.live) return;
  detail.shouldSwap = false;
  held.add(detail.target);
});

document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    close();
    lostAt ||= Date.now();
  } else {
    lostAt = listening ? Date.now() : 0;
    wait = FIRST_WAIT;
    open();
  }
});
document.addEventListener("htmx:afterSettle", () => {
  if (topics().join(" ") !== listening) open();
});
addEventListener("pagehide", close);
addEventListener("pageshow", (event) => event.persisted && open());
setInterval(mark, 1000);
open();
