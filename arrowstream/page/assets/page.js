// The live view of a run. `show` draws into an element what an `ask` object answers: state, graph, history, tail, stop.
// Everything from the pipeline becomes text nodes; only the graph is markup, made and escaped by the engine.

const KEPT = 300; // samples of each sparkline, about one a second
const ROWS = 20; // last rows of a stage

const number = new Intl.NumberFormat("en-US");
const short = new Intl.NumberFormat("en-US", { notation: "compact", maximumSignificantDigits: 3 });

// Returns an element with attributes and children; strings become text.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") for (const [event, act] of Object.entries(value)) element.addEventListener(event, act);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

const known = (value, format) => (value === null || value === undefined ? "–" : format(value));
const count = (value) => known(value, (n) => number.format(n));
const rate = (value) => known(value, (n) => `${short.format(n)}/s`);
const share = (value) => known(value, (n) => `${Math.round(100 * n)} %`);
const wait = (ms) => known(ms, (n) => (n < 1 ? `${Math.round(1000 * n)} µs` : n < 1000 ? `${n.toPrecision(3)} ms` : duration(n / 1000)));

function duration(s) {
  if (s === null || s === undefined) return "–";
  if (s < 60) return `${s.toFixed(s < 10 ? 1 : 0)} s`;
  const [hours, minutes] = [Math.floor(s / 3600), Math.floor((s % 3600) / 60)];
  if (hours >= 48) return `${number.format(Math.floor(hours / 24))} d ${hours % 24} h`;
  return hours ? `${hours} h ${minutes} min` : `${minutes} min ${Math.floor(s % 60)} s`;
}

function backends(shares) {
  const parts = Object.entries(shares ?? {}).filter(([, part]) => part > 0);
  if (!parts.length) return "–";
  if (parts.length === 1) return parts[0][0];
  return parts.map(([name, part]) => `${name} ${Math.round(100 * part)} %`).join(", ");
}

// The columns of the table of stages: heading, what it means, text of a stage, and whether it is a number.
const COLUMNS = [
  ["rows in", "Rows that have come in", (s) => count(s.rows_in), true],
  ["rows out", "Rows that have gone out", (s) => count(s.rows_out), true],
  ["rows/s", "Rows a second, over the last seconds", (s) => rate(s.rows_per_second), true],
  ["queue", "Batches that wait in front of the stage, of those that may", (s) => (s.queue_capacity ? `${s.queue_depth} / ${s.queue_capacity}` : "–"), true],
  ["busy", "Share of the time in which the stage computes", (s) => share(s.busy_share), true],
  ["p99", "Latency that 99 % of the rows did not exceed, of late; after the run, over all of it", (s) => wait(s.recent_p99_ms ?? s.p99_ms), true],
  ["backend", "What has run the batches", (s) => backends(s.backend_shares), false],
  ["lag", "How far the watermark is behind the clock", (s) => duration(s.watermark_lag_seconds), true],
  ["late", "Rows that came after their window had closed", (s) => count(s.late_rows), true],
  ["errors", "Attempts that failed, also where a handler went on", (s) => count(s.errors), true],
];

const SVG = "http://www.w3.org/2000/svg";

function sparkline(values, label) {
  const [width, height] = [96, 20];
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "as-spark");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("width", width);
  svg.setAttribute("height", height);
  svg.setAttribute("role", "img");
  const most = Math.max(1, ...values);
  svg.setAttribute("aria-label", `${label}, at most ${short.format(most)} rows a second`);
  const step = width / Math.max(1, values.length - 1);
  const line = document.createElementNS(SVG, "polyline");
  line.setAttribute("points", values.map((v, i) => `${(i * step).toFixed(1)},${(height - 1 - (v / most) * (height - 3)).toFixed(1)}`).join(" "));
  svg.append(line);
  return svg;
}

class View {
  constructor(root, ask) {
    this.root = root;
    this.ask = ask;
    this.rates = new Map(); // stage id -> rows/s, oldest first
    this.rows = new Map(); // stage id -> its row of the table
    this.selected = null;
    this.outline = null;
    this.ended = false;
    this.asking = new Set(); // what is being asked for
    this.build();
  }

  build() {
    this.title = make("h1", {}, "arrowstream");
    this.status = make("span", { class: "as-status", role: "status" }, "connecting");
    this.stop = make("button", { type: "button", class: "as-stop", disabled: true, on: { click: () => this.askToStop() } }, "Stop");
    this.figures = make("dl", { class: "as-figures" });
    this.said = make("div", { class: "as-notes" });
    this.graph = make("div", { class: "as-scroll as-drawing" });
    const headings = [["stage", "A source, a step or a sink; choose one for its details"], ["last minutes", "Rows a second"], ...COLUMNS];
    this.body = make("tbody");
    const table = make("table", { class: "as-table as-stages", "aria-label": "stages" },
      make("thead", {}, make("tr", {}, ...headings.map(([name, tip, , right]) => make("th", { scope: "col", title: tip, class: right ? "as-number" : null }, name)))), this.body);
    this.detail = make("section", { class: "as-detail", "aria-label": "details of a stage", tabindex: "-1" }, make("p", { class: "as-said" }, "Choose a stage to see its columns, expressions and last rows."));
    this.root.replaceChildren(
      make("header", { class: "as-top" }, this.title, this.status, this.stop), this.figures, this.said,
      make("section", { "aria-label": "stages" }, make("h2", {}, "Stages"), make("div", { class: "as-scroll" }, table)),
      make("div", { class: "as-columns-2" },
        make("section", { "aria-label": "graph" }, make("h2", {}, "Graph"), this.graph), this.detail));
  }

