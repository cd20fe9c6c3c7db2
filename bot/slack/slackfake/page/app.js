// The page: who you are, what you see, and what you do.
import { el, fill, icon, newID } from "./dom.js";
import { draw, content, text as drawText } from "./blocks.js";
import { date, mrkdwn } from "./mrkdwn.js";

const $ = (id) => document.getElementById(id);
const sidebar = $("sidebar"), main = $("main"), side = $("side"), modal = $("modal"), question = $("question");

// What the server told.
let workspace = null, home = null, modals = [];
const channels = new Map(); // id to messages
// What is looked at: a channel, its thread or the app's Home.
let place = { channel: "", thread: "", home: false };
// Notices are what Slack itself says to the one who acts: {channel, thread, text, ts}.
let notices = [];
const dismissed = new Set();

// ---- doing things

async function send(deed) {
  let answer;
  try {
    const r = await fetch("/page/do", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ as: workspace.me, ...deed }) });
    answer = r.ok ? await r.json() : { error: await r.text() };
  } catch {
    answer = { error: "The playground does not answer." };
  }
  return answer;
}

function notice(channel, thread, text) {
  notices.push({ channel, thread, text, ts: (Date.now() / 1000).toFixed(6), user: workspace.me });
  drawPlace();
}

// say tells what Slack says instead of an answer.
function tell(answer, channel, thread = "") {
  const said = answer.error ?? failures[answer.failure] ?? answer.failure ?? answer.note;
  if (said) notice(channel, thread, said);
  return !answer.error && !answer.failure;
}

const failures = {
  operation_timeout: "That did not work: the app did not answer within three seconds (operation_timeout).",
  dispatch_failed: "That did not work: the app cannot be reached (dispatch_failed). Is berth serve running?",
};

// ask shows the question of an element before it is used.
function ask(confirm) {
  return new Promise((resolve) => {
    const answer = (yes) => () => { question.close(); resolve(yes); };
    fill(question,
      el("header", {}, el("h2", { id: "question-title" }, drawText(confirm.title, names))),
      el("div", { class: "modal-body" }, drawText(confirm.text, names)),
      el("footer", {},
        el("button", { type: "button", class: "button", onclick: answer(false) }, drawText(confirm.deny, names) || "Cancel"),
        el("button", { type: "button", class: `button ${confirm.style === "danger" ? "danger" : "primary"}`, onclick: answer(true), autofocus: true }, drawText(confirm.confirm, names) || "Yes")));
    question.oncancel = (e) => { e.preventDefault(); answer(false)(); };
    question.showModal();
  });
}

// questionOf is the confirm dialog that stands before what was used.
const questionOf = (element) => element.confirm;

// ---- names

const person = (id) => workspace.users.find((u) => u.id === id);
const nameOf = (id) => person(id)?.real ?? id;
const channelOf = (id) => workspace.channels.find((c) => c.id === id);
const title = (c) => (c.im ? nameOf(c.partner) : c.name);
const names = {
  mention(id, label) {
    const u = person(id);
    return el("span", { class: "mention" + (id === workspace.me ? " me" : "") }, "@" + (u?.name ?? (label || id)));
  },
  channel(id, label) {
    const c = channelOf(id);
    const shown = "#" + (c?.name ?? (label || "private-channel"));
    return c?.member ? el("a", { class: "mention", href: "#", onclick: (e) => { e.preventDefault(); go({ channel: id }); } }, shown) : el("span", { class: "mention" }, shown);
  },
  group(id, label) {
    const g = workspace.groups.find((g) => g.id === id);
    return el("span", { class: "mention" }, "@" + (g?.handle ?? (label.replace(/^@/, "") || id)));
  },
  choices(kind) {
    if (kind === "users") return workspace.users.filter((u) => !u.deleted && !u.slack).map((u) => ({ text: u.real, value: u.id, description: "@" + u.name }));
    return workspace.channels.filter((c) => kind === "conversations" || !c.im).map((c) => ({ text: (c.im ? "" : "#") + title(c), value: c.id }));
  },
};

// ---- what is new

