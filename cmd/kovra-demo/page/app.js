// The page: what is shown, who looks, and what happens when something is pressed.
import { html, render, cx, post, useEffect, useMemo, useRef, useState, useMedia, useLayoutEffect } from "./view.js";
import { Stream, Message } from "./stream.js";
import { Composer, wordsOf } from "./composer.js";
import { Modal, Confirm } from "./modal.js";
import { Panel } from "./panel.js";
import { Rail, Hints } from "./frame.js";
import { Home, AppTabs, AppTitle, app, directOf } from "./home.js";
import { Glyph } from "./icons.js";
import { plain } from "./mrkdwn.js";

const team = "T0SIM";
const bot = "U0BOT";

const kept = (key, value) => {
	try {
		if (value === undefined) return localStorage.getItem("kovra-demo-" + key);
		localStorage.setItem("kovra-demo-" + key, value);
	} catch { /* nothing is kept in a private window */ }
	return value;
};

// loader fetches one address, one at a time: what comes meanwhile asks once more.
function loader(address, take) {
	let busy = false, again = false;
	const load = async () => {
		if (busy) {
			again = true;
			return;
		}
		busy = true;
		try {
			const asked = address();
			const res = await fetch(asked);
			if (res.ok && asked === address()) take(await res.json());
		} catch { /* the stream of events says that the demo is gone */ }
		busy = false;
		if (again) {
			again = false;
			load();
		}
	};
	return load;
}

// useWorld keeps the two pictures up to date: Slack as one person sees it, and GitLab.
function useWorld(user, frozen) {
	const [slack, setSlack] = useState(null);
	const [lab, setLab] = useState(null);
	const [gone, setGone] = useState(false);
	const now = useRef({ user, frozen });
	now.current = { user, frozen };
	const loaders = useMemo(() => ({
		slack: loader(() => "api/slack?user=" + now.current.user, (next) => setSlack((old) => (now.current.frozen && old?.me.id === next.me.id ? { ...next, channels: old.channels } : next))),
		gitlab: loader(() => "api/gitlab", setLab),
	}), []);
	useEffect(() => {
		const source = new EventSource("events");
		source.addEventListener("slack", loaders.slack);
		source.addEventListener("gitlab", loaders.gitlab);
		source.addEventListener("open", () => setGone(false));
		source.addEventListener("error", () => setGone(true));
		return () => source.close();
	}, []);
	useEffect(() => { loaders.slack(); }, [user, frozen]);
	return { slack, lab, gone, reload: loaders.slack };
}

const says = {
	unknown_command: (line) => `${line.split(" ")[0]} is not a valid command. Type / to see those that are.`,
	slash_command_in_thread: (line) => `${line.split(" ")[0]} is not supported in threads. Type it in the channel.`,
	operation_timeout: (line) => `${line.split(" ")[0]} failed with the error “operation_timeout”: the app did not answer within 3 seconds.`,
	dispatch_failed: (line) => `${line.split(" ")[0]} failed with the error “dispatch_failed”.`,
	not_in_channel: () => "You are not in this channel.",
	user_not_found: () => "There is nobody of that name.",
	bot_not_in_channel: () => "@kovra is not in this channel, and did not read that. Type /invite @kovra first.",
};

