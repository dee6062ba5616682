// The page: runs on the left, what the chosen one can do on the right.
import { makeControl } from "./controls.js";
import { framed, items, large, morph, music, pairs, player } from "./outputs.js";
import { currentLanguage, element, LANGUAGES, say, setLanguage, text, translate } from "./words.js";

const byId = (id) => document.getElementById(id);
const panel = byId("panel"), status = byId("status");
let runs = [], run = null, controls = [], marks = new Map(), opened = 0;

// Requests

async function ask(path, body) {
  const options = body === undefined ? {}
    : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error(text("gone"));
  }
  if (!answer.ok) {
    const found = await answer.json().catch(() => ({}));
    throw new Error(found.error ?? text("failed"));
  }
  return answer;
}

const json = async (path, body) => (await ask(path, body)).json();

function tell(key, values = {}) {
  status.className = "";
  say(status, key, values);
}

function complain(error) {
  delete status.dataset.text;
  status.className = "error";
  status.textContent = error.message;
}

async function tried(task) {
  try { await task(); } catch (error) { complain(error); }
}

async function download(path, body, name) {
  const blob = await (await ask(path, body)).blob();
  const link = element("a", { href: URL.createObjectURL(blob), download: `${name}.zip` });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  tell("saved", { name: `${name}.zip` });
}

// Languages

function showLanguage() {
  document.documentElement.lang = currentLanguage();
  for (const button of byId("languages").children) {
    button.setAttribute("aria-pressed", String(button.dataset.language === currentLanguage()));
  }
  translate(document.body);
  controls.forEach((control) => control.say());
}

for (const button of byId("languages").children) {
  button.addEventListener("click", () => { setLanguage(button.dataset.language); showLanguage(); });
}

// Runs

const facts = (entry) => ({ model: entry.model, data: entry.data, seed: entry.seed, name: entry.name,
  size: entry.parameters ? `${(entry.parameters / 1e6).toFixed(1)} M` : "?" });

// Whether another run has the same words in the list: then its folder tells them apart.
const twin = (entry) => runs.some((other) => other.id !== entry.id && other.title === entry.title && other.data === entry.data);

function listRuns() {
  byId("runs").replaceChildren(...runs.map((entry) => {
    const thumb = entry.picture
      ? element("img", { class: "thumb", src: `/runs/${entry.id}/picture`, alt: "", loading: "lazy" })
      : element("span", { class: "thumb", "aria-hidden": "true" }, entry.modality === "Text" ? "文" : null);
    const button = element("button", { type: "button", "data-run": entry.id }, thumb,
      element("span", {}, element("strong", {}, entry.title),
        element("small", { "data-text": `model.${entry.model}` }), element("small", {}, twin(entry) ? entry.name : entry.data)));
    button.addEventListener("click", () => openRun(entry.id));
    return element("li", {}, button);
  }));
}

async function openRun(id, tab = null) {
  const turn = ++opened;
  for (const button of document.querySelectorAll("[data-run]")) {
    button.setAttribute("aria-current", String(button.dataset.run === id));
  }
  const entry = runs.find((found) => found.id === id);
  history.replaceState(null, "", `#${entry.name}`);
  run = null;
  controls = [];
  byId("tabs").replaceChildren();
  panel.replaceChildren();
  byId("about").replaceChildren(element("h2", {}, entry.title),
    element("p", { "data-text": `what.${entry.model}` }), element("p", { class: "soft", "data-text": "facts", "data-values": facts(entry) }));
  tell("loading");
  await tried(async () => {
    const [described, judged] = await Promise.all([json(`/runs/${id}`), json(`/runs/${id}/marks`)]);
    if (turn !== opened) return;
    run = described;
    marks = new Map(judged.marks.map((mark) => [keyOf(mark.settings), mark]));
    listTabs();
    openTab(tab in tabsOf(run) ? tab : Object.keys(tabsOf(run))[0]);
  });
}

