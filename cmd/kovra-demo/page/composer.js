// The message box, the list of commands that opens when a line begins with a slash, and that of people after an @.
import { html, cx, useState, useRef, useEffect, useLayoutEffect, useMemo } from "./view.js";
import { Glyph } from "./icons.js";
import { plain } from "./mrkdwn.js";

const command = (line, args, help) => ({ line, args, help });

// commands are those that Slack shows for the app, and one of its own.
const commands = [
	command("/pipeline", "[app] [ref]", "the newest pipelines"),
	command("/pipeline run", "[app] [ref] [KEY=VALUE …]", "start a pipeline"),
	command("/pipeline jobs", "[app] <pipeline>", "the jobs of a pipeline"),
	command("/pipeline cancel", "[app] <pipeline>", "cancel a pipeline"),
	command("/pipeline retry", "[app] <pipeline>", "run the failed and canceled jobs again"),
	command("/pipeline retry-job", "[app] <job>", "run one failed job again"),
	command("/pipeline play", "[app] <job>", "start a manual job"),
	command("/pipeline log", "[app] <job>", "the log of a job"),
	command("/pipeline help", "", "all that it understands"),
	command("/build", "[app]", "the newest builds"),
	command("/build trigger", "[app] [branch]", "build an image"),
	command("/build cancel", "[app] <build>", "cancel a build"),
	command("/build rebuild", "[app] <build>", "build the same commit again"),
	command("/build log", "[app] <build>", "the log of a build"),
	command("/build deploy", "[app] <build>", "roll its image out"),
	command("/build rollback", "[app]", "roll back to the image before"),
	command("/build resume", "[app]", "let auto-deploy go on after a roll back"),
	command("/build settings", "[app]", "what is built, when, and where it goes"),
	command("/build help", "", "all that it understands"),
	command("/kovra", "", "help"),
	command("/kovra link", "<app> <group/project>", "link an app to a GitLab project, here"),
	command("/kovra unlink", "[app]", "take the project away; the app stays"),
	command("/kovra apps", "", "all apps"),
	command("/kovra app", "<app>", "one app in detail"),
	command("/kovra app create", "<app>", "an app without a project"),
	command("/kovra app delete", "<app>", "delete an app"),
	command("/kovra subscribe", "[app] [what] [which]", "choose what this channel hears"),
	command("/kovra unsubscribe", "[app]", "stop that"),
	command("/kovra subscriptions", "[app]", "which channel hears of what"),
	command("/kovra connect", "", "act with your GitLab account"),
	command("/kovra disconnect", "", "take that back"),
	command("/kovra notify me", "failures|all|off", "direct messages about your work"),
	command("/kovra why", "<action> [app]", "who may do that, and why"),
	command("/kovra audit", "[app]", "who did what"),
	command("/invite", "@kovra", "let the bot into a private channel"),
];

const filters = [
	["pipelines", ""], ["builds", ""], ["merge_requests", ""], ["tags", ""], ["deployments", ""], ["releases", ""], ["pushes", ""],
	["ref:main", "of this branch only"], ["only:failures", "what breaks"], ["by:!bots", "of people only"], ["quiet", "without news in the channel"],
];

