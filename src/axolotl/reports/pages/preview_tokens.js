// The tokens of a row, drawn and explained. preview.js makes the page of them.
const preview = (() => {
  "use strict";
  const $ = (id) => document.getElementById(id);
  const data = JSON.parse($("data").textContent);
  const AT_ONCE = 3000; // tokens drawn before "show more": spans are what makes a browser slow
  const WHITE = /([ \t\n]|\r\n?|[\u0000-\u001f\u007f-\u00a0\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff\u{e0000}-\u{e007f}])/u;
  const number = (value) => value.toLocaleString("en");
  const percent = (part, whole) => `${whole ? Math.round((1000 * part) / whole) / 10 : 0} %`;
  const plural = (count, word) => `${number(count)} ${word}${count === 1 ? "" : "s"}`;

  function make(tag, names, ...content) {
    const node = document.createElement(tag);
    if (names) node.className = names;
    node.append(...content);
    return node;
  }

  function button(names, text, action) {
    const node = make("button", names, text);
    node.type = "button";
    node.addEventListener("click", action);
    return node;
  }

  // ---- rows, unfolded when they are first needed

  const spread = (runs) => runs.flatMap(([value, count]) => Array(count).fill(value));

  function unfold(row) {
    if (row.open) return row.open;
    const texts = row.ids.map((id) => data.special[id] ?? data.texts[id]);
    const groups = new Map();
    for (const [first, count, text] of row.groups) {
      for (let k = 0; k < count; k++) {
        texts[first + k] = k ? "" : text;
        groups.set(first + k, { k, count, text });
      }
    }
    let length = 0;
    const lower = texts.map((text) => text.toLowerCase());
    const starts = lower.map((text) => (length += text.length) - text.length);
    const firsts = new Set(row.pieces.length ? row.pieces.map(([begin]) => begin) : [0]);
    row.open = { texts, groups, starts, firsts, lower: lower.join(""), on: spread(row.runs), segments: spread(row.segments) };
    return row.open;
  }

  const nameOf = (row) => data.sources[row.source].name + (row.number ? ` · row ${number(row.number)}` : "");
  const keptUntil = (row) => (row.pieces.length ? row.pieces[row.pieces.length - 1][1] : data.limit);

  // ---- tokens

  function visible(text) {
    return text.split(WHITE).filter(Boolean).map((part) => {
      if (part === " ") return make("i", "s", " ");
      if (part === "\t") return make("i", "tab", "\t");
      if (part === "\n") return make("i", "n", "\n");
      if (!WHITE.test(part)) return part;
      return make("i", "c", [...part].map((c) => "U+" + c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")).join(" "));
    });
  }

  function token(row, at) {
    const { texts, groups, firsts, on } = unfold(row);
    const id = row.ids[at];
    const group = groups.get(at);
    const node = make("span", "t");
    node.dataset.at = at;
    node.tabIndex = -1;
    if (on[at]) node.classList.add(firsts.has(at) ? "first" : "on");
    if (id in data.special) node.classList.add("sp");
    if (id === data.bos) node.classList.add("bos");
    if (id === data.eos) node.classList.add("eos");
    if (at >= keptUntil(row)) node.classList.add("gone");
    if (group?.k) {
      node.classList.add("part");
      node.append(String(group.k + 1).replace(/\d/g, (d) => String.fromCharCode(0x2080 + Number(d))));
    } else node.append(...visible(texts[at]));
    return node;
  }

  function borders(row, at, from) {
    const found = [];
    const piece = at > from ? row.pieces.findIndex(([begin]) => begin === at) : 0;
    if (piece > 0) found.push(make("div", "cut", `✂ split here: row ${piece + 1} of ${row.pieces.length} begins`));
    if (at === keptUntil(row) && at > 0) {
      const rest = plural(row.tokens - at, "token");
      const limit = `✂ sequence_len of ${number(data.limit)} ends here`;
      found.push(make("div", "cut", row.pieces.length ? `✂ cut here: ${rest} lost` : `${limit}: ${rest} too many`));
    }
    const { segments } = unfold(row);
    if (segments.length && (at === from || segments[at] !== segments[at - 1])) {
      const mark = make("b", row.trains[segments[at]] ? "seg on" : "seg", String(segments[at] + 1));
      mark.title = `segment ${segments[at] + 1} of ${row.trains.length}, ${row.trains[segments[at]] ? "trained" : "masked"}`;
      found.push(mark);
    }
    return found;
  }

  function draw(row, box, from, to) {
    const stop = Math.min(to, from + AT_ONCE);
    const parts = document.createDocumentFragment();
    for (let at = from; at < stop; at++) parts.append(...borders(row, at, from), token(row, at));
    box.style.minHeight = "";
    box.append(parts);
    const first = box.querySelector(".t");
    if (first && !box.querySelector(".t[tabindex='0']")) first.tabIndex = 0;
    if (stop < to) {
      const more = button("more", `show the next ${number(Math.min(AT_ONCE, to - stop))} of ${plural(to - stop, "token")}`, () => {
        more.remove();
        draw(row, box, stop, to);
      });
      box.append(more);
    } else if (to >= row.ids.length && row.tokens > to) {
      box.append(make("div", "cut", `${plural(row.tokens - Math.max(from, to), "more token")} not on this page`));
    }
    light(row, box);
  }

  function tokenBox(row) {
    const box = make("div", "toks");
    box.row = row;
    return box;
  }

  // ---- what the search finds

  let query = "";

  function setQuery(text) {
    query = text.toLowerCase();
    for (const box of document.querySelectorAll(".toks")) if (box.childElementCount) light(box.row, box);
  }

  function says(row) {
    if (!query || unfold(row).lower.includes(query)) return true;
    return row.fate === "bad" && `${row.words} ${row.row ?? ""}`.toLowerCase().includes(query);
  }

  function hits(row) {
    const found = new Set();
    const { lower, starts } = unfold(row);
    for (let from = query ? lower.indexOf(query) : -1, at = 0; from >= 0; from = lower.indexOf(query, from + query.length)) {
      while (at + 1 < starts.length && starts[at + 1] <= from) at++;
      for (let k = at; k < starts.length && starts[k] < from + query.length; k++) found.add(k);
    }
    return found;
  }

  function light(row, box) {
    const found = hits(row);
    for (const node of box.querySelectorAll(".t")) node.classList.toggle("hit", found.has(Number(node.dataset.at)));
  }

  // ---- what a token is, beside it

  function hideTip() {
    $("tip").hidden = true;
  }

  function told(row, at) {
    const { texts, groups, firsts, on, segments } = unfold(row);
    const id = row.ids[at];
    const label = on[at] ? row.others[at] ?? id : -100;
    const lines = [`id ${id} · label ${label}, ${on[at] ? "trained" : "masked"}`];
    if (on[at] && firsts.has(at)) lines[0] = `id ${id} · label ${label}, yet not trained: nothing stands before it`;
    lines.push(`token ${number(at + 1)} of ${number(row.tokens)}`);
    if (segments.length) lines[1] += ` · segment ${segments[at] + 1}, ${row.trains[segments[at]] ? "trained" : "masked"}`;
    const group = groups.get(at);
    if (group) lines.push(`part ${group.k + 1} of ${group.count} tokens that share this text`);
    if (id in data.special) lines.push("special token" + (id === data.bos ? ", begins" : "") + (id === data.eos ? ", ends" : ""));
    if (at >= keptUntil(row)) lines.push("not in the data: cut off");
    return [make("b", "", JSON.stringify(group ? group.text : texts[at])), ...lines.map((line) => make("div", "", line))];
  }

  function showTip(event) {
    const node = event.target.closest?.(".t");
    if (!node) return hideTip();
    const tip = $("tip");
    tip.replaceChildren(...told(node.closest(".toks").row, Number(node.dataset.at)));
    tip.hidden = false;
    const place = node.getClientRects()[0] ?? node.getBoundingClientRect();
    const below = place.bottom + tip.offsetHeight + 10 < innerHeight;
    tip.style.left = `${Math.max(6, Math.min(place.left, innerWidth - tip.offsetWidth - 6))}px`;
    tip.style.top = `${below ? place.bottom + 6 : Math.max(4, place.top - tip.offsetHeight - 6)}px`;
    node.setAttribute("aria-describedby", "tip");
  }

  document.addEventListener("mouseover", showTip);
  document.addEventListener("focusin", (event) => {
    showTip(event);
    if (!event.target.matches(".t")) return;
    for (const other of event.target.closest(".toks").querySelectorAll(".t[tabindex='0']")) other.tabIndex = -1;
    event.target.tabIndex = 0;
  });
  document.addEventListener("scroll", hideTip, { passive: true });

  return { data, draw, hideTip, make, button, nameOf, number, percent, plural, says, setQuery, tokenBox };
})();