  // Draws the graph anew; a pipeline that learns its columns from the first batch has another one after it.
  async draw() {
    const { outline, svg } = await this.ask.graph();
    this.outline = outline;
    const parsed = new DOMParser().parseFromString(svg, "image/svg+xml").documentElement;
    this.graph.replaceChildren(document.importNode(parsed, true));
    for (const node of this.graph.querySelectorAll("[data-stage]")) {
      node.setAttribute("role", "button");
      node.addEventListener("click", () => this.select(node.dataset.stage));
      node.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        this.select(node.dataset.stage);
      });
    }
    this.mark();
    if (this.selected !== null) this.describe(); // its columns may be known only now
  }

  async begin() {
    await this.draw();
    for (const [stage, values] of Object.entries(await this.ask.history())) this.rates.set(stage, values.slice(-KEPT));
    this.root.setAttribute("aria-busy", "false");
  }

  async update() {
    const state = await this.ask.state();
    const going = state.state === "running" || state.state === "stopping";
    const again = this.state !== undefined && state.seconds < this.state.seconds; // another run has begun
    if (again) {
      this.rates.clear();
      this.tail = null;
    }
    if (again || state.planned !== this.outline.planned) this.askFor(() => this.draw(), "graph");
    this.title.textContent = state.name;
    document.title = `${state.name} · ${state.state}`;
    this.status.textContent = state.state;
    this.status.dataset.status = state.state;
    this.stop.disabled = state.state !== "running";
    this.showFigures(state);
    this.showNotes(state);
    for (const stage of state.stages) this.showStage(stage, going);
    for (const [id, row] of this.rows) if (!state.stages.some((stage) => stage.id === id)) { row.line.remove(); this.rows.delete(id); }
    this.state = state;
    const before = this.ended;
    this.ended = !going; // whatever the last rows do: the server may be gone before they are asked for
    if (this.selected !== null) this.askFor(() => this.refresh(before), "rows");
  }

  // Asks for something besides the figures, which go on meanwhile: in a notebook the answer may have to wait for a
  // cell. What is still being asked for is not asked for again.
  askFor(what, name) {
    if (this.asking.has(name)) return;
    this.asking.add(name);
    what().catch((error) => this.lose(error)).finally(() => this.asking.delete(name));
  }

  showFigures(state) {
    const shown = [
      ["time", duration(state.seconds)], ["rows in", count(state.rows_in)], ["rows out", count(state.rows_out)],
      ["rows in a second", rate(state.rows_per_second)], ["latency p50", wait(state.p50_ms)], ["latency p99", wait(state.p99_ms)],
      ["batches waiting", count(state.queue_depth)], ["errors", count(state.errors)],
    ];
    this.figures.replaceChildren(...shown.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
  }

  showNotes(state) {
    const notes = state.losses === null ? [] : [make("p", { class: state.has_losses ? "as-lost" : "as-said" }, state.losses)];
    if (state.stopped !== null) notes.push(make("p", { class: "as-said" }, `stopped: ${state.stopped}`));
    if (state.error !== null) notes.push(make("pre", { class: "as-error", role: "alert" }, state.error));
    this.said.replaceChildren(...notes);
  }

  showStage(stage, going) {
    if (!this.rates.has(stage.id)) this.rates.set(stage.id, []);
    const rates = this.rates.get(stage.id);
    if (going) rates.push(stage.rows_per_second ?? 0);
    if (rates.length > KEPT) rates.shift();
    let row = this.rows.get(stage.id);
    if (row === undefined) {
      const button = make("button", { type: "button", class: "as-choose", on: { click: () => this.select(stage.id) } }, stage.id);
      row = { spark: make("td"), cells: COLUMNS.map(([, , , right]) => make("td", { class: right ? "as-number" : null })) };
      row.line = make("tr", { "data-row": stage.id }, make("th", { scope: "row" }, button), row.spark, ...row.cells);
      this.rows.set(stage.id, row);
      this.body.append(row.line);
    }
    row.spark.replaceChildren(sparkline(rates, stage.id));
    COLUMNS.forEach(([, , text], place) => { row.cells[place].textContent = text(stage); });
    row.line.classList.toggle("as-failing", stage.errors > 0);
  }

  select(id) {
    this.selected = id;
    this.tail = null;
    this.mark();
    this.describe();
    this.detail.focus({ preventScroll: true });
    this.detail.scrollIntoView({ block: "nearest" });
    this.askFor(() => this.refresh(), `rows of ${id}`);
  }

  mark() {
    for (const node of this.graph.querySelectorAll("[data-stage]")) {
      node.classList.toggle("as-chosen", node.dataset.stage === this.selected);
      node.setAttribute("aria-pressed", String(node.dataset.stage === this.selected));
    }
    for (const [id, row] of this.rows) row.line.classList.toggle("as-chosen", id === this.selected);
  }

  // Says what does not change about the chosen stage, and makes room for what does. It is made once for each choice,
  // so that what is focused or selected stays so.
  describe() {
    const node = this.outline.nodes.find((each) => each.id === this.selected);
    const part = (name, ...content) => make("details", { open: true }, make("summary", {}, name), ...content);
    this.errors = make("div");
    this.lastRows = make("div", {}, make("p", { class: "as-said" }, "waiting for rows"));
    this.costs = make("ul");
    const parts = [make("h3", {}, this.selected)];
    const lines = node ? [...node.reads, ...node.steps] : [];
    if (lines.length) parts.push(part("steps", make("pre", {}, lines.join("\n"))));
    const notes = node ? [node.backend && `backend ${node.backend}`, node.guarantee, ...node.policies, node.remark].filter(Boolean) : [];
    if (notes.length) parts.push(make("ul", { class: "as-said" }, ...notes.map((note) => make("li", {}, note))));
    parts.push(this.errors, part("last rows", this.lastRows));
    const columns = node?.columns_out ?? node?.columns_in;
    if (columns) parts.push(part("columns", dataTable(["column", "type"], columns)));
    if (node?.backend) parts.push(part("fitted costs", this.costs));
    this.detail.replaceChildren(...parts);
  }

  // Asks for what changes about the chosen stage.
  async refresh(ended = this.ended) {
    const id = this.selected;
    const answer = ended && this.tail !== null ? this.tail : await this.ask.tail(id, ROWS);
    if (id !== this.selected) return;
    this.tail = answer;
    const [names, types] = [answer.columns.map(([name]) => name), answer.columns.map(([, type]) => type)];
    replace(this.lastRows, answer.rows.length ? dataTable(names, answer.rows, types) : make("p", { class: "as-said" }, answer.said));
    replace(this.costs, ...answer.costs.map((cost) => make("li", {},
      `${cost.backend}: ${cost.fixed_us.toFixed(0)} µs a batch + ${cost.row_ns.toFixed(1)} ns a row, from ${number.format(cost.batches)} batches`)));
    const failed = this.state?.stages.find((each) => each.id === id)?.latest_errors ?? [];
    replace(this.errors, ...failed.map((text) => make("pre", { class: "as-error" }, text)));
  }

  // Says that nothing answers. The server of a page ends with its run: then the last figures stay as they are.
  lose(error) {
    if (this.ended) return;
    this.status.textContent = "no answer";
    this.status.dataset.status = "lost";
    this.stop.disabled = true;
    const at = this.state === undefined ? "" : ` The figures are those of ${new Date(1000 * this.state.unix_seconds).toLocaleTimeString()}.`;
    replace(this.said, make("p", { class: "as-lost" }, `The program has ended, or cannot be reached (${error.message}).${at}`));
  }

  askToStop() {
    this.stop.disabled = true;
    this.askFor(() => this.ask.stop(), "stop");
  }
}

