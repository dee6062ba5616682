// Inputs of a tab, from their descriptions (src/page/panels/panel.py, Control).
import { element, text } from "./words.js";

// {node, value(), set(value)}; `changed` is called with true after a change that should be drawn at once.
export function makeControl(control, changed) {
  const make = { range, number, choice, text: prose, drawing, picture, sliders }[control.kind];
  return make(control, changed, `control-${control.name}`);
}

function framed(control, id, input, beside = null, hint = true) {
  const name = control.named || control.name;
  const label = element("label", { for: id }, element("span", { "data-text": `setting.${name}`, "data-values": control.values ?? {} }), beside);
  const said = hint && text(`hint.${name}`, null) !== null;
  const note = said ? element("small", { id: `${id}-hint`, "data-text": `hint.${name}`, "data-values": { example: control.example } }) : null;
  if (said) input.setAttribute("aria-describedby", `${id}-hint`);
  return element("div", { class: "control" }, label, input, note);
}

function range(control, changed, id) {
  // With `off`, one position beyond the last value stands for null.
  const steps = Math.round((control.high - control.low) / control.step);
  const whole = control.step % 1 === 0;
  const input = element("input", { type: "range", id, min: 0, max: steps + (control.off ? 1 : 0), step: 1 });
  const shown = element("span", { class: "value", "aria-hidden": "true" }); // aria-valuetext says it
  const value = () => {
    const position = Number(input.value);
    if (position > steps) return null;
    const found = control.low + position * control.step;
    return whole ? Math.round(found) : Number(Math.min(found, control.high).toFixed(4));
  };
  const say = () => {
    shown.textContent = value() === null ? text("off") : String(value());
    input.setAttribute("aria-valuetext", shown.textContent);
  };
  const set = (found) => {
    input.value = found === null ? steps + 1 : Math.round((found - control.low) / control.step);
    say();
  };
  input.addEventListener("input", () => { say(); changed(); });
  set(control.value);
  return { node: framed(control, id, input, shown), value, set, say };
}

// A range for each choice, all at 0 at first; the value has those that are moved, null without one.
function sliders(control, changed, id) {
  const ranges = control.choices.map((name, number) => {
    const [kind, ...rest] = name.split("-");
    return [name, range({ ...control, named: `direction.${kind}`, values: { name: rest.join("-") }, off: false, value: 0 }, changed, `${id}-${number}`)];
  });
  const moved = () => ranges.map(([name, one]) => [name, one.value()]).filter(([, amount]) => amount !== 0);
  const set = () => ranges.forEach(([, one]) => one.set(0));
  const reset = element("button", { type: "button", "data-text": "reset" });
  reset.addEventListener("click", () => { set(); changed(); });
  const node = element("fieldset", { class: "sliders", "data-label": "setting.directions" }, ...ranges.map(([, one]) => one.node), reset);
  const say = () => ranges.forEach(([, one]) => one.say());
  return { node, value: () => (moved().length ? Object.fromEntries(moved()) : null), set, say };
}

function number(control, changed, id) {
  const input = element("input", { type: "number", id, min: control.low, max: control.high, step: 1, inputmode: "numeric" });
  input.value = control.value;
  input.addEventListener("input", () => input.validity.valid && input.value !== "" && changed());
  const value = () => (input.validity.valid && input.value !== "" ? Number(input.value) : control.value);
  return { node: framed(control, id, input), value, set: (found) => { input.value = found; }, say() {} };
}

function choice(control, changed, id) {
  const own = control.off ? [element("option", { value: "", "data-text": `any.${control.name}` })] : [];
  const options = control.choices.map((name) => {
    const key = `choice.${control.name}.${name}`, named = text(key, null) !== null;
    return named ? element("option", { value: `=${name}`, "data-text": key }) : element("option", { value: `=${name}` }, name);
  });
  const input = element("select", { id }, ...own, ...options);
  const set = (found) => { input.value = found === null ? "" : `=${found}`; };
  set(control.value);
  input.addEventListener("change", () => changed());
  return { node: framed(control, id, input), value: () => (input.value ? input.value.slice(1) : null), set, say() {} };
}

function prose(control, changed, id) {
  const short = control.high < 20; // characters: a line, or more of them above the samples
  const input = element(short ? "input" : "textarea", { id, type: short ? "text" : null, rows: short ? null : 2, maxlength: control.high, spellcheck: "false" });
  input.value = control.value ?? "";
  input.addEventListener("change", () => changed());
  const value = () => (control.off && input.value === "" ? null : input.value);
  return { node: framed(control, id, input), value, set: (found) => { input.value = found ?? ""; }, say() {}, above: !short };
}

const SIDE = 384; // pixels of a picture that is sent, at most

// A file of the person's; the value is its centre square as a data: URL, null without one.
function picture(control, changed, id) {
  const input = element("input", { type: "file", id, accept: "image/*" });
  const wipe = element("button", { type: "button", "data-text": "without" });
  let found = null;
  input.addEventListener("change", async () => {
    found = input.files[0] ? await square(input.files[0]) : null;
    changed();
  });
  wipe.addEventListener("click", () => { input.value = ""; found = null; changed(); });
  const node = framed(control, id, input);
  node.append(element("div", { class: "bar" }, wipe));
  return { node, value: () => found, set() { input.value = ""; found = null; }, say() {} };
}