const readKey = () => "read " + workspace.me;
function read() {
  try { return JSON.parse(sessionStorage.getItem(readKey())) ?? {}; } catch { return {}; }
}
function markRead(channel) {
  const last = (channels.get(channel) ?? []).at(-1)?.ts;
  if (!last || document.hidden) return;
  sessionStorage.setItem(readKey(), JSON.stringify({ ...read(), [channel]: last }));
}
function unread(channel) {
  const since = read()[channel] ?? "0";
  return (channels.get(channel) ?? []).filter((m) => m.ts > since && m.user !== workspace.me && (!m.thread || m.thread === m.ts || m.broadcast)).length;
}

// ---- going somewhere

function go(to) {
  place = { channel: "", thread: "", home: false, ...to };
  location.replace("#" + [workspace.me, place.home ? "home" : place.channel, place.thread].filter(Boolean).join("/"));
  document.body.classList.remove("drawer");
  if (place.home) send({ do: "home" });
  drawAll();
  if (!place.home && !document.body.classList.contains("narrow")) (place.thread ? side : main).querySelector("textarea")?.focus();
}

function fromHash() {
  const [user, what, thread] = decodeURIComponent(location.hash.slice(1)).split("/");
  return { user, home: what === "home", channel: what === "home" ? "" : (what ?? ""), thread: thread ?? "" };
}

// ---- the sidebar

const hues = [200, 340, 150, 30, 265, 95, 0, 230];
function avatar(id, size = "") {
  const u = person(id);
  const people = workspace.users.filter((x) => x.playable);
  const face = el("span", { class: `avatar ${size}`, "aria-hidden": "true" }, u?.bot && !u.slack ? icon("anchor") : (u?.real ?? "?").slice(0, 1).toUpperCase());
  const hue = u?.bot ? 190 : hues[Math.max(0, people.indexOf(u)) % hues.length];
  face.style.setProperty("--hue", hue);
  if (u?.slack) face.classList.add("grey");
  return face;
}

