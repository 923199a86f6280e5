// The app's own place in Slack: its Home tab, and the messages between it and one person.
import { html, cx, useEffect, useRef } from "./view.js";
import { Blocks } from "./blocks.js";
import { Mark } from "./icons.js";

// app names the place of the app among the channels.
export const app = "app";

// directOf is the conversation of the app with the person alone.
export const directOf = (slack, user) => slack.channels.find((c) => c.direct && c.members.length === 2 && c.members.includes(user));

const tabs = [["home", "Home"], ["messages", "Messages"]];

// AppTabs switches between the two. The arrow keys do so as well.
export function AppTabs({ tab, choose, fresh }) {
	const list = useRef(null);
	const keys = (e) => {
		const move = { ArrowRight: 1, ArrowLeft: -1 }[e.key];
		if (!move) return;
		e.preventDefault();
		const next = (tabs.findIndex(([id]) => id === tab) + move + tabs.length) % tabs.length;
		choose(tabs[next][0]);
		list.current.children[next].focus();
	};
	return html`<div class="tabs app-tabs" role="tablist" aria-label="Kovra" ref=${list} onKeyDown=${keys}>
		${tabs.map(([id, name]) => html`<button type="button" key=${id} role="tab" id=${"tab-" + id} aria-controls="app-page" data-test=${"tab-" + id} aria-selected=${tab === id ? "true" : "false"}
			tabindex=${tab === id ? 0 : -1} onClick=${() => choose(id)}>${name}${id === "messages" && fresh && html` <i class="dot" role="img" aria-label="unread"></i>`}</button>`)}
	</div>`;
}

// Home shows what the app has published for the person, and tells the app that it is looked at.
export function Home({ user, view, ctx, opened }) {
	useEffect(() => { opened(); }, [user]);
	const here = view && { ...ctx, place: { view: view.id }, state: view.state, errors: view.errors, names: view.names };
	return html`<div class="home" id="app-page" role="tabpanel" aria-labelledby="tab-home" tabindex="0" data-test="home" key=${user}>
		${view ? html`<div class="home-view" data-test="home-view"><${Blocks} blocks=${view.blocks} ctx=${here} /></div>`
		: html`<div class="nothing" data-test="home-empty"><${Mark} /><h2>Nothing here yet</h2>
			<p class="quiet">Kovra draws this page for you. It appears by itself as soon as there is something to show.</p></div>`}
	</div>`;
}

// AppTitle is the name in the bar.
export const AppTitle = () => html`<h1 class="app-title"><${Mark} />Kovra <span class="tag">APP</span></h1>`;

// AppEntry is the app in the rail.
export const AppEntry = ({ at, fresh, go }) => html`<button type="button" class=${cx("entry", at && "at", fresh && "fresh")} aria-current=${at ? "page" : undefined} data-test="app-entry" onClick=${() => go(app)}>
	<span class="hash"><${Mark} /></span>Kovra${fresh && html`<i class="dot" role="img" aria-label="unread"></i>`}</button>`;
