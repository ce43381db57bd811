// Starts the view in a page of its own: what it asks for comes from the server of this page.

import { show } from "./page.js";

async function get(path) {
  const answer = await fetch(path, { headers: { "X-Arrowstream": "page" } });
  if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
  return answer.json();
}

show(document.getElementById("view"), {
  state: () => get("state"),
  graph: () => get("graph"),
  history: () => get("history"),
  tail: (stage, rows) => get(`tail?rows=${rows}&stage=${encodeURIComponent(stage)}`),
  stop: () => fetch("stop", { method: "POST", headers: { "X-Arrowstream": "page" } }),
});
