// Block Kit, drawn. A place ({channel, ts, edits} or {view}) says where the blocks stand; ctx says who
// looks, what is called how, and how to act.
import { html, cx, useState, useRef, useEffect } from "./view.js";
import { mrkdwn, markdown, words, person, channel, link, when, Code } from "./mrkdwn.js";
import { Select, Menu } from "./select.js";

// TextObject draws a text object of either kind.
export const TextObject = ({ text, ctx }) => (!text ? null : typeof text === "string" ? words(text)
	: text.type === "mrkdwn" ? mrkdwn(text.text, ctx) : words(text.text, text.emoji !== false));

const unnamed = /^b\d{5,}$/; // a name that Slack made up: another one in every version

// keysOf gives each block a key that it keeps in the next version: its name, or else what it is and the first thing to
// press in it.
function keysOf(blocks) {
	const seen = new Map();
	return blocks.map((b) => {
		if (b.block_id && !unnamed.test(b.block_id)) return b.block_id;
		const first = [b.accessory, ...(Array.isArray(b.elements) ? b.elements : [])].find((e) => e?.action_id);
		const sign = b.type + " " + (first?.action_id || "");
		seen.set(sign, (seen.get(sign) || 0) + 1);
		return sign + " " + seen.get(sign);
	});
}

// Blocks draws a list of blocks.
export function Blocks({ blocks, ctx }) {
	const keys = keysOf(blocks);
	return html`<div class="blocks">${blocks.map((b, i) => html`<${Block} key=${keys[i]} block=${b} ctx=${ctx} />`)}</div>`;
}

function Block({ block, ctx }) {
	switch (block.type) {
	case "section":
		return html`<${Section} block=${block} ctx=${ctx} />`;
	case "header":
		return html`<h3 class="header"><${TextObject} text=${block.text} ctx=${ctx} /></h3>`;
	case "divider":
		return html`<hr />`;
	case "context":
		return html`<div class="context">${block.elements.map((e) => (e.type === "image"
			? html`<${Picture} element=${e} />` : html`<span class="text"><${TextObject} text=${e} ctx=${ctx} /></span>`))}</div>`;
	case "actions":
	case "context_actions":
		return html`<div class="actions">${block.elements.map((e, i) => html`<${Element} key=${e.action_id || i} element=${e} block=${block} ctx=${ctx} />`)}</div>`;
	case "image":
		return html`<figure>${block.title && html`<figcaption><${TextObject} text=${block.title} ctx=${ctx} /></figcaption>`}<${Picture} element=${block} /></figure>`;
	case "rich_text":
		return html`<div class="rich">${block.elements.map((e) => rich(e, ctx))}</div>`;
	case "markdown":
		return html`<div class="text">${markdown(block.text, ctx)}</div>`;
	case "input":
		return html`<${Input} block=${block} ctx=${ctx} />`;
	case "table":
		return html`<div class="scroll"><table>${block.rows.map((row) => html`<tr>${row.map((cell) => html`<td>${
			cell.type === "raw_text" ? words(cell.text) : rich(cell, ctx)}</td>`)}</tr>`)}</table></div>`;
	default:
		return html`<p class="quiet">[${block.type}]</p>`;
	}
}

function Section({ block, ctx }) {
	return html`<div class=${cx("section", block.accessory && "beside")}>
		<div class="words">
			${block.text && html`<div class="text"><${TextObject} text=${block.text} ctx=${ctx} /></div>`}
			${block.fields && html`<div class="fields">${block.fields.map((f) => html`<div class="text"><${TextObject} text=${f} ctx=${ctx} /></div>`)}</div>`}
		</div>
		${block.accessory && html`<${Element} element=${block.accessory} block=${block} ctx=${ctx} />`}
	</div>`;
}

// Picture shows what an image is about. Images of other sites are never loaded.
function Picture({ element }) {
	const own = /^data:image\//.test(element.image_url || "");
	return own ? html`<img src=${element.image_url} alt=${element.alt_text} />` : html`<span class="picture" role="img" aria-label=${element.alt_text}>${element.alt_text}</span>`;
}

const marks = { bold: "strong", italic: "em", strike: "s", code: "code" };

