// A menu that is typed into: of given choices, or of those that the app
// suggests.
import { el, icon, newID } from "./dom.js";

// menu makes one. choices is a list of groups {label, options}, or a function
// of what was typed that promises one; least is how much has to be typed first.
// An option is {text, value, description}. chosen are the options chosen;
// change is called with them.
export function menu({ label, describedBy, placeholder, choices, least = 0, chosen = [], several = false, optional = false, most = 100, key, change }) {
  const id = newID("menu");
  let open = false, active = -1, shown = [], asked = 0, timer = 0;
  const list = el("ul", { class: "choices", role: "listbox", id: id + "-list", "aria-label": label, hidden: true });
  const input = el("input", {
    class: "field menu-input", type: "text", role: "combobox", autocomplete: "off", spellcheck: "false", "aria-label": label, "aria-describedby": describedBy,
    "aria-expanded": "false", "aria-controls": id + "-list", "aria-autocomplete": "list", placeholder, "data-key": key,
  });
  const chips = el("span", { class: "chips" });
  const box = el("div", { class: "menu" + (several ? " several" : "") }, several && chips, input, el("span", { class: "arrow", "aria-hidden": "true" }), list);

  const rest = () => { input.value = several ? "" : (chosen[0]?.text ?? ""); };
  const drawChips = () => chips.replaceChildren(...chosen.map((o) => el("span", { class: "chip" }, o.text,
      el("button", { type: "button", class: "bare", "aria-label": `Remove ${o.text}`, onclick: () => choose(chosen.filter((c) => c !== o)) }, icon("close")))));
  const choose = (now) => {
    chosen = now;
    rest();
    drawChips();
    change(chosen);
  };
  const place = () => {
    const r = input.getBoundingClientRect();
    const below = innerHeight - r.bottom - 12, above = r.top - 12;
    const up = below < 180 && above > below;
    list.style.left = r.left + "px";
    list.style.width = Math.max(r.width, 220) + "px";
    list.style.maxHeight = Math.min(280, up ? above : below) + "px";
    list.style.top = up ? "auto" : r.bottom + 4 + "px";
    list.style.bottom = up ? innerHeight - r.top + 4 + "px" : "auto";
  };
  const mark = (n) => {
    active = n;
    shown.forEach((o, i) => o.item.classList.toggle("active", i === n));
    const item = shown[n]?.item;
    if (item) {
      input.setAttribute("aria-activedescendant", item.id);
      item.scrollIntoView({ block: "nearest" });
    } else input.removeAttribute("aria-activedescendant");
  };
  const say = (text) => {
    shown = [];
    list.replaceChildren(el("li", { class: "hint", role: "presentation" }, text));
    mark(-1);
  };
  const draw = (groups) => {
    shown = [];
    const items = [];
    for (const g of groups) {
      if (g.label && g.options.length) items.push(el("li", { class: "group", role: "presentation" }, g.label));
      for (const o of g.options) {
        const is = chosen.some((c) => c.value === o.value);
        const item = el("li", { class: "choice", role: "option", id: newID(id), "aria-selected": String(is), onmousedown: (e) => { e.preventDefault(); pick(o); } },
          el("span", {}, o.text), o.description && el("small", {}, o.description));
        shown.push({ option: o, item });
        items.push(item);
      }
    }
    list.replaceChildren(...items);
    if (!shown.length) return say("Nothing fits");
    const at = shown.findIndex((s) => s.item.getAttribute("aria-selected") === "true");
    mark(at >= 0 && !several ? at : 0);
  };
  const fits = (o, query) => [o.text, o.description ?? ""].some((t) => t.toLowerCase().includes(query));
  const look = (typed) => {
    clearTimeout(timer);
    const query = typed.trim();
    if (typeof choices !== "function") {
      draw(choices.map((g) => ({ label: g.label, options: g.options.filter((o) => fits(o, query.toLowerCase())) })));
      return;
    }
    if (query.length < least) return say(`Type at least ${least} characters`);
    const mine = ++asked;
    if (!shown.length) say("Looking…");
    timer = setTimeout(async () => {
      try {
        const groups = await choices(query);
        if (mine === asked && open) draw(groups);
      } catch (e) {
        if (mine === asked && open) say(String(e.message ?? e));
      }
      place();
    }, query ? 120 : 0);
  };
  const show = (typed) => {
    if (!open) {
      open = true;
      list.hidden = false;
      input.setAttribute("aria-expanded", "true");
      addEventListener("scroll", place, true);
      addEventListener("resize", place);
    }
    look(typed);
    place();
  };
  const hide = () => {
    if (!open) return;
    open = false;
    asked++;
    clearTimeout(timer);
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    mark(-1);
    removeEventListener("scroll", place, true);
    removeEventListener("resize", place);
  };
  const pick = (o) => {
    if (!several) {
      hide();
      return choose([o]);
    }
    const without = chosen.filter((c) => c.value !== o.value);
    if (without.length === chosen.length && chosen.length >= most) return say(`No more than ${most} can be chosen`);
    choose(without.length === chosen.length ? [...chosen, o] : without);
    look("");
  };
  input.addEventListener("click", () => { if (!open) { input.select(); show(""); } });
  input.addEventListener("input", () => show(input.value));
  input.addEventListener("blur", () => {
    hide();
    if (optional && !several && input.value.trim() === "" && chosen.length) choose([]);
    else rest();
  });
  input.addEventListener("keydown", (e) => {
    const n = shown.length;
    switch (e.key) {
      case "ArrowDown": case "ArrowUp":
        e.preventDefault();
        if (!open) { input.select(); show(""); } else if (n) mark((active + (e.key === "ArrowDown" ? 1 : n - 1)) % n);
        break;
      case "Enter":
        if (!open) return;
        e.preventDefault();
        if (shown[active]) pick(shown[active].option);
        break;
      case "Escape":
        if (!open) return;
        e.preventDefault();
        e.stopPropagation();
        hide();
        rest();
        break;
      case "Backspace":
        if (several && input.value === "" && chosen.length) choose(chosen.slice(0, -1));
        break;
    }
  });
  rest();
  drawChips();
  return { box, input };
}
