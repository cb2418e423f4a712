// The log of a running operation, line by line. The browser's EventSource reconnects by itself and names the last line
// it saw, so nothing is lost and nothing comes twice.
for (const list of document.querySelectorAll("[data-log-stream]")) {
  const source = new EventSource(list.dataset.logStream);
  const state = document.getElementById("log-state");
  source.addEventListener("line", (event) => {
    const line = JSON.parse(event.data);
    const follows = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
    const item = document.createElement("li");
    const time = document.createElement("time");
    time.dateTime = line.at;
    time.dataset.fixed = "";
    time.textContent = line.at.slice(11, 19);
    item.append(time, ` ${line.step} `, line.text);
    list.append(item);
    if (follows) list.scrollTop = list.scrollHeight;
  });
  source.addEventListener("progress", (event) => {
    const now = JSON.parse(event.data);
    const part = now.total ? `, ${now.done} of ${now.total}` : "";
    if (state) state.textContent = now.step ? `Step ${now.step}: ${now.state}${part}` : now.state;
  });
  source.addEventListener("end", () => {
    source.close();
    if (state) state.textContent = "Ended. Load the page again for the whole record.";
  });
}