const buildCard = /build #(\d+)/;
const card = /\*([a-z0-9-]+)\* · `([^`]+)`(?:.*?#(\d+)>)?(?: · (.*))?/;

// wordsOf gathers the apps, refs, pipelines and builds that the channels have told of: those of this channel first, the newest first.
export function wordsOf(channels, here) {
	const apps = new Set(), refs = new Set(), pipelines = new Map(), builds = new Map();
	for (const c of [here, ...channels.filter((one) => one !== here)]) {
		for (const m of [...c.messages].reverse()) {
			const hit = m.bot_id && !m.thread_ts && m.text.match(card);
			if (!hit) continue;
			apps.add(hit[1]);
			refs.add(hit[2]);
			const build = m.text.match(buildCard);
			if (build) builds.set(build[1], plain(m.text).replace(/^\P{L}+/u, ""));
			if (hit[3]) pipelines.set(hit[3], `${hit[1]} ${hit[2]} · ${hit[4] || ""}`);
		}
	}
	return { apps: [...apps], refs: [...refs], pipelines, builds };
}

// suggest lists how a line may go on. The lines that it gives are whole.
export function suggest(text, known) {
	if (!text.startsWith("/") || text.includes("\n")) return [];
	const low = text.toLowerCase();
	const verbs = commands.filter((c) => c.line.startsWith(low)
		|| (low.length > 2 && !low.includes(" ") && c.line.split(" ").slice(1).join(" ").startsWith(low.slice(1))));
	const exact = [...commands].reverse().find((c) => low.startsWith(c.line + " "));
	return [...verbs, ...(exact ? argumentsOf(exact, text, known) : [])];
}

function argumentsOf(c, text, known) {
	const head = text.slice(0, text.lastIndexOf(" ") + 1);
	const last = text.slice(head.length);
	const before = text.slice(c.line.length).trim().split(/\s+/).filter(Boolean).slice(0, last ? -1 : undefined);
	const options = [];
	const add = (word, help) => word.startsWith(last) && options.push(command(head + word, "", help));
	const hasApp = known.apps.includes(before[0]);
	if (/<pipeline>/.test(c.args) && (before.length === 0 || (hasApp && before.length === 1))) known.pipelines.forEach((help, id) => add(id, help));
	if (/<build>/.test(c.args) && (before.length === 0 || (hasApp && before.length === 1))) known.builds.forEach((help, id) => add(id, help));
	if (before.length === 0 && /\[app\]|<app>/.test(c.args)) known.apps.forEach((a) => add(a, "app"));
	if (/\[(ref|branch)\]/.test(c.args) && (before.length === 0 || (hasApp && before.length === 1))) known.refs.forEach((r) => add(r, "branch or tag"));
	if (c.line === "/kovra subscribe" && before.length > 0) filters.filter(([word]) => !before.includes(word)).forEach(([word, help]) => add(word, help));
	if (c.line === "/kovra notify me" && before.length === 0) ["failures", "all", "off"].forEach((word) => add(word, ""));
	if (c.line === "/invite") add("@kovra", "the bot");
	return options.slice(0, 12);
}

const mention = /(?:^|\s)@([a-z0-9-]*)$/i;

// naming lists whom the name that is being typed may mean: the app first, then the people.
export function naming(text, people) {
	const hit = text.match(mention);
	if (!hit) return [];
	const head = text.slice(0, text.length - hit[1].length), low = hit[1].toLowerCase();
	const fits = (u) => u.name.startsWith(low) || u.real_name.toLowerCase().split(" ").some((w) => w.startsWith(low));
	return people.filter(fits).sort((a, b) => Boolean(b.is_bot) - Boolean(a.is_bot))
		.map((u) => ({ line: head + u.name, name: "@" + u.name, args: "", help: u.is_bot ? "the app" : u.real_name }));
}

const drafts = new Map();

// Composer is the box for one channel or thread. onSend gives back whether the line was taken.
export function Composer({ id, label, known, onSend, people, inThread, focusKey }) {
	const [text, setText] = useState(drafts.get(id) || "");
	const [at, setAt] = useState(-1);
	const [shut, setShut] = useState(false);
	const [active, setActive] = useState(false);
	const area = useRef(null);
	const menu = useRef(null);
	const list = useMemo(() => {
		const commands = inThread ? [] : suggest(text, known);
		return commands.length ? commands : naming(text, people);
	}, [text, known, people, inThread]);
	const open = active && !shut && list.length > 0 && !(list.length === 1 && list[0].line === text);
	const write = (value) => {
		drafts.set(id, value);
		setText(value);
		setAt(-1);
		setShut(false);
	};
	useEffect(() => setText(drafts.get(id) || ""), [id]);
	useEffect(() => {
		if (!focusKey) return;
		if (focusKey.text !== undefined) write(focusKey.text);
		setActive(true);
		area.current.focus();
	}, [focusKey]);
	useLayoutEffect(() => {
		area.current.style.height = "auto";
		area.current.style.height = Math.min(area.current.scrollHeight, 180) + "px";
	}, [text]);
	useLayoutEffect(() => {
		menu.current?.children[Math.max(at, 0)]?.scrollIntoView({ block: "nearest" });
	}, [at, open]);

	const complete = (one) => {
		write(one.line + (one.name || one.args || commands.some((c) => c.line.startsWith(one.line + " ")) ? " " : ""));
		area.current.focus();
	};
	const send = async () => {
		const line = text.trim();
		if (!line) return;
		write("");
		if (!(await onSend(line)) && !drafts.get(id)) write(line);
	};
	const keys = (e) => {
		if (e.isComposing) return;
		const move = { ArrowDown: 1, ArrowUp: -1 }[e.key];
		if (open && move) {
			e.preventDefault();
			setAt(at < 0 && move < 0 ? list.length - 1 : (at + move + list.length) % list.length);
		} else if (open && e.key === "Tab" && !e.shiftKey) {
			e.preventDefault();
			complete(list[Math.max(at, 0)]);
		} else if (e.key === "Enter" && !e.shiftKey) {
			e.preventDefault();
			const meant = open && (at >= 0 ? list[at] : !text.endsWith(" ") && !list.some((o) => o.line === text) && list[0]);
			if (meant && meant.line !== text.trim()) complete(meant);
			else send();
		} else if (open && e.key === "Escape") {
			e.preventDefault();
			e.stopPropagation();
			setShut(true);
		}
	};
	return html`<form class="composer" data-test="composer" onSubmit=${(e) => { e.preventDefault(); send(); }}
		onFocusIn=${() => setActive(true)} onFocusOut=${(e) => !e.currentTarget.contains(e.relatedTarget) && setActive(false)}>
		${open && html`<ul class="commands" role="listbox" id=${id + "-commands"} aria-label=${list[0].name ? "People" : "Commands"} data-test="commands" ref=${menu}>
			${list.map((o, i) => html`<li key=${o.line} id=${`${id}-command-${i}`} role="option" data-test="command" aria-selected=${i === Math.max(at, 0) ? "true" : "false"} class=${cx(i === Math.max(at, 0) && "at")}
				onPointerDown=${(e) => { e.preventDefault(); complete(o); }}><b>${o.name || o.line}</b> <span class="args">${o.args}</span><span class="help">${o.help}</span></li>`)}
		</ul>`}
		<textarea ref=${area} rows="1" aria-label=${label} placeholder=${label} data-test=${inThread ? "thread-text" : "composer-text"} value=${text} spellcheck="false" enterkeyhint="send"
			role="combobox" aria-expanded=${open ? "true" : "false"} aria-controls=${id + "-commands"} aria-activedescendant=${open ? `${id}-command-${Math.max(at, 0)}` : undefined}
			onInput=${(e) => write(e.currentTarget.value)} onKeyDown=${keys} onKeyPress=${(e) => e.key === "Enter" && !e.shiftKey && e.preventDefault()} />
		<button type="submit" class="plain send" aria-label="Send" data-test="send" disabled=${!text.trim()}><${Glyph} name="send" /></button>
	</form>`;
}
