"use strict";
(() => {
  const root = document.documentElement;
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const figures = read("page-figures");
  const cards = read("page-cards");
  const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");
  const narrow = window.matchMedia("(max-width: 640px)");

  // --- theme ---------------------------------------------------------------------------------

  const theme = () => root.dataset.theme || (prefersDark.matches ? "dark" : "light");

  function nameTheme() {
    document.getElementById("theme-name").textContent = theme() === "dark" ? "Light" : "Dark";
  }

  document.getElementById("theme").addEventListener("click", () => {
    root.dataset.theme = theme() === "dark" ? "light" : "dark";
    try { localStorage.setItem("goodviews-theme", root.dataset.theme); } catch (_) { /* not kept */ }
    nameTheme();
    drawAll();
  });
  prefersDark.addEventListener("change", () => { nameTheme(); drawAll(); });
  narrow.addEventListener("change", () => drawAll());

  // --- figures -------------------------------------------------------------------------------

  /** A copy of a figure with its colour tokens resolved against the theme shown. */
  function resolved(part, look) {
    if (Array.isArray(part)) return part.map((item) => resolved(item, look));
    if (part && typeof part === "object") {
      return Object.fromEntries(Object.entries(part).map(([key, item]) => [key, resolved(item, look)]));
    }
    if (typeof part !== "string" || !part.startsWith("var(--")) return part;
    return look.getPropertyValue(part.slice(4, -1)).trim();
  }

  function draw(element) {
    const figure = resolved(figures[element.dataset.figure], getComputedStyle(root));
    const compact = narrow.matches;
    const layout = {
      ...figure.layout,
      autosize: true,
      dragmode: compact ? false : "zoom",
      font: { ...figure.layout.font, size: compact ? 12 : 13 },
    };
    if (compact) {
      for (const note of layout.annotations) note.font.size = 11;
      for (const axis of ["xaxis", "yaxis", "yaxis2"]) {
        if (layout[axis]) layout[axis].title.font.size = 12;
      }
      for (const trace of figure.data) {
        if (trace.marker && Array.isArray(trace.marker.size)) {
          trace.marker.size = trace.marker.size.map((size) => size - 2);
        }
      }
    }
    if (element.classList.contains("tall")) {
      // on a phone the legend's lines must not eat the plot
      const names = figure.data.filter((trace) => trace.showlegend).length;
      element.style.height = compact ? `${410 + 15 * names}px` : "";
    }
    const config = {
      responsive: true,
      displaylogo: false,
      displayModeBar: element.classList.contains("tall") && !compact ? "hover" : false,
      modeBarButtons: [["toImage", "resetScale2d"]],
      doubleClick: "reset",
    };
    return Plotly.react(element, figure.data, layout, config);
  }

  function drawAll() {
    hide();
    for (const element of document.querySelectorAll("[data-figure]")) draw(element);
  }

  // --- the card beside a point -----------------------------------------------------------------

  const card = document.getElementById("card");
  const part = (name) => document.getElementById(`card-${name}`);

  function hide() {
    if (card && !narrow.matches) card.hidden = true;
    for (const row of document.querySelectorAll("tr.lit")) row.classList.remove("lit");
  }

  function fill(candidate) {
    const content = cards[candidate];
    part("name").textContent = candidate;
    part("regime").textContent = content.regime;
    part("regime").className = `badge ${content.key}`;
    const strip = document.querySelector(`img[data-views="${CSS.escape(candidate)}"]`);
    part("views").hidden = part("hint").hidden = !strip;
    if (strip) {
      part("views").src = strip.src;
      part("views").className = strip.className;
      part("views").alt = strip.alt;
    }
    part("lines").replaceChildren(...content.lines.flatMap(([name, words]) => {
      const term = document.createElement("dt");
      const value = document.createElement("dd");
      term.textContent = name;
      value.textContent = words;
      return [term, value];
    }));
  }

  /** Beside the point, on the side where there is room; below the figure on a phone (by CSS). */
  function place(chart, point) {
    if (narrow.matches) { card.style.left = card.style.top = ""; return; }
    const frame = card.offsetParent.getBoundingClientRect();
    const box = chart.getBoundingClientRect();
    const x = box.left - frame.left + point.xaxis._offset + point.xaxis.d2p(point.x);
    const y = box.top - frame.top + point.yaxis._offset + point.yaxis.d2p(point.y);
    const right = x + 22 + card.offsetWidth < frame.width;
    card.style.left = `${Math.max(8, right ? x + 22 : x - 22 - card.offsetWidth)}px`;
    const lowest = frame.height - card.offsetHeight - 8;
    card.style.top = `${Math.max(8, Math.min(y - card.offsetHeight / 2, lowest))}px`;
  }

  function show(chart, event) {
    const point = event.points.find((item) => typeof item.customdata === "string");
    if (!point || !cards[point.customdata]) return;
    hide();
    fill(point.customdata);
    card.hidden = false;
    place(chart, point);
    const row = document.querySelector(`#ranked tr[data-candidate="${CSS.escape(point.customdata)}"]`);
    if (row) row.classList.add("lit");
  }

  function listen(chart) {
    chart.on("plotly_hover", (event) => show(chart, event));
    chart.on("plotly_click", (event) => show(chart, event));
    chart.on("plotly_unhover", hide);
  }

  // --- sorting -------------------------------------------------------------------------------

  function compare(first, second, words) {
    if (first === "" || second === "") return null;
    return words ? first.localeCompare(second, "en", { numeric: true }) : first - second;
  }

  function sort(table, button) {
    const header = button.closest("th");
    const column = Number(button.dataset.column);
    const words = button.dataset.words === "1";
    const up = words || button.dataset.key === "rank";
    const before = header.getAttribute("aria-sort");
    const direction = before ? (before === "ascending" ? "descending" : "ascending") : up ? "ascending" : "descending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", direction);
    const sign = direction === "ascending" ? 1 : -1;
    const body = table.querySelector("tbody.sortable");
    const key = (row) => row.cells[column].dataset.sort;
    const rows = [...body.rows].sort((a, b) => {
      const order = compare(key(a), key(b), words);
      // what has no value comes last, whatever the direction
      return order === null ? (key(a) === "") - (key(b) === "") : sign * order;
    });
    body.append(...rows);
  }

  const table = document.getElementById("ranked");
  for (const button of table ? table.querySelectorAll("thead button") : []) {
    button.addEventListener("click", () => sort(table, button));
  }

  // --- copying -------------------------------------------------------------------------------

  async function copy(button) {
    const code = button.parentElement.querySelector("code");
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch (_) {
      getSelection().selectAllChildren(code);
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  }

  for (const button of document.querySelectorAll(".copy")) {
    button.addEventListener("click", () => copy(button));
  }

  nameTheme();
  if (window.Plotly) {
    drawAll();
    const main = document.querySelector('[data-figure="main"]');
    if (main && card) listen(main);
  }
})();