function App() {
	const [user, setUser] = useState(kept("user") || "U01ALICE");
	const [chosen, setChosen] = useState("C01DEPLOYS");
	const [tab, setTab] = useState("home"); // of the app
	const [thread, setThread] = useState(null);
	const wide = useMedia("(min-width: 1720px)"), narrow = useMedia("(max-width: 899px)");
	const [side, setSide] = useState(narrow ? "" : "gitlab"); // what the right column shows
	const [rail, setRail] = useState(false);
	const [frozen, setFrozen] = useState(false);
	const [theme, setTheme] = useState(kept("theme") || "");
	const [notices, setNotices] = useState([]);
	const [dismissed, setDismissed] = useState(() => new Set());
	const [toast, setToast] = useState("");
	const [question, setQuestion] = useState(null);
	const [ticked, setTicked] = useState(() => new Set());
	const [hints, setHints] = useState(true);
	const [focus, setFocus] = useState({});
	const [sent, setSent] = useState(0);
	const [read, setRead] = useState(() => new Map());
	const touched = useRef(false);
	const { slack, lab, gone, reload } = useWorld(user, frozen);
	const done = (step) => setTicked((old) => (old.has(step) ? old : new Set(old).add(step)));

	useLayoutEffect(() => { document.documentElement.dataset.theme = theme; kept("theme", theme); }, [theme]);
	useEffect(() => { if (narrow) setSide(""); }, [narrow]);
	useEffect(() => {
		const touch = () => { touched.current = true; };
		addEventListener("pointerdown", touch);
		addEventListener("keydown", touch);
		return () => { removeEventListener("pointerdown", touch); removeEventListener("keydown", touch); };
	}, []);
	useEffect(() => {
		if (!toast) return undefined;
		const timer = setTimeout(() => setToast(""), 6000);
		return () => clearTimeout(timer);
	}, [toast]);

	const direct = slack && directOf(slack, user);
	const inApp = Boolean(direct) && chosen === app;
	const channel = inApp ? direct : slack && (slack.channels.find((c) => c.id === chosen) || slack.channels[0]);
	const last = newestIn(channel);
	const looks = channel && !(inApp && tab === "home");
	useEffect(() => {
		if (looks) setRead((old) => (old.get(user + channel.id) === last ? old : new Map(old).set(user + channel.id, last)));
	}, [user, channel?.id, last, looks]);
	const lastReply = channel?.messages.find((m) => m.ts === thread)?.thread.at(-1)?.ts;
	useEffect(() => {
		if (lastReply) setRead((old) => (old.get(user + thread) === lastReply ? old : new Map(old).set(user + thread, lastReply)));
	}, [user, thread, lastReply]);

	const openThread = (ts, toWrite) => {
		setThread(ts);
		setSide("thread");
		setFocus(toWrite ? { thread: {} } : {});
		if (!toWrite) done("thread");
	};
	// The story ends with a look at the failure, unless the visitor is busy already.
	const ended = lab?.has_story && lab.story.over && newest(channel, (m) => m.text.startsWith("❌"))?.ts;
	const looked = useRef(false);
	useEffect(() => {
		if (!ended || looked.current) return;
		looked.current = true;
		if (!touched.current && !narrow && !thread) openThread(ended);
	}, [ended]);

	if (!slack?.channels || !lab || !channel) {
		return html`<p class="loading" role="status">${gone ? "The demo has ended. Start it again: go run ./cmd/kovra-demo" : "Starting …"}</p>`;
	}

	const people = Object.fromEntries(slack.users.map((u) => [u.id, u]));
	const act = async (what, body, message) => {
		const answer = await post("api/" + what, { user, ...body });
		const action = (body.action || "").split(":")[0];
		if (action === "retry" || action === "retry_job") done("retry");
		if (body.action?.startsWith("open:log")) done("log");
		if (action === "trigger" || action === "rebuild") done("build");
		if (people[user]?.name === "mallory" && what === "click") done("other");
		if (answer.error) {
			setToast(answer.error === "operation_timeout" ? "The app did not answer within 3 seconds (operation_timeout)." : answer.status === 409 ? "That is not there any more." : answer.error);
		}
		reload();
		return answer;
	};
	const ctx = {
		me: user, people, users: slack.users, channels: slack.channels.filter((c) => !c.direct), act, open: (id) => go(id),
		find: (body) => post("api/options", { user, ...body }), confirm: (q, yes) => setQuestion({ ...q, yes }),
		foreign: (u) => u.team_id !== team, titleOf: (ts) => titleOf(channel, ts),
	};
	const leave = () => {
		setThread(null);
		setRail(false);
		if (side === "thread") setSide(narrow ? "" : "gitlab");
	};
	const go = (id) => {
		setChosen(id);
		leave();
	};
	const become = (id) => {
		setUser(id);
		kept("user", id);
		leave();
	};
	const send = (threadTS) => async (line) => {
		setSent((n) => n + 1);
		const answer = await post("api/say", { user, channel: channel.id, thread: threadTS || "", text: line });
		if (line.startsWith("/pipeline")) done("list");
		if (line.startsWith("/build")) done("build");
		if (people[user]?.name === "mallory" && line.startsWith("/")) done("other");
		const problem = answer.error || answer.notice;
		if (problem) {
			const text = says[problem]?.(line) || problem;
			setNotices((old) => [...old, { channel: channel.id, thread_ts: threadTS || undefined, user: bot, ephemeral: true, notice: true, text, to: user, ts: (Date.now() / 1000).toFixed(6), key: "n" + old.length }]);
		}
		reload();
		return !answer.error;
	};
	const dismiss = (m) => setDismissed((old) => new Set(old).add(m.ts));
	const known = wordsOf(slack.channels, channel);
	const privately = [...slack.ephemerals, ...notices.filter((n) => n.to === user)].filter((m) => m.channel === channel.id && !dismissed.has(m.ts));
	const parent = thread && channel.messages.find((m) => m.ts === thread && !m.thread_ts);
	const shown = bySecond([...channel.messages, ...privately.filter((m) => !m.thread_ts)]);
	const member = channel.members.includes(user);
	const unread = (m) => inApp && m.thread?.some((r) => r.ts > (read.get(user + m.ts) || "0"));
	const freshApp = direct && !(inApp && tab === "messages") && newestIn(direct) > (read.get(user + direct.id) || "0");
	const showThread = parent && (wide || side === "thread");
	const showPanel = wide ? side !== "" : side === "gitlab";
	const view = slack.views.at(-1);
	const nextStep = (step) => {
		if (step === "thread") {
			const failed = newest(channel, (m) => m.text.startsWith("❌")) || newest(channel, () => true);
			if (failed) openThread(failed.ts);
		} else if (step === "retry" || step === "log") {
			const which = step === "log" ? "[data-action='log'], [data-action^='log:']" : "[data-action='retry'], [data-action^='retry_job']";
			const button = [...document.querySelectorAll(which)].at(-1);
			button?.scrollIntoView({ block: "nearest" });
			button?.focus();
		} else if (step === "list") {
			setFocus({ box: { text: "/pipeline" } });
		} else if (step === "build") {
			setFocus({ box: { text: "/build trigger" } });
		} else if (step === "push") {
			setSide("gitlab");
			setFocus({ push: {} });
		} else if (step === "home") {
			setTab("home");
			go(app);
		} else if (step === "other") {
			become("U03MALLORY");
		}
	};

	const keys = (e) => {
		if (e.key !== "Escape" || e.defaultPrevented || view || question) return;
		if (rail) setRail(false);
		else if (showThread || (narrow && side)) {
			if (side === "thread") setThread(null);
			setSide(narrow ? "" : "gitlab");
		}
	};
	return html`<div onKeyDown=${keys} class=${cx("app", showThread && "with-thread", showPanel && "with-panel", rail && "with-rail")}>
		<${Rail} slack=${slack} user=${user} channel=${channel} inApp=${inApp} hasApp=${Boolean(direct)} freshApp=${freshApp} people=${lab.people} read=${read} go=${go} become=${become} close=${() => setRail(false)}
			theme=${dark(theme) ? "dark" : "light"} setTheme=${setTheme} real=${!lab.cluster} />

		${rail && html`<div class="veil" onClick=${() => setRail(false)}></div>`}

		<main class="pane">
			<header class="bar">
				<button type="button" class="plain only-narrow" aria-label="Channels and people" data-test="rail-open" onClick=${() => setRail(true)}><${Glyph} name="menu" /></button>
				${inApp ? html`<${AppTitle} />` : html`<h1><span class="hash">${channel.private ? html`<${Glyph} name="lock" />` : "#"}</span>${channel.name}</h1>
				<span class="quiet members">${channel.members.length} members${channel.ext_shared ? " · shared with Acme Corp" : ""}</span>`}
				<span class="grow"></span>
				${frozen && html`<button type="button" class="pill" onClick=${() => setFrozen(false)}><${Glyph} name="freeze" /> frozen</button>`}
				<button type="button" class=${cx("pill lab", showPanel && "on")} aria-expanded=${showPanel ? "true" : "false"} data-test="panel-toggle" onClick=${() => setSide(side === "gitlab" || (wide && side) ? "" : "gitlab")}><${Glyph} name="branch" /> GitLab</button>
			</header>
			${gone && html`<p class="gone" role="alert">The demo does not answer. It goes on as soon as it does.</p>`}
			${inApp && html`<${AppTabs} tab=${tab} choose=${(id) => { setTab(id); leave(); }} fresh=${freshApp} />`}
			${inApp && tab === "home" ? html`<${Home} key=${user} user=${user} view=${slack.home} ctx=${slack.home && viewCtx(ctx, slack.home)} opened=${() => { act("home", {}); done("home"); }} />` : html`
			<${Stream} place=${user + channel.id} label=${"Messages " + (inApp ? "with Kovra" : "in " + channel.name)} count=${shown.length} sent=${sent} test="messages" panel=${inApp && "app-page"}>
				<p class="beginning">${inApp ? "This is between you and Kovra. What you watch, and what you asked to hear of, comes here."
		: channel.private ? "This channel is private." : `This is the beginning of #${channel.name}.`}</p>
				${shown.map((m, i) => html`<${Message} key=${m.key || m.ts} message=${m} ctx=${ctx} unread=${unread(m)} onThread=${openThread} onDismiss=${dismiss} follows=${follows(shown[i - 1], m)} />`)}
			<//>
			${lab.has_story && !inApp && html`<${Hints} story=${lab.story} ticked=${ticked} narrow=${narrow} open=${hints} close=${() => setHints(false)} go=${nextStep} />`}
			${member ? html`<${Composer} key=${user + channel.id} id=${user + channel.id} label=${`Message ${inApp ? "Kovra" : "#" + channel.name}, or / for commands`} known=${known} people=${inApp ? [] : slack.users} onSend=${send("")} focusKey=${focus.box} />`
		: html`<div class="join"><span>You look at <b>#${channel.name}</b> without being in it.</span>
			<button type="button" class="button primary" data-test="join" onClick=${() => act("join", { channel: channel.id })}>Join</button></div>`}`}
		</main>

		${parent && html`<aside class=${cx("side thread-side", !showThread && "away")} aria-label="Thread" data-test="thread">
			<header class="bar"><h2>Thread</h2><span class="quiet">${inApp ? "Kovra" : "#" + channel.name}</span><span class="grow"></span>
				<button type="button" class="plain" aria-label="Close thread" data-test="thread-close" onClick=${() => { setThread(null); setSide(narrow ? "" : "gitlab"); }}><${Glyph} name="close" /></button></header>
			<${Stream} place=${user + thread} label="Thread" count=${parent.thread.length} sent=${sent} test="thread-messages">
				<${Message} message=${parent} ctx=${ctx} inThread onDismiss=${dismiss} />
				<p class="rule"><span>${parent.thread.length} ${parent.thread.length === 1 ? "reply" : "replies"}</span></p>
				${bySecond([...parent.thread, ...privately.filter((m) => m.thread_ts === thread)]).map((m, i, all) => html`<${Message} key=${m.key || m.ts} message=${m} ctx=${ctx} inThread onDismiss=${dismiss} follows=${follows(all[i - 1], m, true)} />`)}
			<//>
			${member && html`<${Composer} key=${user + thread} id=${user + thread} label="Reply …" known=${known} people=${inApp ? [] : slack.users} inThread focusKey=${focus.thread} onSend=${send(thread)} />`}
		</aside>`}

		<aside class=${cx("side panel-side", !showPanel && "away")} aria-label="GitLab">
			<header class="bar"><h2><${Glyph} name="branch" /> GitLab${lab.cluster ? " and cluster" : ""}${(!parent || wide) && html` <span class="quiet">played by you</span>`}</h2><span class="grow"></span>
				${parent && !wide && html`<button type="button" class="pill" onClick=${() => setSide("thread")}><${Glyph} name="thread" /> Thread</button>`}
				<button type="button" class="plain" aria-label="Close GitLab" onClick=${() => setSide("")}><${Glyph} name="close" /></button></header>
			<${Panel} lab=${lab} focusKey=${focus.push} done=${done} frozen=${frozen} setFrozen=${setFrozen} />
		</aside>

		${view && html`<${Modal} key=${view.id} view=${view} depth=${slack.views.length} ctx=${viewCtx(ctx, view)} submit=${(values) => act("submit", { view: view.id, values })}
			close=${() => act("close", { view: view.id })} closeAll=${() => act("close", { view: view.id, all: true })} />`}
		${question && html`<${Confirm} question=${question} onNo=${() => setQuestion(null)} onYes=${() => { setQuestion(null); question.yes(); }} />`}
		<div class="toasts" role="status" data-test="toast">${toast && html`<p>${toast} <button type="button" class="link" onClick=${() => setToast("")}>Dismiss</button></p>`}</div>
	</div>`;
}

