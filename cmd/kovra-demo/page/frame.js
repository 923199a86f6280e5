// What stands around the messages: the rail on the left, and the strip that says what to try.
import { html, cx } from "./view.js";
import { Avatar } from "./stream.js";
import { Glyph, Mark } from "./icons.js";
import { AppEntry } from "./home.js";

const roles = { alice: "administrator", bob: "member", erin: "member", mallory: "outsider", carol: "of another organisation" };

// Rail lists the channels, and the people whom one can be.
export function Rail({ slack, user, channel, inApp, hasApp, freshApp, people, read, go, become, close, theme, setTheme, real }) {
	return html`<nav class="rail" aria-label="Workspace">
		<header><${Mark} /><b>Kovra demo</b><button type="button" class="plain only-narrow" aria-label="Close" onClick=${close}><${Glyph} name="close" /></button></header>
		<h2>Channels</h2>
		<ul>${slack.channels.filter((c) => !c.direct).map((c) => {
			const fresh = (c.messages.at(-1)?.ts || "0") > (read.get(user + c.id) || "0") && c.id !== channel.id && c.members.includes(user);
			return html`<li key=${c.id}><button type="button" class=${cx("entry", c.id === channel.id && "at", fresh && "fresh")} aria-current=${c.id === channel.id ? "page" : undefined} data-test="channel" data-channel=${c.name} onClick=${() => go(c.id)}>
				<span class="hash">${c.private ? html`<${Glyph} name="lock" />` : "#"}</span>${c.name}${c.ext_shared && html`<small>shared</small>`}${fresh && html`<i class="dot" aria-label="unread"></i>`}</button></li>`;
		})}</ul>
		${hasApp && html`<h2>Apps</h2><ul><li><${AppEntry} at=${inApp} fresh=${freshApp} go=${go} /></li></ul>`}
		<h2>You are</h2>
		<ul>${slack.users.filter((u) => !u.is_bot).map((u) => html`<li key=${u.id}><button type="button" class=${cx("entry person", u.id === user && "at")} aria-pressed=${u.id === user ? "true" : "false"} data-test="person" data-person=${u.name} onClick=${() => become(u.id)}>
			<${Avatar} user=${u} small /><span>${u.name}<small>${roles[u.name]}${people[u.id] && html` · ${people[u.id].role}`}</small></span></button></li>`)}</ul>
		<footer>
			<button type="button" class="entry" data-test="theme" onClick=${() => setTheme(theme === "dark" ? "light" : "dark")}><${Glyph} name=${theme === "dark" ? "sun" : "moon"} /> ${theme === "dark" ? "Light" : "Dark"}</button>
			<p>${real ? "Slack and GitLab are simulated." : "Slack, GitLab and the cluster are simulated."}<br />Kovra between them is real.</p>
		</footer>
	</nav>`;
}

const steps = [
	["thread", "Open the thread"],
	["log", "Open a log"],
	["retry", "Press Retry"],
	["list", "Type /pipeline"],
	["build", "Build an image"],
	["home", "Open Home"],
	["push", "Push a commit"],
	["other", "Come back as Mallory"],
];

// Hints tells what the story does, and afterwards what to try.
export function Hints({ story, ticked, narrow, open, close, go }) {
	if (!open) return null;
	if (!story.over) return story.text ? html`<p class="story" role="status" data-test="story"><i class="live" aria-hidden="true"></i>${story.text}</p>` : null;
	return html`<div class="hints" data-test="hints" role="group" aria-label="What to try">
		<b>Your turn</b>
		<div>${(narrow ? steps.filter(([step]) => !ticked.has(step)) : steps).map(([step, text]) => html`<button type="button" class=${cx("step", ticked.has(step) && "done")} data-test="hint" data-step=${step} onClick=${() => go(step)}>${ticked.has(step) && html`<${Glyph} name="check" />`}${text}</button>`)}</div>
		<button type="button" class="plain" aria-label="Close the hints" onClick=${close}><${Glyph} name="close" /></button>
	</div>`;
}