// Replaces the children of an element, unless they look the same or the reader has selected text in them.
function replace(element, ...children) {
  const selection = document.getSelection();
  if (selection !== null && !selection.isCollapsed && element.contains(selection.anchorNode)) return;
  const next = make("div", {}, ...children);
  if (next.innerHTML !== element.innerHTML) element.replaceChildren(...next.childNodes);
}

// Returns a table of values; those of numeric types, which are its tips, are aligned to the right.
function dataTable(headings, rows, tips = []) {
  const face = (place) => (/^(U?Int|Float|Decimal)/.test(tips[place] ?? "") ? "as-number" : null);
  return make("div", { class: "as-scroll" }, make("table", { class: "as-table" },
    make("thead", {}, make("tr", {}, ...headings.map((name, place) => make("th", { scope: "col", title: tips[place] ?? null, class: face(place) }, name)))),
    make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((value, place) => make("td", { class: face(place) }, value === null ? make("i", {}, "null") : value)))))));
}

// Draws into `root` until the run has ended; returns a function that ends the drawing sooner. A page that nobody sees
// asks for nothing.
export function show(root, ask, every = 1000) {
  const view = new View(root, ask);
  let over = false;
  let begun = false;
  async function turn() {
    if (over) return;
    try {
      if (!document.hidden) {
        if (!begun) { await view.begin(); begun = true; }
        await view.update();
      }
    } catch (error) {
      view.lose(error);
    }
    if (!over) setTimeout(turn, every);
  }
  turn();
  return () => { over = true; };
}
