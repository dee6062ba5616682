// What the tabs show: one function for each kind of item and of output (src/page/panels/panel.py).
import { element, text } from "./words.js";

export const items = {
  image: (item, name) => element("img", { src: item.data, alt: name }),
  text: (item) => element("pre", {}, item.data),
  music: (item, name) => element("div", {}, music(item, name), player(item)),
  verse: (item) => element("p", { class: "verse", lang: "zh" }, ...item.data.split("\n").map((line) => element("span", {}, line))),
};

// The piano roll and the score of a tune (src/page/panels/music.py), and what plays it.
export function music(item, name) {
  const { roll, score, title } = JSON.parse(item.data);
  return element("div", { class: "music" }, element("small", {}, title), element("img", { src: roll, alt: `${name} ${text("roll")}` }),
    element("img", { class: "score", src: score, alt: `${name} ${text("score.music")}` }));
}

export function player(item) {
  const { sound, midi, file, title } = JSON.parse(item.data);
  return element("div", { class: "bar player" }, element("audio", { controls: "", src: sound, "aria-label": title }),
    element("a", { href: midi, download: file, "data-text": "midi" }));
}

export function pairs(drawn) {
  return element("div", { class: "pairs" }, ...drawn.items.map((item) => element("figure", { class: "big" },
    element("div", { class: "tile" }, items[item.kind](item, text(`label.${item.label}`))), element("figcaption", { "data-text": `label.${item.label}` }))));
}

// Few samples, as large as there is room.
export function large(drawn) {
  return element("div", { class: "large" }, ...drawn.items.map((item) => element("figure", { class: "tile" },
    items[item.kind](item, `${text("setting.seed")} ${item.settings.seed}`))));
}

// What is shown, with how many samples filters leave out of it and the command that draws it.
export function framed(drawn, shown) {
  const left = drawn.left_out, of = drawn.items.length + left;
  const missing = left === null ? null : element("p", { class: "filtered", "data-text": "filtered", "data-values": { left, of } });
  const command = drawn.command ? element("div", { class: "command" }, element("span", { class: "soft", "data-text": "command" }),
    element("code", {}, drawn.command)) : null;
  return [missing, shown, command];
}

let place = 0; // of the last slider, from 0 to 1, so that it stays when settings change
export function morph(drawn) {
  const rows = [];
  for (let start = 0; start < drawn.items.length; start += drawn.columns) rows.push(drawn.items.slice(start, start + drawn.columns));
  const figures = rows.map(() => element("figure", { class: "tile" }));
  const slider = element("input", { type: "range", id: "slide", min: 0, max: drawn.columns - 1, step: 1 });
  const move = () => {
    figures.forEach((figure, number) => {
      const item = rows[number][slider.value];
      figure.replaceChildren(items[item.kind](item, `${text("pair")} ${number + 1}`));
    });
    place = slider.value / (drawn.columns - 1);
  };
  slider.value = Math.round(place * (drawn.columns - 1));
  slider.addEventListener("input", move);
  move();
  return element("div", {},
    element("div", { class: "slide" }, element("label", { for: "slide", "data-text": "slide" }), slider,
      element("span", {}, element("span", { "data-text": "slide.first" }), element("span", { "data-text": "slide.last" }))),
    element("div", { class: "morph" }, ...figures));
}