function tabsOf(described) {
  const judged = Object.values(described.tabs).some((tab) => tab.judged);
  const drawn = Object.fromEntries(Object.entries(described.tabs).map(([name, tab]) => [name, () => showDrawing(name, tab)]));
  return { ...drawn, ...(described.pairs ? { pairs: showPairs } : {}), ...(described.film ? { film: showFilm } : {}), ...(judged ? { blind: showBlind, kept: showKept } : {}) };
}

function listTabs() {
  const names = Object.keys(tabsOf(run));
  byId("tabs").replaceChildren(...names.map((name, number) => {
    const tab = element("button", { type: "button", role: "tab", id: `tab-${name}`, "aria-controls": "panel", "data-text": `tab.${name}` });
    tab.addEventListener("click", () => openTab(name));
    tab.addEventListener("keydown", (event) => {
      const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (move) {
        openTab(names[(number + move + names.length) % names.length]);
        byId("tabs").querySelector("[aria-selected=true]").focus();
      }
    });
    return tab;
  }));
}

function openTab(name) {
  if (name === undefined) return tell("nothing");
  for (const tab of byId("tabs").children) {
    const chosen = tab.id === `tab-${name}`;
    tab.setAttribute("aria-selected", String(chosen));
    tab.tabIndex = chosen ? 0 : -1;
  }
  panel.setAttribute("aria-labelledby", `tab-${name}`);
  panel.replaceChildren();
  panel.classList.remove("busy");
  controls = [];
  tell("empty");
  tabsOf(run)[name]();
}

// Drawing

// Calls of `task`, one at a time; of those that come while one runs, only the last is kept. `busy` is told true from a call on,
// false when no call is left.
function latest(task, busy) {
  let running = false, again = false, timer = 0;
  const go = async () => {
    timer = 0;
    if (running) { again = true; return; }
    running = true;
    do { again = false; await tried(task); } while (again);
    running = false;
    if (!timer) busy(false);
  };
  return (wait = 0) => { clearTimeout(timer); busy(true); timer = setTimeout(go, wait); };
}

function valuesOf(described) {
  return Object.fromEntries(described.map((control) => [control.name, control.value()]));
}

function showDrawing(name, tab) {
  const own = run, described = tab.controls;
  const output = element("div", { class: "sides" }), judge = element("div");
  let other = null;
  const alive = () => output.isConnected && run === own;
  const settings = () => valuesOf(controls);
  const redraw = latest(async () => {
    if (!alive()) return;
    const asked = settings();
    if ("drawing" in asked && !asked.drawing.some(Boolean)) return output.replaceChildren();
    tell("drawing");
    const began = performance.now();
    try {
      const sides = [own, ...(other ? [other] : [])];
      const found = [];
      for (const side of sides) found.push(await json(`/runs/${side.id}/draw`, { tab: name, settings: shared(side, name, asked) }));
      if (!alive()) return;
      output.classList.toggle("two", sides.length > 1);
      judge.replaceChildren();
      output.replaceChildren(...found.map((drawn, side) => {
        const shown = show(drawn, tab.judged && side === 0 ? judge : null, name, `${name}-${side}`);
        return element("div", {}, sides.length > 1 ? element("h3", {}, sides[side].name) : null, ...framed(drawn, shown));
      }));
      tell("drawn", { seconds: ((performance.now() - began) / 1000).toFixed(1) });
    } catch (error) {
      if (alive()) [output, judge].forEach((shown) => shown.replaceChildren()); // what other settings drew
      throw error;
    }
  }, (busy) => alive() && panel.classList.toggle("busy", busy));
  controls = described.map((control) => Object.assign(makeControl(control, () => redraw(120)), { name: control.name }));
  const seed = controls.find((control) => control.name === "seed");
  const bar = element("div", { class: "bar" });
  if (seed) {
    const button = element("button", { type: "button", class: "primary", id: "go", "data-text": `go.${name}` });
    button.addEventListener("click", () => {
      seed.set(Math.floor(Math.random() * 1_000_000));
      redraw();
    });
    bar.append(button);
  }
  const save = element("button", { type: "button", id: "save", "data-text": "download" });
  save.addEventListener("click", () => tried(() => download(`/runs/${own.id}/save`, { tab: name, settings: settings() }, `${own.title}-${name}`)));
  bar.append(save);
  if (tab.judged) bar.append(comparison(own, name, (found) => { other = found; redraw(); }));
  const first = controls.filter((control) => control.first).map((control) => control.node);
  const above = controls.filter((control) => control.above).map((control) => control.node);
  const rest = controls.filter((control) => !control.first && !control.above).map((control) => control.node);
  panel.append(element("p", { class: "soft", "data-text": `explain.${name}` }), ...above, bar,
    element("div", { class: "work" }, element("div", { class: first.length ? "beside" : null }, ...first, output, judge), element("fieldset", { class: "controls", "data-label": "settings" }, ...rest)));
  redraw();
}

