// Block Kit, drawn as elements.
import { el, icon, anchor, newID, safeURL } from "./dom.js";
import { mrkdwn, date } from "./mrkdwn.js";
import { menu } from "./menu.js";

// A surface is where blocks stand: {names, values, errors, use, fill, suggest}.
// use(block, element, choices, options) dispatches, fill notes what stands in a
// field, and suggest(block, element, query) asks for choices.

// text draws a text object.
export function text(t, names) {
  if (!t) return "";
  if (typeof t === "string") return t;
  return t.type === "mrkdwn" ? mrkdwn(t.text, names, { verbatim: t.verbatim ?? false }) : el("span", { class: "plain" }, t.text);
}

export function draw(blocks, surface) {
  return (blocks ?? []).map((b) => {
    const made = (makers[b.type] ?? unknown)(b, surface);
    made.classList.add("block");
    made.dataset.block = b.block_id ?? "";
    return made;
  });
}

const unknown = (b) => el("div", { class: "unknown" }, `A block of the kind ${b.type}, which this page does not draw.`);

const makers = {
  header: (b, s) => el("h3", {}, text(b.text, s.names)),
  divider: () => el("hr"),
  section: (b, s) => el("div", { class: "section" },
    el("div", { class: "section-main" },
      b.text && el("div", {}, text(b.text, s.names)),
      b.fields && el("div", { class: "fields" }, b.fields.map((f) => el("div", {}, text(f, s.names))))),
    b.accessory && el("div", { class: "accessory" }, element(b, b.accessory, s))),
  context: (b, s) => el("div", { class: "context" }, b.elements.map((e) => (e.type === "image" ? image(e, "tiny") : el("div", {}, text(e, s.names))))),
  actions: (b, s) => el("div", { class: "actions" }, b.elements.map((e) => element(b, e, s))),
  image: (b, s) => el("figure", {}, b.title && el("figcaption", {}, text(b.title, s.names)), image(b, "large")),
  markdown: (b, s) => el("div", {}, mrkdwn(b.text.replace(/\*\*(.+?)\*\*/g, "*$1*"), s.names)),
  rich_text: (b, s) => el("div", { class: "rich" }, b.elements.map((e) => rich(e, s.names))),
  file: (b) => el("div", {}, `File ${b.external_id ?? ""}`),
  input: (b, s) => {
    const label = newID("label"), hint = newID("hint"), error = newID("error");
    const said = s.errors?.[b.block_id];
    const described = [b.hint && hint, said && error].filter(Boolean).join(" ");
    return el("div", { class: "input" + (said ? " wrong" : ""), role: "group", "aria-labelledby": label },
      el("div", { class: "label", id: label }, text(b.label, s.names), b.optional && el("span", { class: "quiet" }, " (optional)")),
      element(b, b.element, s, { label: plainOf(b.label), describedBy: described || null, wrong: Boolean(said) }),
      said && el("div", { class: "error", id: error, role: "alert" }, said),
      b.hint && el("div", { class: "hint", id: hint }, text(b.hint, s.names)));
  },
};

const plainOf = (t) => (typeof t === "string" ? t : (t?.text ?? ""));

function image(i, size) {
  const src = safeURL(i.image_url ?? "");
  return src ? el("img", { class: size, src, alt: i.alt_text ?? "" }) : el("span", { class: "quiet" }, i.alt_text ?? "");
}

function styled(node, style) {
  for (const [name, tag] of [["code", "code"], ["bold", "strong"], ["italic", "em"], ["strike", "s"]]) if (style?.[name]) node = el(tag, {}, node);
  return node;
}

