// Texts in the chosen language, and elements that carry them.
export const LANGUAGES = ["en", "zh"];
const words = await (await fetch("/static/texts.json")).json();
let language = chosen();

function chosen() {
  const stored = localStorage.getItem("language");
  const wanted = [stored, ...navigator.languages.map((name) => name.slice(0, 2).toLowerCase())];
  return wanted.find((name) => LANGUAGES.includes(name)) ?? "en";
}

export function currentLanguage() { return language; }

export function setLanguage(name) {
  language = name;
  localStorage.setItem("language", name);
}

// The text of a key, with {name}s filled in; `missing` (by default the end of the key) where there is none.
export function text(key, missing = key.split(".").pop(), values = {}) {
  const found = words[language][key] ?? missing;
  return found === null ? null : found.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

// An element; children are nodes or strings. data-text and data-label name its text and its aria-label, with data-values for both,
// so that `translate` can change them.
export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    const plain = name === "data-values" ? JSON.stringify(value) : value === true ? "" : value;
    node.setAttribute(name, plain);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  translate(node);
  return node;
}

export function say(node, key, values = {}) {
  node.dataset.text = key;
  node.dataset.values = JSON.stringify(values);
  translate(node);
}

export function translate(root) {
  for (const node of [root, ...root.querySelectorAll("[data-text], [data-label]")]) {
    const { text: name, label, values } = node.dataset;
    const given = values ? JSON.parse(values) : {};
    if (name) node.textContent = text(name, undefined, given);
    if (label) node.setAttribute("aria-label", text(label, undefined, given));
  }
}
