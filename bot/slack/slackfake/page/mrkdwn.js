// Slack's markup, drawn as elements.
import { el, anchor } from "./dom.js";

const decode = (s) => s.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
// A style begins where no word stands before, and ends where none goes on. The
// invisible joiner counts as a part of words: it is how markup is avoided.
const wordy = (c) => c !== undefined && /[\p{L}\p{N}\u2060]/u.test(c);
const blank = (c) => c === undefined || /[\s\u2060]/.test(c);
const styles = { "*": "strong", _: "em", "~": "s" };

// mrkdwn draws a text. names gives the people, channels and groups.
export function mrkdwn(text, names, { verbatim = true } = {}) {
  const out = document.createDocumentFragment();
  const parts = text.split(/```([\s\S]+?)```/);
  parts.forEach((part, i) => {
    if (i % 2) {
      out.append(el("pre", { tabindex: "0" }, el("code", {}, plainOf(part.replace(/^\n/, "").replace(/\n$/, ""), names))));
      return;
    }
    // The line ends around a block of code are the block's own.
    if (i > 0) part = part.replace(/^\n/, "");
    if (i < parts.length - 1) part = part.replace(/\n$/, "");
    if (part === "") return;
    let quote = [], lines = [];
    const flushLines = () => {
      if (lines.length) out.append(el("div", { class: "text" }, inline(lines.join("\n"), names, verbatim)));
      lines = [];
    };
    const flushQuote = () => {
      if (quote.length) out.append(el("blockquote", {}, inline(quote.join("\n"), names, verbatim)));
      quote = [];
    };
    for (const line of part.split("\n")) {
      const quoted = /^(?:&gt;|>) ?(.*)$/.exec(line);
      if (quoted) {
        flushLines();
        quote.push(quoted[1]);
      } else {
        flushQuote();
        lines.push(line);
      }
    }
    flushLines();
    flushQuote();
  });
  return out;
}

// inline draws what stands within lines.
function inline(text, names, verbatim) {
  const out = [];
  let plain = "";
  const flush = () => {
    if (plain) out.push(...(verbatim ? [decode(plain)] : linked(decode(plain))));
    plain = "";
  };
  for (let i = 0; i < text.length; ) {
    const c = text[i];
    if (c === "`") {
      const end = text.indexOf("`", i + 1);
      const code = text.slice(i + 1, end);
      if (end > i + 1 && !code.includes("\n")) {
        flush();
        out.push(el("code", {}, plainOf(code, names)));
        i = end + 1;
        continue;
      }
    }
    if (c === "<") {
      const m = /^<([^<>\n]+)>/.exec(text.slice(i));
      if (m) {
        flush();
        out.push(entity(m[1], names));
        i += m[0].length;
        continue;
      }
    }
    if (styles[c] && !wordy(text[i - 1]) && text[i - 1] !== c && !blank(text[i + 1]) && text[i + 1] !== c) {
      const end = closing(text, i, c);
      if (end > 0) {
        flush();
        out.push(el(styles[c], {}, inline(text.slice(i + 1, end), names, verbatim)));
        i = end + 1;
        continue;
      }
    }
    plain += c;
    i++;
  }
  flush();
  return out;
}

// closing finds where a style ends, 0 if it does not.
function closing(text, start, mark) {
  for (let i = start + 1; i < text.length && text[i] !== "\n"; i++) {
    if (text[i] === "<" || text[i] === "`") {
      const m = /^(?:<[^<>\n]+>|`[^`\n]+`)/.exec(text.slice(i));
      if (m) {
        i += m[0].length - 1;
        continue;
      }
    }
    if (text[i] === mark && i > start + 1 && !blank(text[i - 1]) && !wordy(text[i + 1])) return i;
  }
  return 0;
}

function linked(text) {
  return text.split(/(https?:\/\/[^\s<>"`]+[^\s<>"`.,;:!?)'])/).map((part, i) => (i % 2 ? anchor(part, part) : part));
}

// plainOf is text in which entities are shown as what they stand for.
function plainOf(text, names) {
  return decode(text.replace(/<([^<>\n]+)>/g, (_, inner) => entity(inner, names).textContent.replaceAll("&", "&amp;")));
}

function entity(inner, names) {
  const bar = inner.indexOf("|");
  const [what, label] = bar < 0 ? [inner, ""] : [inner.slice(0, bar), decode(inner.slice(bar + 1))];
  if (what.startsWith("@")) return names.mention(what.slice(1), label);
  if (what.startsWith("#")) return names.channel(what.slice(1), label);
  if (what.startsWith("!subteam^")) return names.group(what.slice(9), label);
  if (what.startsWith("!date^")) {
    const [, seconds, format, url] = what.split("^");
    const text = date(Number(seconds), format ?? "") ?? label;
    const time = el("time", { datetime: isoDate(Number(seconds)) }, text);
    return url ? anchor(decode(url), time) : time;
  }
  if (what.startsWith("!")) return el("span", { class: "mention" }, "@" + what.slice(1));
  return anchor(decode(what), label || decode(what).replace(/^mailto:/, ""));
}

function isoDate(seconds) {
  const d = new Date(seconds * 1000);
  return isNaN(d) ? null : d.toISOString();
}

// date writes a time in Slack's formats, in the reader's own zone.
export function date(seconds, format) {
  const d = new Date(seconds * 1000);
  if (isNaN(d)) return null;
  const with_ = (o) => new Intl.DateTimeFormat("en", o).format(d);
  const day = (x) => new Date(x.getFullYear(), x.getMonth(), x.getDate()).getTime();
  const apart = Math.round((day(d) - day(new Date())) / 86400000);
  const pretty = { 0: "today", 1: "tomorrow", "-1": "yesterday" }[apart];
  const year = d.getFullYear() === new Date().getFullYear() ? {} : { year: "numeric" };
  const tokens = {
    date_num: () => `${d.getFullYear()}-${String(d.getMonth() + 1).padStart(2, "0")}-${String(d.getDate()).padStart(2, "0")}`,
    date_slash: () => with_({ year: "numeric", month: "2-digit", day: "2-digit" }),
    date: () => with_({ year: "numeric", month: "long", day: "numeric" }),
    date_short: () => with_({ month: "short", day: "numeric", year: "numeric" }),
    date_long: () => with_({ weekday: "long", year: "numeric", month: "long", day: "numeric" }),
    date_pretty: () => pretty ?? with_({ ...year, month: "long", day: "numeric" }),
    date_short_pretty: () => pretty ?? with_({ ...year, month: "short", day: "numeric" }),
    date_long_pretty: () => pretty ?? with_({ weekday: "long", ...year, month: "long", day: "numeric" }),
    time: () => d.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false }),
    time_secs: () => d.toLocaleTimeString([], { hour12: false }),
    ago: () => {
      const f = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
      const s = seconds - Date.now() / 1000;
      for (const [unit, n] of [["day", 86400], ["hour", 3600], ["minute", 60]]) if (Math.abs(s) >= n) return f.format(Math.round(s / n), unit);
      return f.format(Math.round(s), "second");
    },
  };
  return format.replace(/\{([a-z_]+)\}/g, (whole, name) => tokens[name]?.() ?? whole);
}
