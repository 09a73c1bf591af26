"use strict";
// All that comes from the lab is put on the page as text alone; a mail's HTML is seen in a frame that may do nothing.
const $ = (id) => document.getElementById(id);
const make = (kind, words, props) => Object.assign(document.createElement(kind), words === undefined ? {} : { textContent: words }, props);
const add = (parent, ...children) => { parent.append(...children.filter((child) => child !== null)); return parent; };
const ask = async (path, query) => {
  const answer = await fetch(query ? `${path}?${new URLSearchParams(query)}` : path);
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
};
const size = (count) => count < 1000 ? `${count} B` : count < 1e6 ? `${(count / 1e3).toFixed(1)} kB` : `${(count / 1e6).toFixed(1)} MB`;
const many = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
const moment = (seconds) => {
  const date = new Date(seconds * 1000), today = new Date().toDateString() === date.toDateString();
  return today ? date.toLocaleTimeString("en-GB") : date.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
};

let state = { mailboxes: [], talks: [], places: [] };
let box = null, uid = null, talk = null, tab = null, view = "mail", shownLines = 0;

const place = () => ({ account: box.account, mailbox: box.name });
const remember = () => {
  const at = view === "talks" ? ["talks", ...(talk ? [talk.protocol, talk.number] : [])] : ["mail", ...(box ? [box.account, box.name] : []), ...(uid ? [uid, ...(tab ? [tab] : [])] : [])];
  history.replaceState(null, "", `#${at.map(encodeURIComponent).join("/")}`);
};
const recall = () => {
  let at = [];
  try { at = location.hash.slice(1).split("/").map(decodeURIComponent); } catch { /* not one of ours */ }
  if (at[0] === "talks") { view = "talks"; if (at[2]) talk = { protocol: at[1], number: Number(at[2]) }; }
  else if (at[2]) { box = { account: at[1], name: at[2] }; uid = Number(at[3]) || null; tab = at[4] || null; }
  document.body.dataset.pane = uid || talk ? "detail" : "list";
};
const empty = (title, words, code) => add(make("div", undefined, { className: "empty" }), make("strong", title), make("span", words), code ? add(make("p"), make("code", code)) : null);
const back = () => make("button", "\u2190 Back", { className: "back", type: "button", onclick: () => { document.body.dataset.pane = "list"; uid = talk = null; remember(); draw(); } });

function drawSide() {
  const boxes = $("boxes");
  boxes.replaceChildren();
  let account = null;
  for (const one of state.mailboxes) {
    if (one.account !== account) boxes.append(make("h2", account = one.account));
    const button = make("button", undefined, { type: "button", onclick: () => { box = { account: one.account, name: one.name }; uid = null; go("mail"); } });
    add(button, make("span", one.name), one.unseen ? make("span", one.unseen, { className: "count new", title: `${one.unseen} not seen` }) : make("span", one.count || "", { className: "count" }));
    button.setAttribute("aria-current", String(view === "mail" && box !== null && box.account === one.account && box.name === one.name));
    boxes.append(button);
  }
  $("places").replaceChildren(...state.places.flatMap(([name, url]) => [make("dt", name), make("dd", url)]));
  for (const button of document.querySelectorAll("nav button")) button.setAttribute("aria-pressed", String(button.dataset.go === view));
}

function row(chosen, classes, who, when, what, badges, choose) {
  const button = make("button", undefined, { type: "button", className: classes, onclick: choose });
  button.setAttribute("aria-current", String(chosen));
  const below = make("span", what, { className: "what" });
  if (badges.length) add(below, " ", add(make("span", undefined, { className: "badges" }), ...badges));
  return add(make("li"), add(button, make("span", who, { className: "who" }), make("span", when, { className: "when" }), below));
}
const badge = (words, more = "") => make("span", words, { className: `badge ${more}` });

async function drawMails() {
  const { total, rows } = await ask("/lab/list", place());
  if (view !== "mail") return;
  $("list-title").textContent = `${box.name} of ${box.account}: ${many(total, "message")}${total > rows.length ? `, the latest ${rows.length}` : ""}`;
  $("rows").replaceChildren(...rows.map((one) => row(one.uid === uid, one.flags.includes("\\Seen") ? "" : "unseen", one.from || "(no sender)", moment(one.received), one.subject || "(no subject)", one.flags.filter((flag) => flag !== "\\Seen").map((flag) => badge(flag.replace("\\", ""))), () => { uid = one.uid; tab = null; document.body.dataset.pane = "detail"; remember(); draw(); })));
  if (!rows.length) $("rows").replaceChildren(add(make("li"), empty("No mail yet", "Send some to the server of this lab, or deliver it from a test.")));
}

function drawTalks() {
  $("list-title").textContent = many(state.talks.length, "session");
  $("rows").replaceChildren(...state.talks.map((one) => {
    const badges = [one.tls ? badge("TLS") : null, one.faults ? badge(many(one.faults, "fault"), "bad") : null, one.ended ? null : badge("open", "open")].filter(Boolean);
    const chosen = talk !== null && talk.protocol === one.protocol && talk.number === one.number;
    return row(chosen, "", `${one.protocol.toUpperCase()} ${one.number}`, moment(one.began), `${one.username || "nobody signed in"}, ${many(one.lines, "line")}`, badges, () => { talk = { protocol: one.protocol, number: one.number }; document.body.dataset.pane = "detail"; remember(); draw(); });
  }));
  if (!state.talks.length) $("rows").replaceChildren(add(make("li"), empty("No session yet", "What clients and servers say to each other is shown here, line by line.")));
}