function rich(e, names) {
  switch (e.type) {
    case "rich_text_section":
      return el("div", { class: "text" }, e.elements.map((c) => rich(c, names)));
    case "rich_text_list":
      return el(e.style === "ordered" ? "ol" : "ul", { class: e.indent ? "indent" : null }, e.elements.map((c) => el("li", {}, rich(c, names))));
    case "rich_text_quote":
      return el("blockquote", {}, e.elements.map((c) => rich(c, names)));
    case "rich_text_preformatted":
      return el("pre", { tabindex: "0" }, el("code", {}, e.elements.map((c) => rich(c, names))));
    case "text":
      return styled(document.createTextNode(e.text), e.style);
    case "link":
      return styled(anchor(e.url, e.text || e.url.replace(/^mailto:/, "")), e.style);
    case "user":
      return names.mention(e.user_id);
    case "channel":
      return names.channel(e.channel_id);
    case "usergroup":
      return names.group(e.usergroup_id);
    case "broadcast":
      return el("span", { class: "mention" }, "@" + e.range);
    case "emoji":
      return document.createTextNode(`:${e.name}:`);
    case "date":
      return document.createTextNode(date(e.timestamp, e.format) ?? e.fallback ?? "");
    case "color":
      return document.createTextNode(e.value);
  }
  return document.createTextNode(e.text ?? "");
}

const option = (o) => ({ text: plainOf(o.text), value: o.value, description: plainOf(o.description), json: o });
const groups = (e) => (e.option_groups ? e.option_groups.map((g) => ({ label: plainOf(g.label), options: g.options.map(option) })) : [{ options: (e.options ?? []).map(option) }]);

// element draws something to use. about says what it is called when that
// stands beside it.
function element(b, e, s, about = {}) {
  const key = `${b.block_id} ${e.action_id}`;
  const label = about.label || e.accessibility_label || plainOf(e.text) || plainOf(e.placeholder) || "Choose";
  const inForm = b.type === "input";
  const value = s.values?.[b.block_id]?.[e.action_id] ?? {};
  const changed = (choices, options = []) => (inForm && !b.dispatch_action ? s.fill : s.use)(b, e, choices, options);
  const common = { "data-key": key, "aria-label": label, "aria-describedby": about.describedBy, "aria-invalid": about.wrong ? "true" : null };
  const ask = async (query) => {
    const found = await s.suggest(b, e, query);
    return [{ options: found.map(option) }];
  };
  const chosenOption = () => [value.selected_option ?? value.selected_options ?? []].flat().filter(Boolean).map(option);
  const picker = (more) => {
    const several = e.type.startsWith("multi_");
    return menu({ label, describedBy: about.describedBy, placeholder: plainOf(e.placeholder) || "Choose", several, optional: b.optional || !inForm, most: e.max_selected_items ?? 100, key,
      change: (chosen) => changed(chosen.map((o) => o.value), chosen.map((o) => o.json).filter(Boolean)), ...more }).box;
  };
  switch (e.type) {
    case "button": {
      const click = () => s.use(b, e, []);
      const properties = { class: `button ${e.style ?? ""}`, "data-key": key, "aria-label": e.accessibility_label || null, onclick: click };
      const href = e.url && safeURL(e.url);
      return href ? el("a", { ...properties, href, target: "_blank", rel: "noopener noreferrer" }, plainOf(e.text)) : el("button", { type: "button", ...properties }, plainOf(e.text));
    }
    case "static_select": case "multi_static_select":
      return picker({ choices: groups(e), chosen: chosenOption() });
    case "external_select": case "multi_external_select":
      return picker({ choices: ask, least: e.min_query_length ?? 3, chosen: chosenOption() });
    case "users_select": case "multi_users_select": case "conversations_select": case "multi_conversations_select": case "channels_select": case "multi_channels_select": {
      const kind = e.type.replace("multi_", "").split("_")[0];
      const all = s.names.choices(kind);
      const ids = [Object.entries(value).find(([k]) => k.startsWith("selected_"))?.[1] ?? []].flat();
      return picker({ choices: [{ options: all }], chosen: ids.map((id) => all.find((o) => o.value === id) ?? { text: id, value: id }) });
    }
    case "overflow": {
      const items = (e.options ?? []).map((o) => el("button", { type: "button", role: "menuitem", class: "choice",
        onclick: () => { box.open = false; const href = o.url && safeURL(o.url); if (href) window.open(href, "_blank", "noopener"); s.use(b, e, [o.value]); } }, plainOf(o.text),
        o.description && el("small", {}, plainOf(o.description))));
      const box = el("details", { class: "overflow" }, el("summary", { class: "button", "data-key": key, "aria-label": e.accessibility_label || "More" }, "⋯"), el("div", { role: "menu", class: "choices" }, items));
      box.addEventListener("keydown", (event) => { if (event.key === "Escape" && box.open) { event.preventDefault(); event.stopPropagation(); box.open = false; box.firstChild.focus(); } });
      box.addEventListener("focusout", (event) => { if (!box.contains(event.relatedTarget)) box.open = false; });
      return box;
    }
    case "checkboxes": case "radio_buttons": {
      const name = newID("group"), kind = e.type === "checkboxes" ? "checkbox" : "radio";
      const is = chosenOption().map((o) => o.value);
      const box = el("div", { class: "boxes", role: kind === "radio" ? "radiogroup" : "group", "aria-label": label }, e.options.map((o, i) => el("label", {},
        el("input", { type: kind, name, value: o.value, checked: is.includes(o.value), "data-key": `${key} ${i}`,
          onchange: () => changed([...box.querySelectorAll("input:checked")].map((c) => c.value)) }),
        el("span", {}, text(o.text, s.names), o.description && el("small", {}, text(o.description, s.names))))));
      return box;
    }
    case "datepicker": return el("input", { ...common, class: "field", type: "date", value: value.selected_date ?? "", onchange: (ev) => changed([ev.target.value].filter(Boolean)) });
    case "timepicker": return el("input", { ...common, class: "field", type: "time", value: value.selected_time ?? "", onchange: (ev) => changed([ev.target.value].filter(Boolean)) });
    case "plain_text_input": case "email_text_input": case "url_text_input": case "number_input": {
      const type = { email_text_input: "email", url_text_input: "url" }[e.type] ?? "text";
      const on = e.dispatch_action_config?.trigger_actions_on ?? ["on_enter_pressed"];
      const typed = (ev) => (b.dispatch_action && on.includes("on_character_entered") ? s.use : s.fill)(b, e, [ev.target.value].filter(Boolean), []);
      const enter = (ev) => {
        if (ev.key !== "Enter" || (e.multiline && !ev.ctrlKey && !ev.metaKey)) return;
        ev.preventDefault();
        if (b.dispatch_action && on.includes("on_enter_pressed")) s.use(b, e, [ev.target.value].filter(Boolean), []);
        else s.submit?.();
      };
      return el(e.multiline ? "textarea" : "input", { ...common, class: "field", type: e.multiline ? null : type, inputmode: e.type === "number_input" ? "decimal" : null,
        rows: e.multiline ? 4 : null, autocomplete: "off", spellcheck: e.multiline ? null : "false", maxlength: e.max_length ?? null, placeholder: plainOf(e.placeholder) || null, value: value.value ?? "", oninput: typed, onkeydown: enter });
    }
    case "image": return image(e, "thumb");
  }
  return unknown(e);
}

