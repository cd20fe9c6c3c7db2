// Everything that is shown is made here, as elements and text: no string is
// ever read as HTML.

// el makes an element. Properties that begin with "on" are listeners, "class"
// and all others attributes; false, null and undefined leave one away.
export function el(name, properties, ...children) {
  const e = document.createElement(name);
  for (const [key, value] of Object.entries(properties ?? {})) {
    if (value === false || value === null || value === undefined) continue;
    if (key.startsWith("on")) e.addEventListener(key.slice(2), value);
    else if (key === "value") e.value = value;
    else e.setAttribute(key, value === true ? "" : String(value));
  }
  e.append(...shown(children));
  return e;
}

// fill gives an element other children.
export function fill(e, ...children) {
  e.replaceChildren(...shown(children));
}

const shown = (children) => children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false && c !== "");

const svgSpace = "http://www.w3.org/2000/svg";
const drawings = {
  close: "M6 6l12 12M18 6L6 18",
  menu: "M4 7h16M4 12h16M4 17h16",
  send: "M4 12l16-8-6 17-3-7z",
  reply: "M10 8L5 12l5 4M5 12h9a5 5 0 0 1 5 5v1",
  lock: "M7 11V8a5 5 0 0 1 10 0v3M6 11h12v9H6z",
  hash: "M9 4L7 20M17 4l-2 16M5 9h15M4 15h15",
  eye: "M2.5 12s3.5-6 9.5-6 9.5 6 9.5 6-3.5 6-9.5 6-9.5-6-9.5-6zM12 9.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5z",
  anchor: "M12 8v13M12 3a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5zM8 11h8M4 14c.5 4.500 4 7 8 7s7.500-2.500 8-7",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  file: "M6 3h8l4 4v14H6zM14 3v4h4",
  back: "M15 5l-7 7 7 7",
};

// icon is a drawing beside text that says the same, or in a labelled button.
export function icon(name) {
  const svg = document.createElementNS(svgSpace, "svg");
  for (const [k, v] of Object.entries({ viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true" })) svg.setAttribute(k, v);
  const path = document.createElementNS(svgSpace, "path");
  path.setAttribute("d", drawings[name]);
  svg.append(path);
  return svg;
}

let serial = 0;
export const newID = (prefix) => `${prefix}-${++serial}`;

// safeURL is an address that a link may lead to, or null.
export function safeURL(text) {
  try {
    const url = new URL(text);
    return ["http:", "https:", "mailto:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

export function anchor(url, ...children) {
  const href = safeURL(url);
  return href ? el("a", { href, target: "_blank", rel: "noopener noreferrer" }, ...children) : el("span", {}, ...children);
}
