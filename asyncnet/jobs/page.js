"use strict";
(() => {
const data = JSON.parse(document.getElementById("data").textContent);
const STEPS = [
  ["queue", "waiting for its turn"], ["resolve", "looking the name up"], ["connect", "connecting"],
  ["tls", "TLS handshake"], ["auth", "login"], ["request", "request, to the first byte"],
  ["transfer", "transfer"], ["broken", "failed in"], ["other", "anything else, such as a wait before a retry"],
];

// What stands on the page is made here, and foreign words are text: nothing is ever parsed as HTML.
function make(kind, about, ...inside) {
  const made = kind.includes(":")
    ? document.createElementNS("http://www.w3.org/2000/svg", kind.slice(4)) : document.createElement(kind);
  for (const [name, value] of Object.entries(about || {})) {
    if (name === "on") for (const [event, call] of Object.entries(value)) made.addEventListener(event, call);
    else if (name === "at") for (const [key, size] of Object.entries(value)) made.style[key] = size;
    else made.setAttribute(name, value);
  }
  made.append(...inside);
  return made;
}

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const count = (number) => whole.format(number);
function time(ms) {
  if (ms < 1) return ms.toFixed(2) + " ms";
  if (ms < 10) return ms.toFixed(1) + " ms";
  if (ms < 1000) return ms.toFixed(0) + " ms";
  if (ms < 10000) return (ms / 1000).toFixed(2) + " s";
  if (ms < 120000) return (ms / 1000).toFixed(1) + " s";
  if (ms < 7200000) return (ms / 60000).toFixed(1) + " min";
  return (ms / 3600000).toFixed(1) + " h";
}
function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (bytes >= 999.5 && unit < units.length - 1) { bytes /= 1000; unit += 1; }
  return (unit && bytes < 99.5 ? bytes.toFixed(bytes < 9.95 ? 2 : 1) : bytes.toFixed(0)) + " " + units[unit];
}
function round(number) {
  if (number <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(number));
  return [1, 2, 2.5, 5, 10].map((step) => step * power).find((step) => step >= number * 0.999);
}

function heading() {
  const theme = make("button", { type: "button", on: { click: () => dark(!document.documentElement.classList.contains("dark")) } },
    "Light / dark");
  const when = new Date(data.date * 1000).toISOString().replace("T", " ").slice(0, 19) + " UTC";
  return make("header", null, make("h1", null, data.title), make("span", { class: "soft" }, "began " + when), theme);
}
function dark(on) { document.documentElement.classList.toggle("dark", on); }

function tiles() {
  const ended = data.done + data.failed;
  const rows = [
    ["done", count(data.done), data.failed ? "" : "good"], ["failed", count(data.failed), data.failed ? "bad" : ""],
    ["retries", count(data.retries)], ["duration", time(data.seconds * 1000)],
    ["per second", data.seconds ? count(ended / data.seconds) : "0"], ["received", size(data.received)],
    ["median", time(data.p50 * 1000)], ["95 %", time(data.p95 * 1000)], ["99 %", time(data.p99 * 1000)],
    ["longest", time(data.longest * 1000)],
  ];
  return make("div", { class: "tiles" }, ...rows.map(([name, value, kind]) =>
    make("div", { class: "tile " + (kind || "") }, make("b", null, value), make("span", { class: "soft" }, name))));
}

function section(title, about, ...inside) {
  return make("section", null, make("div", { class: "head" }, make("h2", null, title),
    make("span", { class: "soft" }, about), ...inside.filter((one) => one.tool)), ...inside.filter((one) => !one.tool));
}
function tool(made) { made.tool = true; return made; }

// A chart is drawn to the width it has, so that its words keep their size.
function chart(draw) {
  const box = make("div");
  let last = 0;
  const again = () => {
    const width = Math.floor(box.clientWidth);
    if (width && width !== last) { last = width; box.replaceChildren(draw(width, 190)); }
  };
  new ResizeObserver(() => requestAnimationFrame(again)).observe(box);
  return box;
}
function label(x, y, words, anchor, kind) {
  return make("svg:text", { x, y, "text-anchor": anchor, class: kind || "" }, words);
}
function frame(width, height, most, left, bottom) {
  const svg = make("svg:svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
  for (let part = 0; part <= 4; part += 1) {
    const y = 8 + (height - bottom - 8) * (1 - part / 4), value = most * part / 4;
    svg.append(make("svg:line", { class: "grid", x1: left, x2: width, y1: y, y2: y }));
    svg.append(label(left - 6, y + 4, value >= 10000 ? size(value).replace(/ ?B$/, "") : String(+value.toFixed(2)), "end"));
  }
  return svg;
}

function overTime() {
  const { span, ticks } = data.timeline;
  return chart((width, height) => {
    const left = 44, bottom = 22, tall = height - bottom - 8, wide = width - left;
    const most = round(Math.max(1, ...ticks.map((tick) => tick[0] + tick[1])) / span);
    const svg = frame(width, height, most, left, bottom), each = wide / Math.max(ticks.length, 1);
    ticks.forEach(([done, failed], at) => {
      let y = 8 + tall;
      for (const [number, kind] of [[done, "done"], [failed, "failed"]]) {
        if (!number) continue;
        const high = Math.max(number / span / most * tall, kind === "failed" ? 1.5 : 0.5);
        y -= high;
        const bar = make("svg:rect", { class: kind, x: left + at * each, y, width: Math.max(each - (each > 4 ? 1 : 0), 0.8), height: high });
        bar.append(make("svg:title", null, `${time(at * span * 1000)}: ${count(done)} done, ${count(failed)} failed`));
        svg.append(bar);
      }
    });
    const end = ticks.length * span * 1000;
    svg.append(label(left, height - 4, "0", "start"), label(width, height - 4, time(end), "end"));
    svg.append(label(left + wide / 2, height - 4, time(end / 2), "middle"));
    return svg;
  });
}

function histogram() {
  const { shortest, step, counts } = data.histogram;
  const first = counts.findIndex((one) => one), last = counts.findLastIndex((one) => one);
  if (first < 0) return make("div", { class: "none" }, "No job has ended.");
  const from = Math.max(0, Math.min(first - 1, last - 9)), to = Math.min(counts.length - 1, Math.max(last + 1, from + 11));
  return chart((width, height) => {
    const left = 44, bottom = 22, tall = height - bottom - 8, wide = width - left, bars = to - from + 1, each = wide / bars;
    const most = round(Math.max(...counts)), svg = frame(width, height, most, left, bottom);
    const place = (seconds) => left + (Math.log(Math.max(seconds, shortest) / shortest) / Math.log(step) - from) * each;
    for (let at = from; at <= to; at += 1) {
      const low = shortest * step ** at * 1000, x = left + (at - from) * each;
      const high = counts[at] ? Math.max(counts[at] / most * tall, 1.5) : 0;
      const bar = make("svg:rect", { class: "bar", x: x + 0.5, y: 8 + tall - high, width: Math.max(each - 1, 1), height: high });
      bar.append(make("svg:title", null, `${time(low)} to ${time(low * step)}: ${count(counts[at])}`));
      svg.append(bar);
    }
    let free = -1;
    for (let power = -4; power <= 3; power += 1) for (const digit of bars < 26 ? [1, 2, 5] : [1]) {
      const x = place(digit * 10 ** power);
      if (x < left - 1 || x > width - 8 || x < free) continue;
      svg.append(label(x, height - 4, time(digit * 10 ** (power + 3)).replace(/\.0+(?= )/, ""), "middle"));
      free = x + 56;
    }
    let lines = 0, beside = -100;
    for (const [name, value] of [["50 %", data.p50], ["95 %", data.p95], ["99 %", data.p99]]) {
      const x = Math.min(place(value), width);
      lines = x - beside < 44 ? lines + 1 : 0;
      beside = x;
      svg.append(make("svg:line", { class: "mark", x1: x, x2: x, y1: 8, y2: 8 + tall }));
      const right = x + 40 < width;
      svg.append(label(right ? x + 4 : x - 4, 17 + 12 * lines, name, right ? "start" : "end", "mark-text"));
    }
    return svg;
  });
}

// A table whose columns sort; `columns` are [heading, kind, show], kind "num" or "text".
function table(columns, rows, sorted, down) {
  let by = sorted, falling = down, words = "";
  const body = make("tbody"), heads = [];
  function fill() {
    const found = rows.filter((row) => !words || String(row[0]).toLowerCase().includes(words));
    found.sort((one, other) => (one[by] < other[by] ? -1 : one[by] > other[by] ? 1 : 0) * (falling ? -1 : 1));
    body.replaceChildren(...found.map((row) => make("tr", null, ...columns.map(([, kind, show], at) => {
      const shown = show ? show(row[at], row) : row[at];
      return make("td", { class: kind }, ...(Array.isArray(shown) ? shown : [String(shown)]));
    }))));
    if (!found.length) body.append(make("tr", null, make("td", { colspan: columns.length, class: "soft" }, "Nothing found.")));
    heads.forEach((head, at) => {
      head.setAttribute("aria-sort", at === by ? (falling ? "descending" : "ascending") : "none");
      head.firstChild.textContent = columns[at][0] + (at === by ? (falling ? " ▾" : " ▴") : "");
    });
  }
  columns.forEach(([heading, kind], at) => heads.push(make("th", { class: kind, scope: "col" }, make("button", {
    type: "button", on: { click: () => { falling = at === by ? !falling : kind === "num"; by = at; fill(); } },
  }, heading))));
  fill();
  const box = make("div", { class: "scroll" }, make("table", null, make("thead", null, make("tr", null, ...heads)), body));
  box.search = (text) => { words = text.toLowerCase(); fill(); };
  return box;
}
function search(what, call) {
  return tool(make("input", { type: "search", placeholder: what, "aria-label": what, on: { input: (event) => call(event.target.value) } }));
}

function errors() {
  if (!data.errors.length) return make("div", { class: "none" }, "Nothing failed.");
  return table([["error", "text bad-text"], ["jobs", "num", count], ["transient", "num", count],
    ["what was said (the first few)", "text", (texts) => texts.map((text) => make("div", null, text))]], data.errors, 1, true);
}

function hosts() {
  return table([["host", "text"], ["done", "num", count], ["failed", "num", (number) => number
    ? [make("span", { class: "bad-text" }, count(number))] : "0"], ["retries", "num", count], ["received", "num", size],
    ["median", "num", time], ["95 %", "num", time], ["longest", "num", time]], data.hosts, 1, true);
}

const NAME = 0, HOST = 1, ASKED = 2, BEGAN = 3, ENDED = 4, ATTEMPTS = 5, BYTES = 6, ERROR = 7, PARTS = 8;
function falls() {
  let words = "", order = "asked", along = false, bad = false;
  const list = make("div", { class: "scroll falls" });
  const sorts = {
    asked: (one, other) => one[ASKED] - other[ASKED], slowest: (one, other) => (other[ENDED] - other[ASKED]) - (one[ENDED] - one[ASKED]),
    name: (one, other) => (one[NAME] < other[NAME] ? -1 : 1),
  };
  function fill() {
    const found = data.tracks.filter((row) => (!bad || row[ERROR])
      && (!words || `${row[NAME]} ${row[HOST]} ${row[ERROR]}`.toLowerCase().includes(words)));
    found.sort(sorts[order]);
    const ends = found.map((row) => row[ENDED] - (along ? 0 : row[ASKED]));
    const most = Math.max(0.001, ...ends);
    list.replaceChildren(scale(most), ...found.map((row) => fall(row, along ? 0 : row[ASKED], most)));
    if (!found.length) list.append(make("div", { class: "none" }, "Nothing found."));
  }
  const choice = (label_, options, call) => tool(make("select", { "aria-label": label_, on: { change: (event) => { call(event.target.value); fill(); } } },
    ...options.map(([value, words_]) => make("option", { value }, words_))));
  const tools = [
    choice("order", [["asked", "in their order"], ["slowest", "slowest first"], ["name", "by name"]], (value) => { order = value; }),
    choice("time", [["own", "each from its start"], ["run", "along the run"]], (value) => { along = value === "run"; }),
    choice("which", [["all", "all"], ["bad", "failed only"]], (value) => { bad = value === "bad"; }),
    search("search jobs", (text) => { words = text.toLowerCase(); fill(); }),
  ];
  fill();
  return [...tools, legend(), list];
}
function legend() {
  const used = new Set(data.tracks.flatMap((row) => row[PARTS].map((part) => (part[0] === "failed" ? "broken" : part[0]))));
  if (data.tracks.some((row) => row[BEGAN] - row[ASKED] > 0.05)) used.add("queue");
  used.add("other");
  return make("div", { class: "legend soft" }, ...STEPS.filter(([kind]) => used.has(kind)).map(([kind, words]) =>
    make("span", { class: kind, title: words }, kind === "broken" ? "failed" : kind)));
}
function scale(most) {
  const ruler = make("div");
  for (let at = 0, step = round(most / 5); at < most * 0.94; at += step) {
    ruler.append(make("i", { at: { left: at / most * 100 + "%" } }, at ? time(at).replace(/\.0+(?= )/, "") : "0"));
  }
  return make("div", { class: "scale" }, make("div", null, "job"), ruler, make("div", { class: "num" }, "time"));
}
function fall(row, zero, most) {
  const bar = make("div", { class: "track" });
  const add = (kind, at, long) => bar.append(make("i", { class: kind, at: { left: Math.max(0, (at - zero) / most * 100) + "%", width: long / most * 100 + "%" } }));
  if (row[BEGAN] - row[ASKED] > 0.05) add("queue", row[ASKED], row[BEGAN] - row[ASKED]);
  add("run", row[BEGAN], row[ENDED] - row[BEGAN]);
  for (const [kind, at, long] of row[PARTS]) add(kind === "failed" ? "broken" : kind, at, long);
  const made = make("div", { class: row[ERROR] ? "fall bad" : "fall", title: row[NAME], tabindex: "0", role: "button", "aria-expanded": "false" },
    make("div", { class: "name" }, row[NAME]), bar, make("div", { class: "num" }, time(row[ENDED] - row[ASKED])));
  const open = () => {
    const next = made.nextSibling, is = next && next.classList.contains("detail");
    if (is) next.remove(); else made.after(detail(row));
    made.setAttribute("aria-expanded", String(!is));
  };
  made.addEventListener("click", open);
  made.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); open(); } });
  return made;
}
function detail(row) {
  const about = `asked for ${time(row[ASKED])} after the beginning, ${row[ATTEMPTS]} ${row[ATTEMPTS] === 1 ? "attempt" : "attempts"}, ${size(row[BYTES])}`;
  const parts = [["queue", row[ASKED], row[BEGAN] - row[ASKED], ""], ...row[PARTS]];
  return make("div", { class: "detail" }, make("div", null, row[NAME]), make("div", { class: "soft" }, about),
    ...(row[ERROR] ? [make("div", { class: "bad-text" }, row[ERROR])] : []),
    make("table", null, make("tbody", null, ...parts.map(([kind, at, long, said]) => make("tr", null, make("td", null, kind),
      make("td", { class: "num soft" }, "at " + time(at - row[ASKED])), make("td", { class: "num" }, time(long)), make("td", { class: "soft" }, said))))));
}

const hostTable = hosts();
const shownAll = data.tracks.length >= data.seen;
document.getElementById("page").replaceChildren(
  heading(), tiles(),
  make("div", { class: "two" },
    section("Over time", "jobs that ended, a second", overTime()),
    section("How long they took", "number of jobs by duration, from the first attempt", histogram())),
  section("What failed", data.failed ? `${count(data.failed)} of ${count(data.done + data.failed)} jobs` : "", errors()),
  section("Hosts", `${count(data.hosts.length)}${data.hosts.length > 1000 ? " (all beyond the first thousand are one row)" : ""}`,
    search("search hosts", (text) => hostTable.search(text)), hostTable),
  section("Waterfall", shownAll ? `all ${count(data.seen)} jobs`
    : `${count(data.tracks.length)} of ${count(data.seen)} jobs: a random sample, the slowest, and the first that failed`, ...falls()),
);
dark(location.hash === "#dark" || (location.hash !== "#light" && matchMedia("(prefers-color-scheme: dark)").matches));
})();
