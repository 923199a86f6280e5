// Slack's texts as trees of nodes. Nothing here makes HTML out of text.
import { html } from "./view.js";
import { drawn } from "./icons.js";

const shortcodes = {
	white_check_mark: "✅", x: "❌", large_blue_circle: "🔵", hourglass_flowing_sand: "⏳", raised_hand: "✋", alarm_clock: "⏰",
	no_entry_sign: "🚫", black_right_pointing_double_triangle_with_vertical_bar: "⏭️", grey_question: "❔", repeat: "🔁",
	arrow_forward: "▶️", warning: "⚠️", tada: "🎉", rocket: "🚀", eyes: "👀", "+1": "👍", wave: "👋", fire: "🔥", bug: "🐛",
};

const decode = (s) => s.replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&amp;/g, "&");

// words draws plain text: its symbols, and emoji by name where they are meant.
export function words(text, names = true) {
	if (names) text = text.replace(/:([a-z0-9_+-]+):/g, (all, name) => shortcodes[name] || all);
	return drawn(text);
}

const letter = /[\p{L}\p{N}]/u;
const border = (c) => c === undefined || !letter.test(c);

// closing finds the mark that ends what begins at i; 0 for none. Code and links are passed over.
function closing(s, i) {
	for (let j = i + 1; j < s.length; j++) {
		if (s[j] === "\n") return 0;
		if (s[j] === "`" || s[j] === "<") {
			const end = s.indexOf(s[j] === "`" ? "`" : ">", j + 1);
			if (end > 0) j = end;
		} else if (s[j] === s[i] && j > i + 1 && s[j - 1] !== " " && border(s[j + 1])) {
			return j;
		}
	}
	return 0;
}

const tags = { "*": "strong", _: "em", "~": "s" };

// inline reads one paragraph of mrkdwn.
function inline(s, ctx) {
	const out = [];
	let text = "";
	const flush = () => {
		if (text) out.push(words(decode(text)));
		text = "";
	};
	for (let i = 0; i < s.length; i++) {
		const c = s[i];
		if (c === "`") {
			const end = s.indexOf("`", i + 1);
			if (end > i + 1 && !s.slice(i, end).includes("\n")) {
				flush();
				out.push(html`<code>${decode(s.slice(i + 1, end))}</code>`);
				i = end;
				continue;
			}
		} else if (c === "<") {
			const end = s.indexOf(">", i + 1);
			if (end > 0) {
				flush();
				out.push(reference(s.slice(i + 1, end), ctx));
				i = end;
				continue;
			}
		} else if (tags[c] && border(s[i - 1]) && s[i + 1] !== " ") {
			const end = closing(s, i);
			if (end) {
				flush();
				const Tag = tags[c];
				out.push(html`<${Tag}>${inline(s.slice(i + 1, end), ctx)}<//>`);
				i = end;
				continue;
			}
		}
		text += c;
	}
	flush();
	return out;
}

// reference reads what stands in angle brackets.
function reference(body, ctx) {
	const bar = body.indexOf("|");
	const target = bar < 0 ? body : body.slice(0, bar);
	const label = bar < 0 ? "" : body.slice(bar + 1);
	switch (target[0]) {
	case "@":
		return person(target.slice(1), ctx, label);
	case "#":
		return channel(target.slice(1), ctx, label);
	case "!": {
		const [, date, format, link] = target.match(/^!date\^(\d+)\^([^^]*)(?:\^(.*))?$/) || [];
		if (date) return when(Number(date), format, label, link);
		return html`<span class="mention">@${words(decode(label || target.slice(1).split("^")[0]))}</span>`;
	}
	default:
		return link(decode(target), label ? inline(label, ctx) : decode(target));
	}
}

// link is a link to the web, or plain text where the address is of another kind.
export function link(address, text) {
	if (!/^(https?|mailto):/i.test(address)) return text;
	return html`<a href=${address} target="_blank" rel="noopener noreferrer">${text}</a>`;
}

export function person(id, ctx, label) {
	return html`<span class=${id === ctx.me ? "mention me" : "mention"}>@${ctx.names?.[id] || label || id}</span>`;
}

export function channel(id, ctx, label) {
	return html`<button type="button" class="mention" onClick=${() => ctx.open?.(id)}>#${ctx.names?.[id] || label || id}</button>`;
}

