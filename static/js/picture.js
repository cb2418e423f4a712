// Pictures: what is asked about stands in view, and arrow keys go to the nearest box in that direction.
const ways = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };

const middle = (node) => {
  const box = node.getBoundingClientRect();
  return [box.x + box.width / 2, box.y + box.height / 2];
};

const nearest = (from, nodes, [right, down]) => {
  const [x, y] = middle(from);
  let best = null;
  let least = Infinity;
  for (const node of nodes) {
    const [dx, dy] = [middle(node)[0] - x, middle(node)[1] - y];
    const along = dx * right + dy * down;
    const aside = Math.abs(dx * down) + Math.abs(dy * right);
    if (node === from || along <= 1) continue;
    if (along + 3 * aside < least) [least, best] = [along + 3 * aside, node];
  }
  return best;
};

const settle = () => {
  for (const node of document.querySelectorAll("[data-picture] .focus")) {
    const scroll = node.closest(".topology-scroll");
    if (!scroll || scroll.dataset.settled) continue;
    const [x] = middle(node);
    const { left, width } = scroll.getBoundingClientRect();
    if (x > left + width) scroll.scrollLeft += x - left - width / 2;
    scroll.dataset.settled = "yes";
  }
};

document.addEventListener("htmx:afterSettle", settle);
settle();

document.addEventListener("keydown", (event) => {
  const node = event.target.closest?.("[data-picture] a");
  if (!node || !ways[event.key]) return;
  event.preventDefault();
  nearest(node, node.closest("[data-picture]").querySelectorAll("a"), ways[event.key])?.focus();
});