// What is no picture to the browser becomes an empty one, which the answer names.
async function square(file) {
  const whole = await createImageBitmap(file).catch(() => null);
  if (!whole) return "data:,;base64,";
  const side = Math.min(whole.width, whole.height), pixels = Math.min(side, SIDE);
  const canvas = element("canvas", { width: pixels, height: pixels });
  const context = canvas.getContext("2d");
  Object.assign(context, { imageSmoothingEnabled: true, imageSmoothingQuality: "high", fillStyle: "#fff" });
  context.fillRect(0, 0, pixels, pixels);
  context.drawImage(whole, (whole.width - side) / 2, (whole.height - side) / 2, side, side, 0, 0, pixels, pixels);
  return canvas.toDataURL("image/png");
}

// A pen for the mouse, a finger and the keyboard; the value is what is drawn, in the data's number of pixels.
function drawing(control, changed, id) {
  const [rows, columns] = control.shape;
  const cell = Math.max(1, Math.round(280 / columns));
  const size = { width: columns * cell, height: rows * cell };
  const paper = element("canvas", { ...size, id, tabindex: 0, role: "application", "data-label": "setting.drawing" });
  const overlay = element("canvas", { ...size, "aria-hidden": "true" });
  const ink = paper.getContext("2d", { willReadFrequently: true });
  const above = overlay.getContext("2d");
  const cursor = { x: columns / 2, y: rows / 4, down: false, shown: false };
  Object.assign(ink, { lineCap: "round", lineJoin: "round", lineWidth: cell * columns / 12, strokeStyle: "#fff" });

  const line = (from, to) => {
    ink.beginPath();
    ink.moveTo(from.x, from.y);
    ink.lineTo(to.x, to.y + 0.01);
    ink.stroke();
  };
  const clear = () => { ink.clearRect(0, 0, size.width, size.height); };
  const guide = () => {
    above.clearRect(0, 0, size.width, size.height);
    above.strokeStyle = "rgba(255, 255, 255, 0.35)";
    above.setLineDash([4, 4]);
    above.strokeRect(size.width / 7, size.height / 7, size.width * 5 / 7, size.height * 5 / 7);
    if (!cursor.shown) return;
    above.setLineDash([]);
    above.strokeStyle = cursor.down ? "#7cc0ee" : "#fff";
    above.lineWidth = 2;
    above.strokeRect((cursor.x - 0.5) * cell, (cursor.y - 0.5) * cell, cell, cell);
  };
  const value = () => {
    const small = element("canvas", { width: columns, height: rows });
    const context = small.getContext("2d");
    Object.assign(context, { imageSmoothingEnabled: true, imageSmoothingQuality: "high", fillStyle: "#000" });
    context.fillRect(0, 0, columns, rows);
    context.drawImage(paper, 0, 0, columns, rows);
    const found = context.getImageData(0, 0, columns, rows).data;
    return Array.from({ length: rows * columns }, (_, i) => found[4 * i]);
  };
  const at = (event) => {
    const box = paper.getBoundingClientRect();
    return { x: (event.clientX - box.left) / box.width * size.width, y: (event.clientY - box.top) / box.height * size.height };
  };
  let last = null;
  paper.addEventListener("pointerdown", (event) => {
    paper.setPointerCapture(event.pointerId);
    last = at(event);
    line(last, last);
  });
  paper.addEventListener("pointermove", (event) => {
    if (!last) return;
    const now = at(event);
    line(last, now);
    last = now;
  });
  for (const name of ["pointerup", "pointercancel"]) {
    paper.addEventListener(name, () => { last = null; changed(); });
  }
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  paper.addEventListener("keydown", (event) => {
    const centre = () => ({ x: cursor.x * cell, y: cursor.y * cell });
    if (event.key in moves) {
      const before = centre();
      cursor.x = Math.min(columns - 1, Math.max(1, cursor.x + moves[event.key][0]));
      cursor.y = Math.min(rows - 1, Math.max(1, cursor.y + moves[event.key][1]));
      if (cursor.down) { line(before, centre()); changed(); }
    } else if (event.key === " ") {
      cursor.down = !cursor.down;
      if (cursor.down) { line(centre(), centre()); changed(); }
    } else if (event.key === "Delete" || event.key === "Backspace") {
      clear();
      changed();
    } else return;
    event.preventDefault();
    guide();
  });
  paper.addEventListener("focus", () => { cursor.shown = paper.matches(":focus-visible"); guide(); });
  paper.addEventListener("blur", () => { cursor.shown = cursor.down = false; guide(); });
  guide();

  const wipe = element("button", { type: "button", "data-text": "clear" });
  wipe.addEventListener("click", () => { clear(); changed(); });
  const example = element("button", { type: "button", "data-text": "example" });
  example.addEventListener("click", () => {
    clear();
    const stroke = [[9, 8], [19, 8], [16, 13], [13, 21]].map(([x, y]) => ({ x: x / 28 * size.width, y: y / 28 * size.height }));
    stroke.slice(1).forEach((point, i) => line(stroke[i], point));
    changed();
  });
  const hint = element("small", { id: `${id}-hint`, "data-text": "hint.drawing" });
  paper.setAttribute("aria-describedby", `${id}-hint`);
  const node = element("div", { class: "control" }, element("div", { class: "paper" }, paper, overlay),
    element("div", { class: "bar" }, example, wipe), hint);
  return { node, value, set: clear, say() {}, first: true };
}
