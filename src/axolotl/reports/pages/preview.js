// The page: a card for each row or packed row, search, filters, keys.
(() => {
  "use strict";
  const { data, draw, hideTip, make, button, nameOf, number, percent, plural, says, setQuery, tokenBox } = preview;
  const $ = (id) => document.getElementById(id);

  // ---- one card for each row

  const kept = (row) => row.pieces.reduce((sum, [begin, end]) => sum + end - begin, 0);

  function rowCard(row) {
    const head = make("div", "head", make("h2", "", nameOf(row)));
    const card = make("article", "", head);
    head.append(make("span", "quiet", data.sources[row.source].type));
    if (row.fate !== "bad") {
      const share = percent(row.trained, row.pieces.length ? kept(row) : row.tokens);
      head.append(make("span", "quiet", `${plural(row.tokens, "token")}, ${number(row.trained)} trained (${share})`));
    }
    if (row.fate) head.append(make("span", "badge", row.fate === "bad" ? `bad: ${row.words}` : row.words));
    if (row.packs.length === 1) {
      const [pack] = row.packs;
      head.append(button("link", `in packed row ${number(pack + 1)}`, () => goTo("packed", packCards[pack])));
    }
    if (row.hint) card.append(make("p", "note", `hint: ${row.hint}`));
    for (const remark of row.remarks) card.append(make("p", "note", remark));
    if (row.ids.length) {
      const box = tokenBox(row);
      box.style.minHeight = `${Math.ceil(Math.min(row.ids.length, 3000) / 22) * 28}px`;
      card.append(box);
      card.fill = () => {
        if (!box.childElementCount) draw(row, box, 0, row.ids.length);
      };
      watcher.observe(card);
    }
    if (row.row !== null) {
      const source = make("details", "", make("summary", "", "source row"));
      source.addEventListener("toggle", () => {
        if (source.childElementCount === 1) source.append(make("pre", "", row.row));
      });
      card.append(source);
    }
    card.tabIndex = -1;
    return card;
  }

  function packCard(pack, index) {
    const sizes = pack.map(([at, k]) => data.rows[at].pieces[k][1] - data.rows[at].pieces[k][0]);
    const used = sizes.reduce((sum, size) => sum + size, 0);
    const head = make("div", "head", make("h2", "", `packed row ${number(index + 1)}`));
    head.append(make("span", "quiet", `${plural(pack.length, "document")}, ${number(used)} of ${plural(data.capacity, "token")} (${percent(used, data.capacity)})`));
    const bar = make("div", "bar");
    pack.forEach(([at], i) => {
      const piece = button("", nameOf(data.rows[at]), () => goTo("rows", rowCards[at]));
      piece.title = `${nameOf(data.rows[at])}: ${plural(sizes[i], "token")}`;
      piece.style.flexBasis = `${(100 * sizes[i]) / data.capacity}%`;
      bar.append(piece);
    });
    const whole = make("details", "", make("summary", "", "token by token"));
    whole.addEventListener("toggle", () => {
      if (whole.childElementCount > 1) return;
      pack.forEach(([at, k], i) => {
        const [begin, end] = data.rows[at].pieces[k];
        const part = data.rows[at].pieces.length > 1 ? `, part ${k + 1} of ${data.rows[at].pieces.length}` : "";
        const border = `document ${i + 1}: ${nameOf(data.rows[at])}${part}, positions 0 to ${number(end - begin - 1)}`;
        const box = tokenBox(data.rows[at]);
        draw(data.rows[at], box, begin, Math.min(end, data.rows[at].ids.length));
        whole.append(make("div", "cut between", border), box);
      });
    });
    const card = make("article", "", head, bar, whole);
    card.tabIndex = -1;
    return card;
  }

  // ---- search and filters

  const shown = () => (view === "rows" ? rowCards : packCards).filter((card) => !card.hidden);

  function matches(row) {
    if ($("source").value !== "" && row.source !== Number($("source").value)) return false;
    if ($("lost").checked && !["dropped", "truncated", "bad"].includes(row.fate)) return false;
    if ($("untrained").checked && (row.trained || row.fate === "bad")) return false;
    if (row.tokens < (Number($("least").value) || 0)) return false;
    if (row.tokens > (Number($("most").value) || Infinity)) return false;
    return says(row);
  }

  function refresh() {
    setQuery($("search").value);
    const chosen = data.rows.map(matches);
    rowCards.forEach((card, i) => (card.hidden = !chosen[i]));
    packCards.forEach((card, i) => {
      card.hidden = !data.packs[i].some(([at]) => chosen[at]);
      card.querySelectorAll(".bar button").forEach((part, k) => part.classList.toggle("dim", !chosen[data.packs[i][k][0]]));
    });
    const rows = data.rows.filter((_, i) => chosen[i]);
    const sum = (of) => rows.reduce((total, row) => total + of(row), 0);
    const tokens = sum(kept); // as in the table of the sources
    const trained = percent(sum((row) => (row.pieces.length ? row.trained : 0)), tokens);
    const lost = sum((row) => row.tokens) - tokens;
    const beside = lost ? `, and ${number(lost)} not in the data` : "";
    const counted = `${number(rows.length)} of ${plural(data.rows.length, "row")} · ${plural(tokens, "token")}${beside} · ${trained} trained`;
    $("count").textContent = view === "rows" ? counted : `${counted} · ${plural(shown().length, "packed row")}`;
  }

  // ---- moving about

  let view = "rows";
  let now = null;

  function setView(name) {
    view = name;
    lists.rows.hidden = name !== "rows";
    lists.packed.hidden = name !== "packed";
    $("as-rows").setAttribute("aria-pressed", String(name === "rows"));
    $("as-packed").setAttribute("aria-pressed", String(name === "packed"));
    hideTip();
    refresh();
  }

  function goTo(name, card) {
    if (name !== view) setView(name);
    card.hidden = false;
    now?.classList.remove("now");
    now = card;
    card.classList.add("now");
    card.fill?.();
    card.focus({ preventScroll: true });
    card.scrollIntoView({ block: "start" });
  }

  function step(by) {
    const cards = shown();
    const at = cards.indexOf(now);
    const next = cards[at < 0 ? (by > 0 ? 0 : cards.length - 1) : at + by];
    if (next) goTo(view, next);
  }

  document.addEventListener("keydown", (event) => {
    const { target, key } = event;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (target.matches("input:not([type=checkbox]), select") && key !== "Escape") return;
    if (key === "Escape") {
      hideTip();
      if (target.matches("input")) target.blur(); // and keep what was typed
    } else if (target.matches(".t") && ["ArrowLeft", "ArrowRight", "Home", "End"].includes(key)) {
      const all = [...target.closest(".toks").querySelectorAll(".t")];
      const at = all.indexOf(target);
      const next = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: all.length - 1 }[key];
      all[next]?.focus();
    } else if (key === "j") step(1);
    else if (key === "k") step(-1);
    else if (key === "/") $("search").focus();
    else return;
    event.preventDefault();
  });

  // ---- begin

  const watcher = new IntersectionObserver(
    (seen) => seen.forEach((entry) => entry.isIntersecting && (entry.target.fill(), watcher.unobserve(entry.target))),
    { rootMargin: "0px 0px 1200px 0px" },
  );
  data.rows.forEach((row) => (row.packs = []));
  data.packs.forEach((pack, index) => pack.forEach(([at]) => data.rows[at].packs.push(index)));
  const rowCards = data.rows.map(rowCard);
  const packCards = data.packs.map(packCard);
  const lists = { rows: make("section", "", ...rowCards), packed: make("section", "", ...packCards) };
  $("list").replaceChildren(lists.rows, lists.packed);
  data.sources.forEach((source, i) => $("source").append(new Option(`${source.name} (${source.type})`, i)));
  if (!data.packs.length) {
    $("as-packed").disabled = true;
    $("as-packed").title = "no rows are packed beforehand";
  }
  for (const id of ["source", "lost", "untrained", "least", "most"]) $(id).addEventListener("input", refresh);
  let waiting;
  $("search").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(refresh, 120);
  });
  $("as-rows").addEventListener("click", () => setView("rows"));
  $("as-packed").addEventListener("click", () => setView("packed"));
  setView("rows");
})();