function rich(e, ctx) {
	const inside = () => (e.elements || []).map((one) => rich(one, ctx));
	switch (e.type) {
	case "rich_text_section":
		return html`<div class="text">${inside()}</div>`;
	case "rich_text_quote":
		return html`<blockquote class="text">${inside()}</blockquote>`;
	case "rich_text_preformatted":
		return html`<${Code} text=${(e.elements || []).map((one) => one.text || one.url || "").join("")} />`;
	case "rich_text_list":
		return e.style === "ordered" ? html`<ol>${(e.elements || []).map((one) => html`<li>${rich(one, ctx)}</li>`)}</ol>`
			: html`<ul>${(e.elements || []).map((one) => html`<li>${rich(one, ctx)}</li>`)}</ul>`;
	case "text":
		return Object.keys(marks).reduce((node, style) => {
			const Tag = marks[style];
			return e.style?.[style] ? html`<${Tag}>${node}<//>` : node;
		}, words(e.text, false));
	case "link":
		return link(e.url, e.text || e.url);
	case "emoji":
		return words(e.unicode ? String.fromCodePoint(...e.unicode.split("-").map((u) => parseInt(u, 16))) : ":" + e.name + ":");
	case "user":
		return person(e.user_id, ctx);
	case "channel":
		return channel(e.channel_id, ctx);
	case "broadcast":
		return html`<span class="mention">@${e.range}</span>`;
	case "date":
		return when(e.timestamp, e.format, e.fallback);
	default:
		return e.text ? words(e.text, false) : null;
	}
}

// Element is one thing to press or to fill in.
export function Element({ element, block, ctx }) {
	switch (element.type) {
	case "button":
	case "workflow_button":
		return html`<${Button} element=${element} block=${block} ctx=${ctx} />`;
	case "overflow":
		return html`<${Menu} label="More actions" options=${element.options} onChoose=${(o) => ask(element, ctx, () => {
			if (o.url) window.open(o.url, "_blank", "noopener");
			return ctx.click({ block: block.block_id, action: element.action_id, option: o.value });
		})} />`;
	case "image":
		return html`<${Picture} element=${element} />`;
	default:
		return html`<${Field} element=${element} block=${block} ctx=${ctx} />`;
	}
}

// ask puts Slack's question before an action that wants one.
function ask(element, ctx, act) {
	return element.confirm ? ctx.confirm(element.confirm, act) : act();
}

function Button({ element, block, ctx }) {
	const [waits, setWaits] = useState(0);
	const alive = useRef(true);
	useEffect(() => () => { alive.current = false; }, []);
	const press = () => ask(element, ctx, async () => {
		setWaits((n) => n + 1);
		await ctx.click({ block: block.block_id, action: element.action_id });
		if (alive.current) setWaits((n) => n - 1);
	});
	const label = html`<span><${TextObject} text=${element.text} ctx=${ctx} /></span>`;
	const common = {
		class: cx("button", element.style, waits > 0 && "waits"), "data-test": "button", "data-action": element.action_id,
		"aria-label": element.accessibility_label || undefined, "aria-busy": waits > 0 ? "true" : undefined,
	};
	if (element.url && /^https?:/i.test(element.url)) {
		return html`<a ...${common} href=${element.url} target="_blank" rel="noopener noreferrer" onClick=${press}>${label}<i class="out" aria-hidden="true">↗</i></a>`;
	}
	return html`<button type="button" ...${common} onClick=${press}>${label}</button>`;
}

// valueOf is what stands in an element, as the text that the other side wants.
export function valueOf(state) {
	if (!state) return "";
	if (state.selected_options) return state.selected_options.map((o) => o.value).join("\n");
	if (state.selected_option !== undefined) return state.selected_option?.value || "";
	for (const k of ["value", "selected_date", "selected_time", "selected_user", "selected_channel", "selected_conversation", "selected_date_time"]) {
		if (state[k] !== undefined) return state[k] === null ? "" : String(state[k]);
	}
	return "";
}

function Input({ block, ctx }) {
	const error = ctx.errors?.[block.block_id];
	const id = "field-" + block.block_id;
	return html`<div class=${cx("input", error && "wrong")} data-test="input" data-block=${block.block_id}>
		<label for=${id} id=${id + "-label"}><${TextObject} text=${block.label} ctx=${ctx} />${block.optional && html` <span class="quiet">(optional)</span>`}</label>
		<${Field} id=${id} element=${block.element} block=${block} ctx=${ctx} error=${error} />
		${block.hint && html`<p class="hint" id=${id + "-hint"}><${TextObject} text=${block.hint} ctx=${ctx} /></p>`}
		${error && html`<p class="error" id=${id + "-error"} role="alert" data-test="error">${error}</p>`}
	</div>`;
}