const day = 86400000;

function relative(date, style) {
	const midnight = (d) => new Date(d.getFullYear(), d.getMonth(), d.getDate()).getTime();
	const days = Math.round((midnight(date) - midnight(new Date())) / day);
	const near = { 0: "today", "-1": "yesterday", 1: "tomorrow" }[days];
	return near || new Intl.DateTimeFormat(undefined, style).format(date);
}

const long = { weekday: "long", month: "long", day: "numeric", year: "numeric" };
const middle = { month: "long", day: "numeric", year: "numeric" };
const short = { month: "short", day: "numeric", year: "numeric" };

// when shows a moment in the reader's own zone.
export function when(seconds, format, fallback, target) {
	const date = new Date(seconds * 1000);
	const as = (style) => new Intl.DateTimeFormat(undefined, style).format(date);
	const tokens = {
		date_num: () => date.toISOString().slice(0, 10), date: () => as(middle), date_short: () => as(short), date_long: () => as(long),
		date_pretty: () => relative(date, middle), date_short_pretty: () => relative(date, short), date_long_pretty: () => relative(date, long),
		time: () => as({ hour: "2-digit", minute: "2-digit" }), time_secs: () => as({ hour: "2-digit", minute: "2-digit", second: "2-digit" }),
		ago: () => ago(seconds),
	};
	const text = format.replace(/\{(\w+)\}/g, (all, name) => (tokens[name] ? tokens[name]() : all));
	const node = html`<time datetime=${date.toISOString()} title=${fallback || date.toLocaleString()}>${text}</time>`;
	return target ? link(decode(target), node) : node;
}

function ago(seconds) {
	const past = Math.max(Math.round(Date.now() / 1000) - seconds, 0);
	if (past < 60) return "just now";
	const [n, unit] = past < 3600 ? [past / 60, "minute"] : past < 86400 ? [past / 3600, "hour"] : [past / 86400, "day"];
	return new Intl.RelativeTimeFormat(undefined).format(-Math.floor(n), unit);
}

// Code is a fenced block. A line that is too wide goes on indented, so that lines can be told apart.
export const Code = ({ text }) => html`<pre data-test="code"><code>${text.split("\n").map((line) => html`<span>${line}</span>`)}</code></pre>`;

// mrkdwn reads a whole text.
export function mrkdwn(text, ctx) {
	const out = [];
	text.split("```").forEach((part, i, all) => {
		if (i % 2 && i < all.length - 1) {
			out.push(html`<${Code} text=${decode(part.replace(/^\n/, "").replace(/\n$/, ""))} />`);
			return;
		}
		if (i % 2) part = "```" + part; // never closed: it is text
		if (i > 0) part = part.replace(/^\n/, "");
		if (i < all.length - 1) part = part.replace(/\n$/, "");
		out.push(...paragraphs(part, ctx));
	});
	return out;
}

// paragraphs sets quotes apart.
function paragraphs(text, ctx) {
	const out = [];
	let lines = [];
	let quoted = false;
	const flush = () => {
		const joined = lines.join("\n");
		lines = [];
		if (quoted) out.push(html`<blockquote>${inline(joined, ctx)}</blockquote>`);
		else if (joined) out.push(...inline(joined, ctx));
	};
	for (const line of text.split("\n")) {
		const mark = line.match(/^(&gt;|>) ?/);
		if (Boolean(mark) !== quoted) {
			flush();
			quoted = Boolean(mark);
		}
		lines.push(mark ? line.slice(mark[0].length) : line);
	}
	flush();
	return out;
}

// markdown reads the few things of Markdown that messages use.
export function markdown(text, ctx) {
	const slack = text.split("```").map((part, i) => (i % 2 ? part : part
		.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/^&gt; ?/gm, "> ")
		.replace(/\[([^\]]+)\]\((https?:[^)\s]+)\)/g, "<$2|$1>").replace(/\*\*([^*]+)\*\*/g, "*$1*").replace(/^#+ +(.*)$/gm, "*$1*")
		.replace(/^[-*] /gm, "• "))).join("```");
	return mrkdwn(slack, ctx);
}

// plain is a text of no marks, for titles and notices.
export const plain = (text) => decode(text.replace(/<[^|>]*\|([^>]*)>/g, "$1").replace(/[*_`~]/g, ""));