// The settings that a run's tab knows, of those given.
function shared(side, name, given) {
  const known = (side.tabs[name]?.controls ?? []).filter((control) => control.name in given);
  const possible = known.filter((control) => control.kind !== "choice" || given[control.name] === null || control.choices.includes(given[control.name]));
  return Object.fromEntries(possible.map((control) => [control.name, given[control.name]]));
}

function comparison(own, name, chosen) {
  const others = runs.filter((entry) => entry.id !== own.id);
  const input = element("select", { id: "compare" }, element("option", { value: "", "data-text": "nobody" }),
    ...others.map((entry) => element("option", { value: entry.id }, entry.name)));
  input.addEventListener("change", () => tried(async () => {
    tell("loading");
    const found = input.value ? await json(`/runs/${input.value}`) : null;
    if (found && !(name in found.tabs)) throw new Error(text("incomparable"));
    chosen(found);
  }));
  return element("span", { class: "bar" }, element("label", { for: "compare", "data-text": "compare" }), input);
}

// Outputs

function show(drawn, judge, tab, id) {
  if (drawn.kind === "morph") return morph(drawn);
  if (drawn.kind === "large") return large(drawn);
  if (drawn.items.some((item) => item.label)) return pairs(drawn);
  return grid(drawn.items, judge, tab, id);
}

const keyOf = (settings) => JSON.stringify(Object.entries(settings).sort());
const nameOf = (settings) => Object.entries(settings ?? {}).filter(([, value]) => value !== "")
  .map(([name, value]) => `${text(`setting.${name}`)} ${text(`choice.${name}.${value}`, String(value))}`).join(", ");