const viewCtx = (ctx, view) => ({
	...ctx,
	click: (what) => ctx.act("click", { view: view.id, ...what }),
	choose: (what) => ctx.act("choose", { view: view.id, ...what }),
	options: (what) => ctx.find({ view: view.id, ...what }),
});

// newest finds the last thread of a channel that is as asked for.
const newest = (channel, fits) => channel && [...channel.messages].reverse().find((m) => !m.thread_ts && m.thread.length > 0 && fits(m));

// newestIn is when something was last said in a channel. In a conversation with the app the threads count as well.
const newestIn = (channel) => (channel?.messages || []).reduce((last, m) => {
	const ts = (channel.direct && m.thread.at(-1)?.ts) || m.ts;
	return ts > last ? ts : last;
}, "0");

const bySecond = (list) => list.sort((a, b) => parseFloat(a.ts) - parseFloat(b.ts));

// follows says that a message needs no name: the one before it is by the same, shortly before.
function follows(before, m, inThread) {
	return Boolean(before) && before.user === m.user && !m.ephemeral && !before.ephemeral && !m.broadcast && !before.broadcast
		&& (inThread || !m.bot_id) && parseFloat(m.ts) - parseFloat(before.ts) < 300;
}

function titleOf(channel, ts) {
	const parent = channel.messages.find((m) => m.ts === ts);
	return parent ? plain(parent.text).replace(/^\P{L}+/u, "").slice(0, 60) : "";
}

const dark = (theme) => theme === "dark" || (!theme && matchMedia("(prefers-color-scheme: dark)").matches);

render(html`<${App} />`, document.getElementById("app").parentNode.appendChild(Object.assign(document.createElement("div"), { id: "root" })));
document.getElementById("app").remove();
