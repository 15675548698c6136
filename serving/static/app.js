// The demo page: ranks the items that training saw most often, and any others that are asked for (?items=a,b), for one
// user, with one or two bundles.
const PAGE_SIZE = 12;
const PAST_SIZE = 8;
const WHY_SIZE = 18;
const MISSING_SIZE = 8;
const byId = (id) => document.getElementById(id);
const state = { model: null, ranked: null, shown: PAGE_SIZE, similar: {}, chosen: null, titles: {} };

function node(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") made.textContent = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "css") Object.assign(made.style, value);
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

async function ask(path, body) {
  const headers = {};
  const key = sessionStorage.getItem("llactr-key");
  if (key) headers["X-API-Key"] = key;
  if (body) headers["Content-Type"] = "application/json";
  const answer = await fetch(path, { headers, method: body ? "POST" : "GET", body: body && JSON.stringify(body) });
  const content = await answer.json().catch(() => ({}));
  if (answer.status === 401) byId("key-form").hidden = false;
  if (!answer.ok) throw new Error(content.detail || `the service answered ${answer.status}`);
  return content;
}

function say(text) {
  byId("message").textContent = text;
}

// ---------------------------------------------------------------- the bundle

function chip(name, value, title) {
  return node("span", { class: "chip", title: title || value }, node("span", { class: "name", text: name }), node("b", { text: value }));
}

function short(text, length = 12) {
  return text && text.length > length ? `${text.slice(0, length)}…` : text || "none";
}

async function showReadiness() {
  const ready = await fetch("/readyz").then((answer) => answer.ok, () => false);
  const dot = byId("ready-dot");
  if (dot) {
    dot.classList.toggle("up", ready);
    byId("ready-text").textContent = ready ? "ready" : "not ready";
  }
}

function showFacts(model) {
  const auc = model.metrics?.test?.auc;
  byId("facts").replaceChildren(
    node("span", { class: "chip" }, node("i", { class: "dot", id: "ready-dot" }), node("b", { id: "ready-text", text: "…" })),
    chip("dataset", model.dataset),
    chip("model", `${model.backbone}${model.enhanced ? " + field semantics" : ""}${model.values_version ? " + value vectors" : ""}${model.history ? " + history" : ""}`, model.bundle),
    chip("semantics", short(model.semantics_version), model.semantics_version),
    ...(typeof auc === "number" ? [chip("test AUC", auc.toFixed(4))] : []),
  );
}

function contextInputs(model) {
  const fields = model.fields.filter((field) => field.owner === "context" && field.kind !== "timestamp_part");
  byId("context").replaceChildren(
    ...fields.map((field, place) => {
      const values = field.values || [];
      const known = values.length ? { list: `known-${place}`, placeholder: `such as ${values[0]}` } : {};
      const input = { "data-field": field.name, "data-kind": field.kind, maxlength: "256", autocomplete: "off", ...known };
      return node(
        "label",
        { title: field.description },
        node("span", { text: field.name }),
        node("input", { ...input, ...(field.kind === "numeric" ? { type: "number", step: "any" } : {}) }),
        ...(values.length ? [node("datalist", { id: `known-${place}` }, ...values.map((value) => node("option", { value })))] : []),
      );
    }),
  );
}

function contextValues() {
  const context = {};
  for (const input of byId("context").querySelectorAll("input")) {
    if (input.value !== "") context[input.dataset.field] = input.dataset.kind === "numeric" ? Number(input.value) : input.value;
  }
  return context;
}

// ---------------------------------------------------------------- the ranking

// A rate of clicks may be small: two digits that say something at least.
function percent(score) {
  const value = 100 * score;
  return `${value >= 1 ? value.toFixed(1) : Number(value.toPrecision(2))} %`;
}

function ranking(scores) {
  const order = scores.map((_, index) => index).sort((a, b) => scores[b] - scores[a] || a - b);
  const place = new Array(scores.length);
  order.forEach((index, rank) => (place[index] = rank));
  return { order, place, scores };
}

// Who, when and under what circumstances, as the form says.
function asked() {
  const body = { context: contextValues() };
  if (state.model.examples.user) body.user = byId("user").value;
  const moment = byId("moment").value;
  if (moment) body.timestamp = `${moment.slice(0, 16)}:00Z`;
  return body;
}

async function rank() {
  const model = state.model;
  const added = byId("added").value.split(",").map((key) => key.trim()).filter(Boolean);
  const items = [...new Set([...added, ...(model.examples.item || [])])];
  if (!items.length) {
    const known = model.fields.some((field) => field.owner === "item");
    const missing = known ? "training saw no items by their keys: name some under Rank these as well" : "this dataset has no items: score rows with /v1/predict";
    byId("columns").replaceChildren(node("p", { class: "muted", text: missing }));
    throw new Error("there are no items to rank");
  }
  const body = { ...asked(), items, return_features: true, compare: Boolean(model.compare) };
  const began = performance.now();
  const answer = await ask("/v1/rank", body);
  byId("timing").textContent = `${items.length} candidates in ${(performance.now() - began).toFixed(0)} ms`;
  state.ranked = { answer, main: ranking(answer.scores), second: answer.compare ? ranking(answer.compare.scores) : null, added: new Set(added) };
  state.shown = PAGE_SIZE;
  byId("why").hidden = true;
  showPerson(answer);
  sayMissing();
  showColumns();
  await showPast(answer);
}

function showPerson(answer) {
  const fields = state.model.fields.filter((field) => field.owner === "user");
  const chips = fields.map((field) => {
    const value = answer.features[field.name]?.[0];
    return chip(field.name.replaceAll("_", " "), value === null || value === undefined ? "unknown" : String(value), field.description);
  });
  if (answer.cold.user) chips.push(chip("cold start", "not in the store"));
  byId("person").replaceChildren(...chips);
}

function words(field, value) {
  if (value === null || value === undefined || value === "") return "";
  if (field.kind === "multi_valued") return String(value).split(/[|, ]+/).filter(Boolean).join(" · ");
  return field.kind === "timestamp_part" ? String(value).slice(0, 10) : String(value);
}

function titleField() {
  const fields = state.model.fields.filter((field) => field.owner === "item");
  return fields.find((field) => /title|name/i.test(field.name)) || fields[0];
}

// The store has no row of it: all that is there of the item is its key, which was asked for.
function isMissing(index) {
  const { answer } = state.ranked;
  if (!answer.cold.item) return false;
  const values = state.model.fields.filter((field) => field.owner === "item").map((field) => answer.features[field.name]?.[index]);
  return values.every((value) => value === null || value === undefined || value === "" || String(value) === answer.items[index]);
}

function sayMissing() {
  const { answer } = state.ranked;
  const keys = answer.items.filter((_, index) => isMissing(index));
  byId("missing").hidden = !keys.length;
  const rest = keys.length > MISSING_SIZE ? ` and ${keys.length - MISSING_SIZE} more` : "";
  byId("missing").textContent = `Not in the online store, scored as if nothing were known of them: ${keys.slice(0, MISSING_SIZE).join(", ")}${rest}`;
}

// What training never saw: scored by the vectors of its texts, or cold for a model without any; else what was asked for.
function badge(index, kind) {
  const { answer, added } = state.ranked;
  const placed = answer.placed?.[index] || [];
  if (isMissing(index)) return [node("span", { class: "new asked", text: "not in the store", title: "the online store has no row of this key" })];
  if (placed.length && !kind.values_version) return [node("span", { class: "new asked", text: "cold", title: "never seen in training, and this model has no value vectors" })];
  if (placed.length) return [node("span", { class: "new", text: "new", title: `never seen in training, placed by its text: ${placed.join(", ")}` })];
  return added.has(answer.items[index]) ? [node("span", { class: "new asked", text: "asked for" })] : [];
}

function itemNode(kind, index, rank, own, other) {
  const { answer } = state.ranked;
  const title = titleField();
  const value = (field) => words(field, answer.features[field.name]?.[index]);
  const rest = state.model.fields.filter((field) => field.owner === "item" && field !== title && !/_?id$/i.test(field.name));
  const score = own.scores[index];
  const named = (title && value(title)) || answer.items[index];
  const key = named === answer.items[index] ? [] : [node("span", { class: "of", text: answer.items[index], title: "its key" })];
  const moved = other ? other.place[index] - rank : 0;
  const made = node(
    "li",
    { class: "item", "data-index": index, title: state.model.fields.filter((f) => f.owner === "item").map((f) => `${f.name}: ${value(f) || "none"}`).join("\n") },
    node("span", { class: "rank", text: rank + 1 }),
    node("span", { class: "title" }, node("span", { class: "words", text: named }), ...badge(index, kind), ...key),
    node("span", { class: "score", text: percent(score) }),
    node("span", { class: "more", text: rest.map(value).filter(Boolean).join("   ") || " " }),
    node("span", { class: `move ${moved > 0 ? "up" : moved < 0 ? "down" : ""}`, text: other ? (moved > 0 ? `▲ ${moved}` : moved < 0 ? `▼ ${-moved}` : "=") : "" }),
    node("span", { class: "bar" }, node("i", { css: { width: `${100 * score}%` } })),
  );
  if (state.model.history) {
    const item = answer.items[index];
    made.classList.add("open");
    made.append(acts(item));
    made.addEventListener("click", guarded(() => push(item, 1)));
  }
  made.addEventListener("mouseenter", () => mark(index, true));
  made.addEventListener("mouseleave", () => mark(index, false));
  return made;
}

function mark(index, on) {
  for (const item of document.querySelectorAll(`.item[data-index="${index}"]`)) item.classList.toggle("same", on);
}

function column(kind, bundle, own, other) {
  const count = Math.min(state.shown, own.order.length);
  const label = kind.enhanced ? "enhanced" : kind.values_version ? "values" : "plain";
  return node(
    "div",
    { class: `column ${label}` },
    node("h3", {}, node("span", { class: "badge", text: `${kind.backbone} · ${kind.history ? (label === "plain" ? "history" : `${label} + history`) : label}` }), node("span", { class: "muted", text: bundle, title: bundle })),
    // The best ones, and wherever they stand those that were asked for.
    node(
      "ol",
      {},
      ...own.order.flatMap((index, rank) =>
        rank < count || state.ranked.added.has(state.ranked.answer.items[index]) ? [itemNode(kind, index, rank, own, other)] : [],
      ),
    ),
  );
}

function showColumns() {
  const { main, second, answer } = state.ranked;
  const columns = [[state.model, answer.bundle, main, second]];
  if (second) columns.push([state.model.compare, answer.compare.bundle, second, main]);
  // Plain on the left: one reads from what was to what is.
  const bare = (kind) => !kind.enhanced && !kind.values_version && !kind.history;
  columns.sort((a, b) => Number(bare(b[0])) - Number(bare(a[0])));
  // How far an item moved is said once, in the right column.
  byId("columns").replaceChildren(...columns.map(([kind, bundle, own, other], place) => column(kind, bundle, own, place ? other : null)));
  byId("more").hidden = state.shown >= main.order.length;
}

// ---------------------------------------------------------------- the past

// What the person did last, out of the state that was read for this ranking; without history there is none.
async function showPast(answer) {
  byId("past").hidden = !answer.recent;
  if (!answer.recent) return;
  const title = titleField();
  const keep = (found) => found.items.forEach((key, index) => (state.titles[key] = (title && words(title, found.features[title.name]?.[index])) || key));
  keep(answer);
  const latest = answer.recent.slice(0, PAST_SIZE);
  const missing = [...new Set(latest.map((event) => event.item).filter((key) => key !== null && !(key in state.titles)))];
  if (missing.length) keep(await ask("/v1/rank", { ...asked(), items: missing, return_features: true }));
  byId("recent").replaceChildren(
    ...latest.map((event) =>
      node(
        "li",
        { title: `${event.item ?? "an item that this model does not know"}: ${event.outcome ? "a click" : "no click"}, ${event.timestamp}` },
        node("span", { class: event.outcome ? "yes" : "no", text: event.outcome ? "✓" : "✗" }),
        node("span", { class: "words", text: event.item === null ? "an unknown item" : state.titles[event.item] }),
        node("span", { class: "when", text: event.timestamp.slice(0, 10) }),
      ),
    ),
  );
  const more = answer.recent.length - latest.length;
  byId("past-note").textContent = answer.recent.length ? (more ? `and ${more} more that the model reads` : "") : "nothing before this moment";
}

// Tells the service what came of an item, then ranks again, after it.
async function push(item, outcome) {
  const { outcome_delay_s: delay } = state.model.history;
  const event = { ...asked(), item, outcome };
  const pushed = await ask("/v1/events", event);
  if (event.timestamp) {
    // Events count strictly after their time: the form's moment goes on to the next minute at which this one does.
    const after = new Date(Date.parse(event.timestamp) + 60000 * (1 + Math.floor(delay / 60)));
    byId("moment").value = after.toISOString().slice(0, 16);
  }
  await rank();
  const words = `${outcome ? "a click" : "no click"} on ${state.titles[item] || item}`;
  const later = delay && !event.timestamp ? `; its outcome counts after ${delay} s` : "";
  byId("push-note").textContent = pushed.repeated ? `${words} was there already at this time` : `pushed: ${words}${later}`;
}

function acts(item) {
  const act = (text, title, work) => node("button", { type: "button", text, title, onclick: (event) => { event.stopPropagation(); guarded(work)(); } });
  return node(
    "span",
    { class: "acts" },
    act("click", "push a click on this item", () => push(item, 1)),
    act("skip", "push that it was seen and not clicked", () => push(item, 0)),
    act("why", "what each field does to the score", () => why(item)),
  );
}

// The score of one item with each field left out, the strongest first.
async function why(item) {
  const answer = await ask("/v1/explain", { ...asked(), item });
  const parts = [...answer.fields, ...(answer.history || []).map((part) => ({ ...part, past: true }))];
  parts.sort((a, b) => Math.abs(b.contribution) - Math.abs(a.contribution));
  const most = Math.max(1e-6, Math.abs(parts[0].contribution));
  const described = (part) => (part.past ? state.model.history.fields[part.field] : state.model.fields.find((field) => field.name === part.field)?.description);
  byId("why").replaceChildren(
    node("h3", { text: `Why ${state.titles[item] || item} has ${percent(answer.score)}` }),
    node("p", { class: "muted", text: "By how much the logit would be lower with a field alone taken for unknown. Fields that say the same hide each other; the parts need not add up." }),
    node(
      "dl",
      {},
      ...parts.slice(0, WHY_SIZE).map((part) => {
        const share = (50 * Math.abs(part.contribution)) / most;
        const bar = node("i", { css: { width: `${share}%`, left: part.contribution >= 0 ? "50%" : `${50 - share}%`, background: part.contribution >= 0 ? "var(--good)" : "var(--bad)" } });
        return node(
          "div",
          { class: "near", title: `${described(part) || part.field}; without it ${percent(part.without)}` },
          node("span", { text: part.past ? `${part.field} (past)` : part.field }),
          node("span", { text: `${part.contribution >= 0 ? "+" : "−"}${Math.abs(part.contribution).toFixed(2)}` }),
          node("span", { class: "track" }, bar),
        );
      }),
    ),
  );
  byId("why").hidden = false;
  byId("why").scrollIntoView({ block: "nearest" });
}

// ---------------------------------------------------------------- the map of fields

function colour(cosine) {
  const strength = Math.min(1, Math.abs(cosine));
  return `color-mix(in oklab, var(${cosine >= 0 ? "--warm" : "--cold"}) ${(100 * strength).toFixed(0)}%, var(--paper))`;
}

async function showMap() {
  const centered = byId("centered").checked;
  const names = state.model.fields.map((field) => field.name);
  const answers = await Promise.all(names.map((name) => ask(`/v1/fields/${encodeURIComponent(name)}/similar?centered=${centered}`)));
  state.similar = Object.fromEntries(answers.map((answer) => [answer.field, answer.similar]));
  const grid = byId("grid");
  grid.style.gridTemplateColumns = `minmax(60px, 104px) repeat(${names.length}, minmax(14px, 1fr))`;
  const cells = [];
  for (const row of names) {
    const cosines = Object.fromEntries(state.similar[row].map((other) => [other.field, other.cosine]));
    cells.push(node("button", { type: "button", class: "row-name", "data-field": row, text: row, onclick: () => choose(row) }));
    for (const other of names) {
      const cosine = row === other ? 1 : cosines[other];
      const cell = node("button", { type: "button", class: "cell", title: `${row} and ${other}: ${cosine.toFixed(3)}`, "aria-label": `${row} and ${other}: ${cosine.toFixed(3)}`, onclick: () => choose(row) });
      cell.style.background = colour(cosine);
      cells.push(cell);
    }
  }
  cells.push(node("span"), ...names.map((name) => node("span", { class: "column-name", text: name })));
  grid.replaceChildren(...cells);
  choose(state.chosen && names.includes(state.chosen) ? state.chosen : names[0]);
}

function choose(name) {
  state.chosen = name;
  for (const made of document.querySelectorAll(".row-name")) made.classList.toggle("on", made.dataset.field === name);
  const field = state.model.fields.find((one) => one.name === name);
  byId("nearest").replaceChildren(
    node("h3", { text: name }),
    node("p", { class: "muted", text: field.description }),
    node(
      "dl",
      {},
      ...state.similar[name].slice(0, 6).map((other) => {
        const bar = node("i");
        bar.style.left = other.cosine >= 0 ? "50%" : `${50 + 50 * other.cosine}%`;
        bar.style.width = `${50 * Math.abs(other.cosine)}%`;
        bar.style.background = other.cosine >= 0 ? "var(--warm)" : "var(--cold)";
        return node("div", { class: "near", title: other.description }, node("span", { text: other.field }), node("span", { text: other.cosine.toFixed(3) }), node("span", { class: "track" }, bar));
      }),
    ),
    node("div", { class: "legend" }, node("span", { text: "unlike" }), node("span", { class: "ramp" }), node("span", { text: "alike" })),
  );
}

// ---------------------------------------------------------------- begin

function guarded(work) {
  return async (event) => {
    event?.preventDefault();
    try {
      say("");
      await work();
    } catch (error) {
      say(error.message);
    }
  };
}

async function begin() {
  const model = await ask("/v1/model");
  state.model = model;
  byId("key-form").hidden = true;
  showFacts(model);
  showReadiness();
  contextInputs(model);
  const users = model.examples.user || [];
  byId("users").replaceChildren(...users.map((user) => node("option", { value: user })));
  byId("user").value = byId("user").value || users[0] || "";
  byId("user").closest("label").hidden = !users.length;
  byId("added").value = byId("added").value || new URLSearchParams(location.search).get("items") || "";
  byId("push-note").hidden = !model.history;
  // What cannot be clicked says why.
  byId("no-past").hidden = Boolean(model.history);
  byId("no-past").textContent = `This model${model.values_version ? ", with value vectors," : ""} reads no past: what a person did changes nothing here.`;
  // With history an empty moment is now, to the second: what was just pushed counts.
  if (model.history) byId("moment-label").textContent = "Moment (UTC), now if empty";
  else byId("moment").value = new Date().toISOString().slice(0, 16);
  await Promise.all([rank(), showMap()]);
  document.body.dataset.ready = "yes";
}

byId("form").addEventListener("submit", guarded(rank));
byId("another").addEventListener("click", guarded(async () => {
  const users = state.model.examples.user || [];
  byId("user").value = users[Math.floor(Math.random() * users.length)];
  await rank();
}));
byId("more").addEventListener("click", () => {
  state.shown += PAGE_SIZE;
  showColumns();
});
byId("centered").addEventListener("change", guarded(showMap));
byId("key-form").addEventListener("submit", guarded(async () => {
  sessionStorage.setItem("llactr-key", byId("key").value);
  await begin();
}));
guarded(begin)();
setInterval(showReadiness, 5000);