let sidebarShows = "";
function drawSidebar() {
  // It is drawn anew only when it shows something else: what has the focus there keeps it.
  const key = JSON.stringify([workspace, place.channel, place.home, workspace.channels.map((c) => unread(c.id))]);
  if (key === sidebarShows) return;
  sidebarShows = key;
  const focused = sidebar.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  const y = sidebar.scrollTop;
  const me = person(workspace.me);
  const item = (label, mark, to, current, count) => el("li", {}, el("button", { type: "button", class: "item" + (count ? " unread" : ""), "aria-current": current ? "page" : null, "data-key": label, onclick: () => go(to) },
    mark, el("span", { class: "grow" }, label), count > 0 && el("span", { class: "badge" }, el("span", { "aria-hidden": "true" }, count), el("span", { class: "unseen" }, `, ${count} new`))));
  const mine = workspace.channels.filter((c) => c.member);
  const by = (a, b) => title(a).localeCompare(title(b));
  const app = workspace.app;
  const others = workspace.users.filter((u) => u.playable && u.id !== me.id);
  const here = (id) => !place.home && place.channel === id;
  fill(sidebar,
    el("div", { class: "team" }, el("strong", {}, workspace.team), el("small", {}, "Playground, not Slack")),
    el("div", { class: "people", role: "radiogroup", "aria-label": "Who you are" }, el("span", { class: "quiet" }, "You are"),
      el("div", { class: "faces" }, workspace.users.filter((u) => u.playable).map((u) => el("button", {
        type: "button", role: "radio", "aria-checked": String(u.id === me.id), class: "face", "data-key": u.id, onclick: () => become(u.id) }, avatar(u.id, "small"), el("span", {}, u.real))))),
    el("h2", {}, "Channels"),
    el("ul", {}, mine.filter((c) => !c.im).sort(by).map((c) => item(c.name, icon(c.private ? "lock" : "hash"), { channel: c.id }, here(c.id), unread(c.id)))),
    el("h2", {}, "Direct messages"),
    el("ul", {}, others.map((u) => {
      const im = mine.find((c) => c.im && c.partner === u.id);
      const open = im ? { channel: im.id } : null;
      const made = item(u.real, avatar(u.id, "small"), open, im && here(im.id), im ? unread(im.id) : 0);
      if (!open) made.firstChild.onclick = async (e) => { e.stopPropagation(); const r = await send({ do: "write to", user: u.id }); if (tell(r, place.channel)) go({ channel: r.channel }); };
      return made;
    })),
    el("h2", {}, "Apps"),
    el("ul", {}, item(app.name, avatar(app.user, "small"), { home: true }, place.home || here(app.channel), unread(app.channel))));
  sidebar.scrollTop = y;
  if (focused) sidebar.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

function become(user) {
  if (user === workspace.me) return;
  place.thread = "";
  location.replace(`#${user}`);
  listen(user);
}

// ---- messages

const timeOf = (ts) => date(Number(ts), "{time}");
const drawn = new WeakMap(); // list element to Map of ts to {json, element}

function surfaceOf(m) {
  return {
    names, values: m.values,
    use: async (block, element, choices, options) => {
      const confirm = questionOf(element);
      if (confirm && !(await ask(confirm))) return;
      tell(await send({ do: "use", channel: place.channel, ts: m.ts, block, action: element.action_id, choices, options }), place.channel, m.thread);
    },
    fill: (block, element, choices, options) => send({ do: "fill", channel: place.channel, ts: m.ts, block, action: element.action_id, choices, options }),
    suggest: async (block, element, query) => {
      const r = await send({ do: "suggest", channel: place.channel, ts: m.ts, block, action: element.action_id, query });
      if (r.error || r.failure) throw new Error(r.error ?? "The app did not answer");
      return r.options ?? [];
    },
  };
}

function drawMessage(m, inThread, replies) {
  const u = person(m.user);
  const menu = el("div", { class: "tools" },
    !inThread && !m.ephemeral && !m.local && el("button", { type: "button", class: "bare", "aria-label": "Reply in thread", title: "Reply in thread", onclick: () => go({ channel: place.channel, thread: m.thread || m.ts }) }, icon("reply")),
    (m.ephemeral || m.local) && el("button", { type: "button", class: "bare", "aria-label": "Dismiss", title: "Dismiss", onclick: () => { dismissed.add(m.ts); drawPlace(); } }, icon("close")),
    m.user === workspace.me && !m.local && el("button", { type: "button", class: "bare", "aria-label": "Delete", title: "Delete", onclick: () => send({ do: "delete", channel: place.channel, ts: m.ts }) }, icon("trash")));
  const last = replies.at(-1);
  return el("article", { class: "message" + (m.ephemeral || m.local ? " private" : ""), "data-ts": m.ts, "aria-label": `${nameOf(m.user)}, ${timeOf(m.ts)}` },
    avatar(m.user),
    el("div", { class: "message-main" },
      (m.ephemeral || m.local) && el("div", { class: "only" }, icon("eye"), "Only visible to you"),
      m.broadcast && m.thread && !inThread && el("div", { class: "only" }, "replied to a thread"),
      el("div", { class: "by" }, el("strong", {}, nameOf(m.user)), u?.bot && !u.slack && el("span", { class: "app-mark" }, "app"),
        el("time", { class: "quiet", title: date(Number(m.ts), "{date_long}, {time_secs}") }, timeOf(m.ts)),
        m.edited && el("span", { class: "quiet edited" }, "(edited)")),
      el("div", { class: "content" }, content(m, surfaceOf(m))),
      Object.entries(m.reactions ?? {}).map(([name, who]) => el("span", { class: "reaction" }, `:${name}: ${who.length}`)),
      last && el("button", { type: "button", class: "replies", onclick: () => go({ channel: place.channel, thread: m.ts }) },
        el("strong", {}, replies.length === 1 ? "1 reply" : `${replies.length} replies`), el("span", { class: "quiet" }, ` Last one at ${timeOf(last.ts)}`))),
    menu);
}

// update brings a list of messages up to date and touches nothing that stays
// as it is: what is typed or chosen there stays too.
function update(list, messages, inThread, fresh) {
  const old = drawn.get(list) ?? new Map();
  const now = new Map();
  const all = channels.get(place.channel) ?? [];
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 60;
  let before = null, day = "";
  const wanted = [];
  for (const m of messages) {
    const d = date(Number(m.ts), "{date_long_pretty}");
    if (!inThread && d !== day) {
      day = d;
      const key = "day " + d;
      const e = old.get(key)?.element ?? el("div", { class: "day", role: "separator" }, el("span", {}, d.slice(0, 1).toUpperCase() + d.slice(1)));
      now.set(key, { json: "", element: e });
      wanted.push(e);
    }
    const replies = inThread ? [] : all.filter((r) => r.thread === m.ts && r.ts !== m.ts && !r.ephemeral);
    const json = JSON.stringify([m, replies.length, replies.at(-1)?.ts, workspace.users.length]);
    const known = old.get(m.ts);
    let e = known?.element;
    if (!known || known.json !== json) {
      const focused = known?.element.contains(document.activeElement) ? document.activeElement.dataset.key : null;
      const scrolled = known && [...known.element.querySelectorAll("pre")].map((p) => p.scrollTop);
      const made = drawMessage(m, inThread, replies);
      if (known) known.element.replaceWith(made);
      e = made;
      scrolled?.forEach((y, i) => { const p = e.querySelectorAll("pre")[i]; if (p) p.scrollTop = y; });
      if (focused) e.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
    }
    now.set(m.ts, { json, element: e });
    wanted.push(e);
  }
  for (const [key, { element }] of old) if (!now.has(key)) element.remove();
  for (const e of wanted) {
    if (e.previousElementSibling !== before || e.parentNode !== list) before ? before.after(e) : list.prepend(e);
    before = e;
  }
  if (!drawn.has(list)) {
    // Who reads the newest goes on doing so when the window changes.
    let end = true, size = "";
    const now = () => `${list.clientWidth} ${list.clientHeight}`;
    list.addEventListener("scroll", () => { if (size === now()) end = list.scrollHeight - list.scrollTop - list.clientHeight < 60; });
    new ResizeObserver(() => { size = now(); if (end) list.scrollTop = list.scrollHeight; }).observe(list);
  }
  drawn.set(list, now);
  if (fresh || atEnd) list.scrollTop = list.scrollHeight;
}

// localMessages are Slack's own words to this person.
const localMessages = (thread) => notices.filter((n) => n.user === workspace.me && n.channel === place.channel && (n.thread || "") === thread)
  .map((n) => ({ ts: n.ts, user: workspace.users.find((u) => u.slack)?.id ?? "", text: n.text.replaceAll("&", "&amp;").replaceAll("<", "&lt;"), local: true }));

const sorted = (all) => all.filter((m) => !dismissed.has(m.ts)).sort((a, b) => (a.ts < b.ts ? -1 : 1));

function drawPlace() {
  if (!workspace) return;
  drawMain();
  drawSide();
}

let mainShows = "";
function drawMain() {
  const c = channelOf(place.channel);
  if (place.home) return drawHome();
  if (!c) return;
  const key = `${workspace.me} ${c.id}`;
  const fresh = mainShows !== key;
  if (fresh) {
    mainShows = key;
    fill(main, el("header", { class: "bar" }), el("div", { class: "list", role: "log", "aria-live": "off", "aria-label": `Messages in ${title(c)}`, tabindex: "0" }), composer(c, ""));
  }
  const [bar, list] = main.children;
  const isApp = c.im && c.partner === workspace.app.user;
  const head = JSON.stringify([c, workspace.users.length]);
  if (bar.dataset.head !== head) {
    bar.dataset.head = head;
    fill(bar, opener(), el("h1", {}, c.im ? avatar(c.partner, "small") : icon(c.private ? "lock" : "hash"), title(c)),
      !c.im && !c.app && el("span", { class: "quiet" }, `${workspace.app.name} is not in this channel`), isApp && tabs(false));
  }
  const messages = sorted([...(channels.get(c.id) ?? []).filter((m) => !m.thread || m.thread === m.ts || m.broadcast), ...localMessages("")]);
  update(list, messages, false, fresh);
  list.classList.toggle("empty", messages.length === 0);
  markRead(c.id);
}

const opener = () => el("button", { type: "button", class: "bare opener", "aria-label": "Conversations", onclick: () => document.body.classList.toggle("drawer") }, icon("menu"));

const tabs = (atHome) => el("div", { class: "tabs", role: "tablist", "aria-label": workspace.app.name },
  el("button", { type: "button", role: "tab", "aria-selected": String(atHome), onclick: () => go({ home: true }) }, "Home"),
  el("button", { type: "button", role: "tab", "aria-selected": String(!atHome), onclick: () => go({ channel: workspace.app.channel }) }, "Messages"));

function drawHome() {
  const key = JSON.stringify([workspace.me, home]);
  if (mainShows === key) return;
  const focused = main.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  const y = main.querySelector(".home")?.scrollTop ?? 0;
  mainShows = key;
  fill(main,
    el("header", { class: "bar" }, opener(), el("h1", {}, avatar(workspace.app.user, "small"), workspace.app.name), tabs(true)),
    el("div", { class: "list home", tabindex: "0", role: "tabpanel", "aria-label": "Home" }, el("div", { class: "home-inner content" }, home ? draw(home.blocks, viewSurface(home)) : el("p", { class: "quiet" }, "The app has published nothing here yet."))));
  main.querySelector(".home").scrollTop = y;
  if (focused) main.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

let sideShows = "";
function drawSide() {
  const first = place.thread && (channels.get(place.channel) ?? []).find((m) => m.ts === place.thread);
  side.hidden = !first;
  document.body.classList.toggle("threaded", Boolean(first));
  if (!first) {
    sideShows = "";
    return fill(side);
  }
  const c = channelOf(place.channel);
  const key = `${workspace.me} ${c.id} ${place.thread}`;
  const fresh = sideShows !== key;
  if (fresh) {
    sideShows = key;
    fill(side,
      el("header", { class: "bar" }, el("h2", {}, "Thread"), el("span", { class: "quiet" }, (c.im ? "" : "#") + title(c)), el("span", { class: "grow" }),
        el("button", { type: "button", class: "bare", "aria-label": "Close the thread", onclick: () => go({ channel: c.id }) }, icon("close"))),
      el("div", { class: "list", role: "log", "aria-live": "off", "aria-label": "Thread", tabindex: "0" }), composer(c, place.thread));
  }
  update(side.children[1], sorted([...(channels.get(c.id) ?? []).filter((m) => m.ts === place.thread || m.thread === place.thread), ...localMessages(place.thread)]), true, fresh);
}

// ---- the composer

const builtin = [{ name: "/invite", description: "Bring somebody into this channel", usage: "@name" }];
const drafts = new Map();

function composer(c, thread) {
  const id = newID("composer"), draft = `${workspace.me} ${c.id} ${thread}`;
  let active = 0, offers = [];
  const list = el("ul", { class: "choices", role: "listbox", id: id + "-list", "aria-label": "Suggestions", hidden: true });
  const usage = el("div", { class: "usage", id: id + "-usage", "aria-live": "polite" });
  const where = thread ? "Reply in the thread" : `Message ${c.im ? title(c) : "#" + title(c)}`;
  const box = el("textarea", { rows: 1, class: "typed", placeholder: where, "aria-label": where, role: "combobox", "aria-expanded": "false", "aria-autocomplete": "list",
    "aria-controls": id + "-list", "aria-describedby": id + "-usage", value: drafts.get(draft) ?? "" });
  const button = el("button", { type: "submit", class: "bare send", "aria-label": "Send" }, icon("send"));
  const form = el("form", { class: "composer" }, list, usage, el("div", { class: "typing" }, box, button));
  const commands = () => (thread ? [] : [...workspace.commands, ...builtin]);

  const mark = (n) => {
    active = n;
    [...list.children].forEach((li, i) => { li.classList.toggle("active", i === n); li.setAttribute("aria-selected", String(i === n)); });
    const li = list.children[n];
    li ? box.setAttribute("aria-activedescendant", li.id) : box.removeAttribute("aria-activedescendant");
    li?.scrollIntoView({ block: "nearest" });
  };
  const offer = (all) => {
    offers = all;
    list.hidden = all.length === 0;
    box.setAttribute("aria-expanded", String(all.length > 0));
    fill(list, ...all.map((o, i) => el("li", { class: "choice", role: "option", id: newID(id), onmousedown: (e) => { e.preventDefault(); take(i); } },
      el("span", {}, el("strong", {}, o.text), o.usage && el("span", { class: "quiet" }, " " + o.usage)), o.description && el("small", {}, o.description))));
    mark(0);
  };
  const look = () => {
    box.style.height = "auto";
    box.style.height = Math.min(box.scrollHeight, 200) + "px";
    drafts.set(draft, box.value);
    const typed = box.value.slice(0, box.selectionStart);
    const at = /(?:^|\s)@([\w.-]*)$/.exec(typed);
    const known = commands().find((x) => box.value.startsWith(x.name + " "));
    fill(usage, ...(known ? [el("strong", {}, known.name), " ", known.usage ?? "", el("span", { class: "quiet" }, " — " + known.description)] : []));
    if (/^\/\S*$/.test(box.value)) return offer(commands().filter((x) => x.name.startsWith(box.value.toLowerCase())).map((x) => ({ text: x.name, usage: x.usage, description: x.description, insert: x.name + " ", from: 0 })));
    if (at) {
      const all = [...workspace.users.filter((u) => !u.deleted && !u.slack).map((u) => ({ text: "@" + u.name, description: u.real })), ...workspace.groups.map((g) => ({ text: "@" + g.handle, description: g.name }))];
      return offer(all.filter((o) => o.text.slice(1).toLowerCase().startsWith(at[1].toLowerCase())).map((o) => ({ ...o, insert: o.text + " ", from: typed.length - at[1].length - 1 })));
    }
    offer([]);
  };
  const take = (i) => {
    const o = offers[i], end = box.selectionStart;
    box.value = box.value.slice(0, o.from) + o.insert + box.value.slice(end);
    box.selectionStart = box.selectionEnd = o.from + o.insert.length;
    look();
  };
  const submit = async () => {
    const text = box.value.trim();
    if (!text) return;
    box.value = "";
    look();
    main.querySelector(".list")?.scrollTo(0, 1e9);
    const fine = tell(await send({ do: "say", channel: c.id, thread, text }), c.id, thread);
    if (!fine && box.value === "") { box.value = text; look(); offer([]); }
  };
  box.addEventListener("input", look);
  box.addEventListener("blur", () => offer([]));
  box.addEventListener("keydown", (e) => {
    if (e.isComposing) return;
    const o = offers[active];
    const exact = o && o.insert.trim() === box.value.slice(o.from, box.selectionStart);
    if (offers.length && (e.key === "ArrowDown" || e.key === "ArrowUp")) {
      e.preventDefault();
      mark((active + (e.key === "ArrowDown" ? 1 : offers.length - 1)) % offers.length);
    } else if (offers.length && (e.key === "Tab" || (e.key === "Enter" && !e.shiftKey && !exact))) {
      e.preventDefault();
      take(active);
    } else if (offers.length && e.key === "Escape") {
      e.preventDefault();
      offer([]);
    } else if (e.key === "Enter" && !e.shiftKey) {
      e.preventDefault();
      submit();
    }
  });
  form.addEventListener("submit", (e) => { e.preventDefault(); submit(); });
  return form;
}

// ---- forms

// pending are the fields that were typed into and not yet told, by view.
let pending = new Map(), telling = Promise.resolve(), typingTimer = 0;

function flush() {
  clearTimeout(typingTimer);
  const all = [...pending.values()];
  pending = new Map();
  for (const deed of all) telling = telling.then(() => send(deed));
  return telling;
}

function viewSurface(v) {
  const values = structuredClone(v.values ?? {});
  // What was just typed is newer than what the server told.
  for (const d of pending.values()) if (d.view === v.id && typed.has(`${v.id} ${d.block.block_id} ${d.action}`)) overlay(values, d);
  const note = (block, element, choices, options) => {
    const deed = { do: "fill", view: v.id, block, action: element.action_id, choices, options };
    const key = `${v.id} ${block.block_id} ${element.action_id}`;
    typed.set(key, deed);
    pending.set(key, deed);
    clearTimeout(typingTimer);
    typingTimer = setTimeout(flush, 150);
  };
  return {
    names, values, errors: v.errors,
    fill: note,
    use: async (block, element, choices, options) => {
      const confirm = questionOf(element);
      if (confirm && !(await ask(confirm))) return;
      await flush();
      const r = await send({ do: "use", view: v.id, block, action: element.action_id, choices, options });
      if (r.error || r.failure) v.type === "home" ? say(r) : trouble(r);
    },
    suggest: async (block, element, query) => {
      const r = await send({ do: "suggest", view: v.id, block, action: element.action_id, query });
      if (r.error || r.failure) throw new Error(r.error ?? "The app did not answer");
      return r.options ?? [];
    },
    submit: () => submitModal(v),
  };
}

const typed = new Map();
function overlay(values, d) {
  const e = d.block.element ?? d.block.accessory;
  if (!e?.type.endsWith("_input")) return;
  (values[d.block.block_id] ??= {})[d.action] = { type: e.type, value: d.choices[0] ?? null };
}

let modalShows = "", busy = false;
async function submitModal(v) {
  if (busy || !v.submit) return;
  busy = true;
  modal.querySelector(".modal-form")?.setAttribute("aria-busy", "true");
  const button = modal.querySelector("footer .primary");
  if (button) { button.disabled = true; button.textContent = "Sending…"; }
  await flush();
  const r = await send({ do: "submit", view: v.id });
  busy = false;
  if (button?.isConnected) { button.disabled = false; button.textContent = v.submit; }
  modal.querySelector(".modal-form")?.removeAttribute("aria-busy");
  if (r.error || r.failure) trouble(r);
}

function trouble(r) {
  modal.querySelector(".trouble")?.replaceChildren(r.error ?? failures[r.failure] ?? r.failure ?? "");
}

async function closeModal(v, all) {
  await flush();
  const r = await send({ do: "close", view: v.id, all });
  if (r.error || r.failure) trouble(r);
}

function drawModal() {
  const v = modals.at(-1);
  if (!v) {
    modalShows = "";
    typed.clear();
    if (modal.open) modal.close();
    return fill(modal);
  }
  const key = JSON.stringify([v.id, v.title, v.submit, v.close, v.blocks, v.errors, modals.length]);
  if (key === modalShows) return;
  const sameView = modalShows && JSON.parse(modalShows)[0] === v.id;
  const focused = modal.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  const y = sameView ? (modal.querySelector(".modal-body")?.scrollTop ?? 0) : 0;
  modalShows = key;
  const form = el("form", { class: "modal-form", novalidate: true, onsubmit: (e) => { e.preventDefault(); submitModal(v); } },
    el("header", {}, modals.length > 1 && el("button", { type: "button", class: "bare", "aria-label": "Back", onclick: () => closeModal(v, false) }, icon("back")),
      el("h2", { id: "modal-title" }, v.title), el("span", { class: "grow" }), el("button", { type: "button", class: "bare", "aria-label": "Close", onclick: () => closeModal(v, true) }, icon("close"))),
    el("div", { class: "modal-body content" }, draw(v.blocks, viewSurface(v)), el("div", { class: "trouble error", role: "alert" })),
    el("footer", {}, el("button", { type: "button", class: "button", onclick: () => closeModal(v, false) }, v.close || (v.submit ? "Cancel" : "Close")),
      v.submit && el("button", { type: "submit", class: "button primary" }, v.submit)));
  fill(modal, form);
  if (!modal.open) modal.showModal();
  modal.querySelector(".modal-body").scrollTop = y;
  const wrong = modal.querySelector(".input.wrong .field");
  const target = wrong ?? (focused && modal.querySelector(`[data-key="${CSS.escape(focused)}"]`)) ?? modal.querySelector(".field") ?? modal.querySelector("footer button:last-child");
  target?.focus();
}
modal.addEventListener("cancel", (e) => {
  e.preventDefault();
  const v = modals.at(-1);
  if (v) closeModal(v, false);
});

// say shows something for a moment at the foot of the page.
function say(r) {
  const s = $("status");
  s.textContent = r.error ?? failures[r.failure] ?? r.failure;
  s.hidden = false;
  setTimeout(() => { s.hidden = true; }, 6000);
}

// ---- what the server tells

function drawAll() {
  if (!workspace) return;
  drawPlace();
  drawSidebar();
  drawModal();
  document.title = `${place.home ? workspace.app.name : title(channelOf(place.channel) ?? { name: "" })} · ${workspace.team}`;
}

// announce reads new messages out, by the text that was made for it.
function announce(before, after, channel) {
  if (channel !== place.channel || !before) return;
  const known = new Set(before.map((m) => m.ts));
  for (const m of after) if (!known.has(m.ts) && m.user !== workspace.me) $("announcer").textContent = `${nameOf(m.user)}: ${mrkdwn(m.text, names).textContent}`;
}

let source = null, waiting = false;
function redraw() {
  if (waiting) return;
  waiting = true;
  queueMicrotask(() => { waiting = false; drawAll(); });
}

function listen(user) {
  source?.close();
  let first = true;
  source = new EventSource("/page/events?user=" + encodeURIComponent(user ?? ""));
  const on = (kind, f) => source.addEventListener(kind, (e) => { f(JSON.parse(e.data)); redraw(); });
  on("workspace", (w) => {
    const other = workspace?.me !== w.me;
    workspace = w;
    if (!first) return;
    first = false;
    if (other) {
      home = null;
      modals = [];
      channels.clear();
    }
    const wanted = fromHash();
    const there = (id) => w.channels.some((c) => c.id === id && c.member);
    place = wanted.user === w.me && (wanted.home || there(wanted.channel)) ? { channel: wanted.channel, thread: wanted.thread, home: wanted.home }
      : place.home || there(place.channel) && !channelOf(place.channel).im ? { ...place, thread: "" } : { channel: w.channels.find((c) => c.member && !c.im)?.id ?? w.app.channel, thread: "", home: false };
    location.replace("#" + [w.me, place.home ? "home" : place.channel, place.thread].filter(Boolean).join("/"));
    if (place.home) send({ do: "home" });
  });
  on("channel", (c) => {
    announce(channels.get(c.id), c.messages, c.id);
    channels.set(c.id, c.messages);
  });
  on("home", (h) => { home = h.view; });
  on("modals", (m) => { modals = m.stack; });
  source.addEventListener("nobody", () => { source.close(); if (user) listen(""); else $("status").textContent = "There is nobody in this workspace."; });
  source.addEventListener("open", () => { $("status").hidden = true; });
  source.addEventListener("error", () => {
    $("status").textContent = "The playground is not there. When it runs again at this address, this page goes on by itself.";
    $("status").hidden = false;
    if (source.readyState === EventSource.CLOSED) setTimeout(() => listen(user), 2000);
  });
}

const narrow = matchMedia("(max-width: 760px)");
const fit = () => document.body.classList.toggle("narrow", narrow.matches);
narrow.addEventListener("change", fit);
fit();
addEventListener("keydown", (e) => {
  if (e.key === "Escape" && document.body.classList.contains("drawer")) document.body.classList.remove("drawer");
  else if (e.key === "Escape" && !e.defaultPrevented && side.contains(document.activeElement)) go({ channel: place.channel });
});
document.addEventListener("visibilitychange", redraw);
main.addEventListener("click", (e) => { if (!e.target.closest(".opener")) document.body.classList.remove("drawer"); });
listen(fromHash().user);
