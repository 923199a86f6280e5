// Status symbols as drawings, so that they look the same and sharp on every system. Each stands for
// one emoji, and keeps its name for those who listen.
import { html, cx } from "./view.js";

const disc = (tone, inside, extra) => html`<circle class=${"tone-" + tone} cx="8" cy="8" r="7" />${inside}${extra}`;

const shapes = {
	passed: () => disc("good", html`<path class="cut" d="M4.9 8.3 7.1 10.4 11.2 5.9" />`),
	failed: () => disc("bad", html`<path class="cut" d="M5.6 5.6 10.4 10.4M10.4 5.6 5.6 10.4" />`),
	running: () => html`<circle class="ring faint" cx="8" cy="8" r="6" /><path class="ring turn" d="M8 2a6 6 0 0 1 6 6" /><circle class="tone-run" cx="8" cy="8" r="2.4" />`,
	pending: () => html`<circle class="ring wait" cx="8" cy="8" r="6" /><path class="line wait" d="M8 4.8V8l2.2 1.4" />`,
	manual: () => html`<circle class="ring wait" cx="8" cy="8" r="6" /><path class="fill wait" d="M6.5 5.3v5.4L11 8z" />`,
	scheduled: () => html`<circle class="ring wait" cx="8" cy="8.6" r="5.4" /><path class="line wait" d="M8 5.8v2.8h2.4M2.6 3.6l1.8-1.5M13.4 3.6l-1.8-1.5" />`,
	canceled: () => html`<circle class="ring calm" cx="8" cy="8" r="6" /><path class="line calm" d="M3.9 3.9l8.2 8.2" />`,
	skipped: () => html`<circle class="ring calm" cx="8" cy="8" r="6" /><path class="line calm" d="M5.2 5.6 7.6 8l-2.4 2.4M8.6 5.6 11 8l-2.4 2.4" />`,
	unknown: () => html`<circle class="ring calm" cx="8" cy="8" r="6" /><path class="line calm" d="M6.3 6.3c.2-2.3 3.5-2 3.5-.1 0 1.3-1.8 1.4-1.8 2.6M8 10.9v.2" />`,
	retried: () => html`<path class="line run" d="M3 7.5A5 5 0 0 1 12 5.1M13 8.5A5 5 0 0 1 4 10.9" /><path class="fill run" d="M12.9 2.6v3.9H9zM3.1 13.4V9.5H7z" />`,
	started: () => html`<path class="fill run" d="M4.5 2.8v10.4L13.2 8z" />`,
	rolledOut: () => html`<path class="fill run" d="M8 .8c2.7 1.8 3.6 5 2.9 8.6H5.1C4.4 5.8 5.3 2.6 8 .8z" /><path class="fill run" d="M4.3 7.4 2.2 10.8l2.5-.4zM11.7 7.4l2.1 3.4-2.5-.4z" /><circle class="cut dot" cx="8" cy="5.6" r="1.3" /><path class="line wait" d="M6.5 11.5v1.6M8 11.5v3M9.5 11.5v1.6" />`,
	rolledBack: () => html`<path class="fill wait" d="M8 3.2v9.6L1.8 8zM14.2 3.2v9.6L8 8z" />`,
	paused: () => html`<path class="line wait thick" d="M5.5 3.8v8.4M10.5 3.8v8.4" />`,
	image: () => html`<path class="line calm" d="M2.3 4.9 8 2l5.7 2.9v6.2L8 14l-5.7-2.9zM2.3 4.9 8 7.8l5.7-2.9M8 7.8V14" />`,
	question: () => disc("run", html`<path class="cut" d="M6 6.3c.1-2.5 4-2.4 4 0 0 1.5-2 1.6-2 2.9M8 11.5v.1" />`),
	warning: () => html`<path class="tone-warn" d="M8 1.6 15.3 14.4H.7z" /><path class="cut dark" d="M8 6v4M8 12.2v.1" />`,
};