// message draws what a message carries: its blocks, else its text, then files.
export function content(m, surface) {
  const out = m.blocks?.length ? draw(m.blocks, surface) : [el("div", { class: "block" }, mrkdwn(m.text, surface.names, { verbatim: false }))];
  for (const a of m.attachments ?? []) out.push(el("div", { class: "attachment block" }, a.blocks ? draw(a.blocks, surface) : mrkdwn(a.text || a.fallback || "", surface.names)));
  for (const f of m.files ?? []) out.push(file(f));
  return out;
}

function file(f) {
  const href = `/files-pri/${encodeURIComponent(f.id)}/${encodeURIComponent(f.name)}`;
  const size = f.size < 1024 ? `${f.size} bytes` : f.size < 1 << 20 ? `${Math.round(f.size / 1024)} KB` : `${(f.size / (1 << 20)).toFixed(1)} MB`;
  return el("div", { class: "file block" },
    el("div", { class: "file-head" }, icon("file"), el("div", {}, el("strong", {}, f.title || f.name), el("small", {}, `${f.name} · ${size}`)),
      el("span", { class: "grow" }),
      el("a", { class: "button", href, target: "_blank", rel: "noopener", "aria-label": `Open ${f.name}` }, "Open"),
      el("a", { class: "button", href, download: f.name, "aria-label": `Download ${f.name}` }, "Download")),
    f.text && f.preview && el("pre", { tabindex: "0", "aria-label": `The beginning of ${f.name}` }, f.preview + (f.more ? "\n…" : "")));
}