async function drawMail() {
  if (uid === null) { $("detail").replaceChildren(empty("Nothing chosen", "Choose a message to read it.")); return; }
  const key = `mail ${box.account} ${box.name} ${uid} ${tab}`;
  if ($("detail").dataset.key === key) return;  // a mail never changes; the reader keeps the place
  const mail = await ask("/lab/mail", { ...place(), uid });
  $("detail").dataset.key = key;
  const facts = make("dl", undefined, { className: "facts" });
  for (const [name, words] of [["From", mail.from], ["To", mail.to], ["Date", mail.date], ["Size", `${size(mail.size)}, UID ${mail.uid}`]]) if (words) add(facts, make("dt", name), make("dd", words));
  const top = add(make("div", undefined, { className: "top" }), make("h2", mail.subject || "(no subject)"), facts);
  const tabs = [mail.has_html ? "HTML" : null, mail.text !== null ? "Text" : null, "Headers", "Source"].filter(Boolean);
  const chosen = tabs.includes(tab) ? tab : tabs.includes("Text") ? "Text" : tabs[0];
  const bar = make("div", undefined, { className: "tabs" });
  bar.setAttribute("role", "tablist");
  for (const name of tabs) {
    const button = make("button", name, { type: "button", onclick: () => { tab = name; remember(); drawMail(); } });
    button.setAttribute("role", "tab");
    button.setAttribute("aria-selected", String(name === chosen));
    bar.append(button);
  }
  const query = (more) => new URLSearchParams({ ...place(), uid, ...more });
  const files = make("div", undefined, { className: "files" });
  for (const one of mail.attachments) add(files, add(make("a", undefined, { href: `/lab/attachment?${query({ number: one.number })}`, title: one.type }), make("span", one.name), make("small", size(one.size))));
  const body = make("div", undefined, { className: "body" });
  if (chosen === "HTML") {
    const frame = make("iframe", undefined, { title: "The mail's HTML, which can neither run nor load anything", referrerPolicy: "no-referrer" });
    frame.setAttribute("sandbox", "");
    frame.src = `/lab/frame?${query()}`;
    body.append(frame);
  } else if (chosen === "Text") body.append(make("pre", mail.text || "(empty)", { className: "text" }));
  else if (chosen === "Headers") body.append(add(make("table"), ...mail.headers.map(([name, words]) => add(make("tr"), make("th", name), make("td", words)))));
  else {
    const source = await ask("/lab/source", { ...place(), uid });
    add(body, add(make("p"), make("a", "Download as .eml", { href: `/lab/source?${query({ download: 1 })}` })), make("pre", source.text));
  }
  $("detail").replaceChildren(back(), top, ...(mail.defect ? [make("p", mail.defect, { className: "note" })] : []), ...(mail.attachments.length ? [files] : []), bar, body);
}

async function drawTalk() {
  if (talk === null) { $("detail").replaceChildren(empty("Nothing chosen", "Choose a session to see what was said.")); return; }
  const whole = await ask("/lab/dialogue", talk);
  if (talk === null || view !== "talks") return;
  const key = `talk ${whole.protocol} ${whole.number}`, detail = $("detail");
  const follows = detail.dataset.key !== key || detail.scrollTop + detail.clientHeight > detail.scrollHeight - 40;
  detail.dataset.key = key;
  const facts = make("dl", undefined, { className: "facts" });
  for (const [name, words] of [["Client", whole.peer], ["Signed in", whole.username || "nobody"], ["Began", new Date(whole.began * 1000).toLocaleString("en-GB")], ["State", whole.ended ? "over" : "open"]]) if (words) add(facts, make("dt", name), make("dd", words));
  const said = make("ol", undefined, { className: "said" });
  for (const one of whole.said) {
    const fault = one.who === "!" && one.text.startsWith("Fault(");
    const item = make("li", undefined, { className: fault ? "fault" : one.who === "!" ? "note-line" : one.who });
    const words = make("pre", one.text.replace(/\n$/, ""));
    if (one.more) add(words, make("small", `  \u2026 ${many(one.more, "more byte")}`));
    said.append(add(item, make("time", one.at.toFixed(3)), make("b", one.who === "!" ? "!" : `${one.who}:`), words));
  }
  const grew = shownLines !== whole.said.length;
  shownLines = whole.said.length;
  detail.replaceChildren(back(), add(make("div", undefined, { className: "top" }), make("h2", `${whole.protocol.toUpperCase()} session ${whole.number}`), facts), said);
  if (follows && grew && !whole.ended) detail.scrollTop = detail.scrollHeight;
}

async function draw() {
  drawSide();
  document.body.dataset.view = view;
  try {
    if (view === "mail") { if (box) { await drawMails(); await drawMail(); } }
    else { drawTalks(); await drawTalk(); }
  } catch (error) {
    $("detail").dataset.key = "";
    $("detail").replaceChildren(back(), empty("Not there", error.message));
  }
}

function go(where) {
  view = where;
  document.body.dataset.pane = "list";
  if (where === "talks") talk = null;
  $("detail").dataset.key = "";
  remember();
  draw();
}

let busy = false, again = false;
async function refresh() {
  if (busy) { again = true; return; }
  busy = true;
  try {
    do {
      again = false;
      state = await ask("/lab/state");
      if (!box && state.mailboxes.length) box = { account: state.mailboxes[0].account, name: state.mailboxes[0].name };
      await draw();
      if (again) await new Promise((done) => setTimeout(done, 100));
    } while (again);
  } catch { live("off", "the lab is away"); }
  busy = false;
}
const live = (kind, words) => { $("live").className = kind; $("live").textContent = words; };

for (const button of document.querySelectorAll("nav button")) button.onclick = () => go(button.dataset.go);
recall();
const news = new EventSource("/lab/news");
news.onopen = () => { live("on", "live"); refresh(); };
news.onmessage = refresh;
news.onerror = () => live("off", "the lab is away");