// Samples in a list; with `judge`, a place below it, they can be chosen, kept and rejected.
function grid(found, judge, tab, id) {
  const verses = found.filter((item) => item.kind === "verse").length;
  const tunes = found.some((item) => item.kind === "music");
  const kind = tunes ? "grid tunes" : 2 * verses > found.length ? "grid verses" : found.some((item) => item.kind !== "image") ? "grid texts" : "grid";
  if (!judge) {
    return element("div", { class: kind }, ...found.map((item) => {
      const label = item.settings ? `${text("setting.seed")} ${item.settings.seed}` : "";
      return element("figure", { class: "tile" }, items[item.kind](item, label));
    }));
  }
  const list = element("div", { class: kind, role: "listbox", "data-label": "samples", id });
  const tiles = found.map((item) => {
    const inside = item.kind === "music" ? music(item, "") : items[item.kind](item, "");
    const tile = element("div", { class: "tile", role: "option", "aria-selected": "false", tabindex: -1 }, inside, element("span", { class: "badge", "aria-hidden": "true" }));
    tile.addEventListener("click", () => choose(tile, item));
    return tile;
  });
  const paint = (tile, item) => {
    const mark = marks.get(keyOf(item.settings))?.mark ?? "none";
    tile.dataset.mark = mark;
    tile.lastChild.hidden = mark === "none";
    tile.lastChild.textContent = { keep: "✓", reject: "✗", none: "" }[mark];
    const said = item.kind === "image" ? "" : item.kind === "music" ? JSON.parse(item.data).title : item.data.slice(0, 60);
    tile.setAttribute("aria-label", [`${text("setting.seed")} ${item.settings.seed}`, said, text(`mark.${mark}`)].filter(Boolean).join(", "));
  };
  const choose = (tile, item, focus = false) => {
    for (const each of tiles) {
      each.setAttribute("aria-selected", String(each === tile));
      each.tabIndex = each === tile ? 0 : -1;
    }
    if (focus) tile.focus();
    judge.replaceChildren(judging(item, tab, () => paint(tile, item)));
  };
  list.addEventListener("keydown", (event) => {
    if (!event.target.closest("[role=option]")) return; // a player has keys of its own
    const now = Math.max(0, tiles.indexOf(document.activeElement));
    const columns = getComputedStyle(list).gridTemplateColumns.split(" ").length;
    const last = tiles.length - 1;
    const next = { ArrowRight: now + 1, ArrowLeft: now - 1, ArrowDown: now + columns, ArrowUp: now - columns, Home: 0, End: last,
      Enter: now, " ": now }[event.key];
    if (next !== undefined) {
      event.preventDefault();
      const to = Math.min(last, Math.max(0, next));
      choose(tiles[to], found[to], true);
    } else if (["k", "r"].includes(event.key.toLowerCase()) && !event.ctrlKey && !event.metaKey && !event.altKey) {
      if (tiles[now].getAttribute("aria-selected") !== "true") choose(tiles[now], found[now], true);
      judge.querySelector(event.key.toLowerCase() === "k" ? "[data-kind=keep]" : "[data-kind=reject]")?.click();
    }
  });
  tiles.forEach((tile, number) => paint(tile, found[number]));
  if (tiles.length) tiles[0].tabIndex = 0;
  list.append(...tiles.map((tile, number) => (found[number].kind === "music" ? element("div", { role: "none" }, tile, player(found[number])) : tile)));
  judge.replaceChildren(element("p", { class: "soft", "data-text": run.writable ? "judge" : "readonly", "data-values": { name: run.name } }));
  return list;
}

function judging(item, tab, changed) {
  const own = run, key = keyOf(item.settings);
  const before = () => marks.get(key) ?? { mark: "none", note: "" };
  const box = element("div", { class: "judge", role: "group", "data-label": "judging" }, element("strong", {}, nameOf(item.settings)));
  if (!own.writable) {
    box.append(element("p", { class: "soft", "data-text": "readonly", "data-values": { name: own.name } }));
    return box;
  }
  const note = element("input", { type: "text", maxlength: 1000, "data-label": "note", id: "note" });
  note.value = before().note;
  note.placeholder = text("note");
  const buttons = ["keep", "reject"].map((kind) => {
    const button = element("button", { type: "button", "data-kind": kind, "data-text": `do.${kind}` });
    button.addEventListener("click", () => write(before().mark === kind ? "none" : kind));
    return button;
  });
  const paint = () => buttons.forEach((button) => button.setAttribute("aria-pressed", String(before().mark === button.dataset.kind)));
  const write = (mark) => tried(async () => {
    await ask(`/runs/${own.id}/mark`, { tab, settings: item.settings, mark, note: note.value });
    marks.set(key, { settings: item.settings, mark, note: note.value });
    paint();
    changed();
    tell(`mark.${mark}`);
  });
  note.addEventListener("change", () => write(before().mark));
  paint();
  box.append(element("div", { class: "bar" }, ...buttons, note));
  return box;
}

// The training film