const named = {
	"✅": ["passed", "passed"], "❌": ["failed", "failed"], "🔵": ["running", "running"], "⏳": ["pending", "pending"],
	"✋": ["manual", "manual"], "⏰": ["scheduled", "scheduled"], "🚫": ["canceled", "canceled"], "⏭️": ["skipped", "skipped"],
	"⏭": ["skipped", "skipped"], "❔": ["unknown", "unknown"], "🔁": ["retried", "retried"], "▶️": ["started", "started"],
	"▶": ["started", "started"], "⚠️": ["warning", "warning"], "⚠": ["warning", "warning"],
	"🚀": ["rolledOut", "rolled out"], "⏪": ["rolledBack", "rolled back"], "⏸️": ["paused", "paused"], "⏸": ["paused", "paused"], "📦": ["image", "image"],
	"❓": ["question", "question"],
};

const symbols = new RegExp("(" + Object.keys(named).sort((a, b) => b.length - a.length).join("|") + ")", "u");

// Icon draws one symbol by name.
export function Icon({ name, label, class: more }) {
	return html`<svg class=${cx("icon", more)} viewBox="0 0 16 16" role=${label ? "img" : "presentation"} aria-label=${label || undefined}
		aria-hidden=${label ? undefined : "true"} data-icon=${name}>${(shapes[name] || shapes.unknown)()}</svg>`;
}

// drawn puts symbols in the place of the emoji of a text.
export function drawn(text) {
	if (!symbols.test(text)) return text;
	return text.split(symbols).map((part) => {
		const hit = named[part];
		return hit ? html`<${Icon} name=${hit[0]} label=${hit[1]} />` : part;
	});
}

const byStatus = {
	success: "passed", failed: "failed", running: "running", canceling: "running", canceled: "canceled", skipped: "skipped",
	manual: "manual", scheduled: "scheduled",
};

// StatusIcon draws the status of a job or pipeline, in GitLab's words.
export const StatusIcon = ({ status }) => html`<${Icon} name=${byStatus[status] || "pending"} label=${status} />`;

const glyphs = {
	close: "M4 4l8 8M12 4l-8 8", back: "M10 3 5 8l5 5", menu: "M2.5 4.5h11M2.5 8h11M2.5 11.5h11", send: "M2.5 13.5 14 8 2.5 2.5l1.8 5.5zM4.3 8H9",
	sun: "M8 5a3 3 0 1 0 .01 0M8 1.2v1.4M8 13.4v1.4M1.2 8h1.4M13.4 8h1.4M3.2 3.2l1 1M11.8 11.8l1 1M3.2 12.8l1-1M11.8 4.2l1-1",
	moon: "M13.5 9.8A6 6 0 1 1 6.2 2.5 5 5 0 0 0 13.5 9.8z", down: "M8 3v10M3.5 8.5 8 13l4.5-4.5", lock: "M4 7.5h8v6H4zM5.7 7.5V5.3a2.3 2.3 0 0 1 4.6 0v2.2",
	thread: "M2.5 3h11v8H7l-3 2.6V11H2.5z", branch: "M4.5 5.7v4.6M4.5 5.7a1.7 1.7 0 1 0-.01 0M4.5 13.7a1.7 1.7 0 1 0-.01 0M11.5 6.7a1.7 1.7 0 1 0-.01 0M11.5 6.7c0 3-6.5 1.5-7 3.6", check: "M3.5 8.5l3 3 6-7", caret: "M4.5 6.5 8 10l3.5-3.5",
	dots: "M8 3.4v.1M8 8v.1M8 12.5v.1", home: "M2.5 7.5 8 2.8l5.5 4.7v5.7h-4V9.5h-3v3.7h-4z",
	bolt: "M9 1.8 3.5 9H8l-1 5.2L12.5 7H8z", freeze: "M8 1.5v13M2.4 4.7l11.2 6.6M13.6 4.7 2.4 11.3",
};

// Glyph draws a sign of the page itself.
export const Glyph = ({ name }) => html`<svg class="glyph" viewBox="0 0 16 16" aria-hidden="true"><path d=${glyphs[name]} /></svg>`;

// Mark is the sign of Kovra.
export const Mark = () => html`<svg class="mark" viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="8" />
	<path d="M10 7v18M10 17 21 8M13.5 14.5 22 24" /><circle cx="22.5" cy="24" r="3" /></svg>`;