// Field is an element that holds a value. In an input block the value is kept by the form; elsewhere it
// is sent at once.
function Field({ id, element, block, ctx, error }) {
	const key = block.block_id + "/" + element.action_id;
	const inForm = block.type === "input";
	const saved = ctx.state?.[block.block_id]?.[element.action_id];
	const value = inForm && ctx.form && key in ctx.form ? ctx.form[key] : saved ? valueOf(saved) : element.initial_value || element.initial_option?.value || "";
	const set = (v) => {
		if (inForm) ctx.fill?.(key, v);
		if (!inForm || block.dispatch_action) ask(element, ctx, () => ctx.choose({ block: block.block_id, action: element.action_id, value: v }));
	};
	const common = {
		id, "data-test": "field", "data-action": element.action_id, "aria-invalid": error ? "true" : undefined,
		"aria-describedby": [block.hint && id + "-hint", error && id + "-error"].filter(Boolean).join(" ") || undefined,
	};
	const hint = element.placeholder?.text;
	switch (element.type) {
	case "plain_text_input":
		return element.multiline
			? html`<textarea ...${common} rows="3" spellcheck="false" placeholder=${hint} value=${value} onInput=${(e) => set(e.currentTarget.value)} />`
			: html`<input ...${common} type="text" autocomplete="off" placeholder=${hint} value=${value} onInput=${(e) => set(e.currentTarget.value)} />`;
	case "email_text_input":
	case "url_text_input":
	case "number_input":
		return html`<input ...${common} type=${element.type.split("_")[0]} placeholder=${hint} value=${value} onInput=${(e) => set(e.currentTarget.value)} />`;
	case "datepicker":
	case "timepicker":
		return html`<input ...${common} type=${element.type.replace("picker", "")} value=${value} onChange=${(e) => set(e.currentTarget.value)} />`;
	case "checkboxes":
	case "radio_buttons":
		return html`<${Ticks} common=${common} element=${element} value=${value} set=${set} ctx=${ctx} labelled=${id + "-label"} />`;
	default: {
		const chosen = saved?.selected_option || element.initial_option;
		const several = element.type.startsWith("multi_");
		return html`<${Select} common=${common} several=${several} placeholder=${hint} value=${value} onChange=${set}
			chosen=${several ? saved?.selected_options : chosen && [chosen]} offer=${offer(element, block, ctx)} labelled=${inForm ? id + "-label" : undefined} />`;
	}
	}
}

// offer gives the function that finds what a select has to choose from.
function offer(element, block, ctx) {
	const kind = element.type.replace("multi_", "");
	const matching = (list) => (query) => list.filter((o) => o.text.toLowerCase().includes(query.toLowerCase()));
	if (kind === "external_select") {
		return { least: element.min_query_length ?? 3, find: (query) => ctx.options({ block: block.block_id, action: element.action_id, query }) };
	}
	if (kind === "users_select") {
		return { least: 0, find: matching(ctx.users.filter((u) => !u.is_bot).map((u) => ({ text: "@" + u.name, value: u.id }))) };
	}
	if (kind === "channels_select" || kind === "conversations_select") {
		return { least: 0, find: matching(ctx.channels.map((c) => ({ text: "#" + c.name, value: c.id }))) };
	}
	const own = (list, group) => (list || []).map((o) => ({ text: o.text.text, value: o.value, group }));
	return { least: 0, find: matching([...own(element.options), ...(element.option_groups || []).flatMap((g) => own(g.options, g.label.text))]) };
}

function Ticks({ common, element, value, set, ctx, labelled }) {
	const several = element.type === "checkboxes";
	const chosen = value ? value.split("\n") : [];
	const toggle = (v) => set(several ? (chosen.includes(v) ? chosen.filter((c) => c !== v) : [...chosen, v]).join("\n") : v);
	return html`<div class="ticks" role=${several ? "group" : "radiogroup"} aria-labelledby=${labelled} ...${common}>
		${element.options.map((o) => html`<label><input type=${several ? "checkbox" : "radio"} name=${several ? undefined : common.id} checked=${chosen.includes(o.value)} onChange=${() => toggle(o.value)} />
			<span><${TextObject} text=${o.text} ctx=${ctx} />${o.description && html`<small><${TextObject} text=${o.description} ctx=${ctx} /></small>`}</span></label>`)}
	</div>`;
}