function showFilm() {
  const image = element("img", { alt: text("film.alt") });
  const button = element("button", { type: "button", class: "primary", id: "go" });
  let playing = false;
  const set = (on) => {
    playing = on;
    if (on || run.picture) image.src = `/runs/${run.id}/${on ? "film" : "picture"}`;
    say(button, on ? "film.stop" : "film.play");
  };
  button.addEventListener("click", () => set(!playing));
  set(!matchMedia("(prefers-reduced-motion: reduce)").matches);
  panel.append(element("p", { class: "soft", "data-text": "explain.film" }), element("div", { class: "bar" }, button), element("div", { class: "film" }, image));
}

// Test pairs, as they were measured

function showPairs() {
  panel.append(element("p", { class: "soft", "data-text": "explain.pairs" }),
    element("div", { class: "film" }, element("img", { src: `/runs/${run.id}/pairs`, alt: text("pairs.alt") })));
}

// Real or generated?

function showBlind() {
  const own = run, picture = element("div", { class: "big" }), verdict = element("p", { role: "status", id: "verdict" });
  const score = element("p", { class: "score", id: "score" });
  let token = null;
  const buttons = ["real", "generated"].map((answer) => {
    const button = element("button", { type: "button", class: "primary", "data-answer": answer, "data-text": `answer.${answer}`, disabled: true });
    button.addEventListener("click", () => tried(() => reply(answer)));
    return button;
  });
  const enable = (on) => buttons.forEach((button) => { button.disabled = !on; });
  const next = async () => {
    tell("drawing");
    const found = await json(`/runs/${own.id}/blind`, {});
    if (found.missing) return tell("missing", { data: found.missing });
    token = found.token;
    picture.replaceChildren(element("div", { class: "tile" }, items[found.item.kind](found.item, text("blind.alt"))));
    enable(true);
    tell("empty");
  };
  const count = (hits) => {
    if (!hits) return;
    const percent = (share) => Math.round(100 * share);
    say(score, "score", { ...hits, share: percent(hits.right / hits.total), low: percent(hits.low), high: percent(hits.high) });
  };
  const reply = async (answer) => {
    const active = document.activeElement;
    enable(false);
    const found = await json(`/runs/${own.id}/answer`, { token, answer });
    const truth = found.generated ? "generated" : "real";
    say(verdict, `verdict.${truth === answer ? "right" : "wrong"}.${truth}`);
    count(found.hits);
    await next();
    active?.focus();
  };
  panel.append(element("p", { class: "soft", "data-text": "explain.blind" }));
  if (!own.writable) return panel.append(element("p", { "data-text": "readonly", "data-values": { name: own.name } }));
  panel.append(picture, element("div", { class: "bar" }, ...buttons), verdict, score);
  tried(next);
  tried(async () => count((await json(`/runs/${own.id}/marks`)).hits));
}

// What was kept

function showKept() {
  const own = run, count = (kind) => [...marks.values()].filter((mark) => mark.mark === kind).length;
  const kept = count("keep"), judge = element("div"), place = element("div");
  const button = element("button", { type: "button", class: "primary", id: "go", "data-text": "export", disabled: !kept });
  button.addEventListener("click", () => tried(() => download(`/runs/${own.id}/export`, {}, `${own.title}-kept`)));
  panel.append(element("p", { class: "soft", "data-text": "explain.kept" }),
    element("p", { id: "counts", "data-text": "counts", "data-values": { kept, rejected: count("reject") } }), element("div", { class: "bar" }, button), place, judge);
  if (!kept) return;
  const tab = Object.keys(own.tabs).find((name) => own.tabs[name].judged);
  tried(async () => {
    tell("drawing");
    const drawn = await json(`/runs/${own.id}/kept`, {});
    place.replaceChildren(...framed(drawn, grid(drawn.items, judge, tab, "kept")).filter(Boolean));
    tell("empty");
  });
}

showLanguage();
await tried(async () => {
  runs = await json("/runs");
  listRuns();
  const named = decodeURIComponent(location.hash.slice(1));
  const first = runs.find((entry) => entry.name === named) ?? runs[0];
  if (first) await openRun(first.id);
});
