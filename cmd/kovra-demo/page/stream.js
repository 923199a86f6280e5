// A list of messages that stays where the reader is: at the bottom it follows, elsewhere it does not move.
import { html, cx, useRef, useLayoutEffect, useState } from "./view.js";
import { Blocks } from "./blocks.js";
import { mrkdwn } from "./mrkdwn.js";
import { timeOf } from "./view.js";
import { Glyph, Mark } from "./icons.js";
import { Menu } from "./select.js";

const near = 48; // pixels from the bottom that still count as the bottom

// Stream keeps the place in a scrolling list. place names what is shown: a new one begins at the bottom,
// and so does it each time that sent changes.
export function Stream({ place, label, children, count, sent, test, panel }) {
	const box = useRef(null);
	const held = useRef({ place: "", bottom: true, count: 0, sent });
	const [below, setBelow] = useState(0);
	useLayoutEffect(() => {
		const el = box.current, was = held.current;
		if (was.place !== place || was.bottom || was.sent !== sent) {
			el.scrollTop = el.scrollHeight;
			held.current = { place, bottom: true, count, sent };
			if (below) setBelow(0);
		} else if (count > was.count) {
			setBelow(count - was.count);
		}
	});
	useLayoutEffect(() => {
		const watch = new ResizeObserver(() => {
			if (held.current.bottom) box.current.scrollTop = box.current.scrollHeight;
		});
		watch.observe(box.current);
		return () => watch.disconnect();
	}, []);
	const onScroll = () => {
		const el = box.current;
		if (!el) return; // the last scroll of a stream that is gone
		const bottom = el.scrollHeight - el.scrollTop - el.clientHeight < near;
		held.current = { ...held.current, bottom, count: bottom ? count : held.current.count };
		if (bottom && below) setBelow(0);
	};
	const jump = () => {
		held.current.bottom = true;
		box.current.scrollTo({ top: box.current.scrollHeight, behavior: "smooth" });
	};
	return html`<div class="stream-frame" id=${panel || undefined} role=${panel ? "tabpanel" : undefined} aria-labelledby=${panel ? "tab-messages" : undefined}>
		<div class="stream" ref=${box} onScroll=${onScroll} role="log" aria-label=${label} aria-live="polite" aria-relevant="additions" tabindex="0" data-test=${test}>
			<div class="grow"></div>${children}</div>
		${below > 0 && html`<button type="button" class="jump" onClick=${jump}><${Glyph} name="down" /> New messages</button>`}
	</div>`;
}

const tones = 6;

// Avatar is the picture of a person, or the sign of the bot.
export function Avatar({ user, small }) {
	if (!user || user.is_bot) return html`<span class=${cx("avatar", small && "tiny")}><${Mark} /></span>`;
	const tone = parseInt(user.id.slice(2, 3), 10) % tones || 0;
	return html`<span class=${cx("avatar", "tone" + tone, small && "tiny")} aria-hidden="true">${user.real_name.split(" ").map((w) => w[0]).join("").slice(0, 2)}</span>`;
}

// Entries of the menu of a message: Slack's own, and the app's shortcut.
const reply = { text: { text: "Reply in thread" } };
const shortcut = { text: { text: "Kovra actions" } };

// Tools are what can be done with a message: they float above it.
function Tools({ message: m, act, onThread }) {
	const answer = () => onThread(m.thread_ts || m.ts, true);
	return html`<div class="tools" role="group" aria-label="Message actions">
		${onThread && html`<button type="button" class="plain" aria-label="Reply in thread" title="Reply in thread" data-test="reply" onClick=${answer}><${Glyph} name="thread" /></button>`}
		<${Menu} look="plain" test="message-menu" label="More actions" options=${onThread ? [reply, shortcut] : [shortcut]}
			onChoose=${(o) => (o === reply ? answer() : act("shortcut", { channel: m.channel, ts: m.ts }))}><${Glyph} name="dots" /><//>
	</div>`;
}

// Message is one message with what belongs to it. It keeps its node when it is edited.
export function Message({ message: m, ctx, follows, inThread, onThread, onDismiss, unread }) {
	const user = ctx.people[m.user];
	const here = { ...ctx, place: { channel: m.channel, ts: m.ts, edits: m.edits || 0 }, names: m.names };
	here.click = (what) => ctx.act("click", { ...here.place, ...what }, m);
	here.choose = (what) => ctx.act("choose", { ...here.place, ...what }, m);
	here.options = (what) => ctx.find({ ...here.place, ...what });
	const kind = m.ephemeral ? "ephemeral" : m.broadcast && !inThread ? "broadcast" : "";
	const replies = m.thread?.length || 0;
	return html`<article class=${cx("message", kind, follows && "follows")} aria-label=${`${user?.name || m.user}, ${timeOf(m.ts)}`} data-test="message" data-ts=${m.ts} data-kind=${kind || undefined} data-from=${user?.name}>
		${m.ephemeral && html`<p class="aside"><${Glyph} name="lock" /> Only visible to you <button type="button" class="link" data-test="dismiss" onClick=${() => onDismiss(m)}>Dismiss</button></p>`}
		${kind === "broadcast" && html`<p class="aside"><${Glyph} name="thread" /> <span>in a thread:</span> <button type="button" class="link" onClick=${() => onThread(m.thread_ts)}>${ctx.titleOf?.(m.thread_ts) || "open it"}</button></p>`}
		${inThread && m.broadcast && html`<p class="aside"><${Glyph} name="thread" /> also sent to the channel</p>`}
		<div class="who">
			${!follows && html`<${Avatar} user=${user} />`}
			${!follows && html`<b>${user?.name || m.user}</b>${user?.is_bot && html`<span class="tag">APP</span>`}${user && ctx.foreign(user) && html`<span class="tag foreign">Acme Corp</span>`}`}
			<time datetime=${new Date(parseFloat(m.ts) * 1000).toISOString()}>${timeOf(m.ts)}</time>
			${follows ? null : m.edits > 0 && !user?.is_bot && html`<span class="quiet">(edited)</span>`}
		</div>
		<div class="content">
			${m.blocks?.length && !m.deleted ? html`<${Blocks} blocks=${m.blocks} ctx=${here} />` : html`<div class="text">${mrkdwn(m.text, here)}</div>`}
			${(m.files || []).map((f) => html`<p class="file">${f.title} <span class="quiet">${f.size} bytes</span></p>`)}
			${m.reactions?.length > 0 && html`<p class="reactions">${m.reactions.map((r) => html`<span>:${r.name}: ${r.users.length}</span>`)}</p>`}
			${replies > 0 && !inThread && html`<button type="button" class=${cx("replies", unread && "new")} data-test="replies" onClick=${() => onThread(m.ts)}>
				<${Avatar} user=${ctx.people[m.thread[replies - 1].user]} small /> <b>${replies} ${replies === 1 ? "reply" : "replies"}</b> <span class="quiet">Last reply ${timeOf(m.thread[replies - 1].ts)}</span></button>`}
		</div>
		${!m.ephemeral && !m.deleted && html`<${Tools} message=${m} act=${ctx.act} onThread=${!inThread && onThread} />`}
	</article>`;
}
