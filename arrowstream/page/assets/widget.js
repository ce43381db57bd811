// The view in a cell of a notebook. This text comes after page.js in one script. The kernel sends the figures once a
// second, also while a cell of its notebook runs and keeps it from answering questions.

const FRESH = 3000; // milliseconds for which figures that were sent are those of this moment

function render({ model, el }) {
  const root = make("div", { class: "arrowstream as-live" });
  el.append(root);
  const open = new Map(); // number of a question -> what takes its answer
  const waiting = []; // what takes the next figures
  const first = model.get("first");
  let [asked, sent, when] = [0, first.state, Date.now()];
  const receive = ({ number, answer, error, state }) => {
    if (state !== undefined) {
      [sent, when] = [state, Date.now()];
      for (const resolve of waiting.splice(0)) resolve(state);
    }
    const { resolve, reject } = open.get(number) ?? {};
    open.delete(number);
    if (error !== undefined) reject?.(new Error(error));
    else resolve?.(answer);
  };
  model.on("msg:custom", receive);
  const ask = (what, values = {}) => new Promise((resolve, reject) => {
    asked += 1;
    open.set(asked, { resolve, reject });
    model.send({ number: asked, what, ...values });
  });
  // Asks for figures, and takes those that are sent before the kernel can answer.
  const next = () => new Promise((resolve, reject) => {
    waiting.push(resolve);
    ask("state").then(resolve, reject);
  });
  const over = () => sent.state !== "running" && sent.state !== "stopping";
  const end = show(root, {
    state: async () => (Date.now() - when < FRESH || over() ? sent : next()),
    graph: async () => (sent.planned === first.state.planned ? first.graph : ask("graph")),
    history: async () => first.history,
    tail: (stage, rows) => ask("tail", { stage, rows }),
    stop: () => ask("stop"),
  });
  return () => { end(); model.off("msg:custom", receive); };
}

export default { render };
