// <form data-confirm="Revoke this key?"> asks before it is sent. Without a script it is sent at once, so what cannot be
// taken back has a page of its own instead.
const dialog = document.getElementById("confirm");
const agreed = new WeakSet();

document.addEventListener("submit", (event) => {
  const form = event.target;
  const text = event.submitter?.dataset.confirm || form.dataset.confirm;
  if (!text || !dialog || agreed.has(form)) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  document.getElementById("confirm-text").textContent = text;
  document.getElementById("confirm-yes").textContent = event.submitter?.textContent.trim() || "Yes";
  dialog.returnValue = "no";
  dialog.onclose = () => {
    if (dialog.returnValue !== "yes") return;
    agreed.add(form);
    form.requestSubmit(event.submitter);
    agreed.delete(form);
  };
  dialog.showModal();
}, true);
