// The page of one log. Here its parts are put together.
import * as address from "./address.js";
import { Api } from "./api.js";
import { copyNow, copyText, lineCount, mostBytes } from "./copy.js";
import { Finder } from "./finder.js";
import { Head } from "./head.js";
import { keep, kept } from "./kept.js";
import { listen } from "./keys.js";
import { Live } from "./live.js";
import { Log } from "./log.js";
import { number, plural } from "./text.js";

const $ = (id) => document.getElementById(id);
const all = (...ids) => Object.fromEntries(ids.map((id) => [id, $(id)]));

const api = new Api(location.pathname);
const head = new Head(all("name", "status", "word", "meta", "time", "lines", "gitlab", "notices", "legend", "place"));
const log = new Log(api, { scroller: $("log"), rows: $("rows"), rail: $("rail") }, { onMove: moved, onPick: picked, onTrouble: trouble, onFold: folded, onCopyAll: copyAll });
const finder = new Finder(api, log, all("box", "field", "regex", "case", "only", "count", "error", "prev", "next", "clear", "bar", "say"));
const live = new Live((params) => api.address("stream", params), { onLines: came, onInfo: learnt, onEnd: ended, onLost: lost, onClosed: closed });

let info = {};
let awaited = null; // the range that the address names, until its lines have come
let leftAt = 0; // lines there were when the reader went away from the end
let sayTimer = 0;
let sectionsTimer = 0;

// ---- the log as it comes

async function open() {
	try {
		info = await api.info();
	} catch (error) {
		failed(error);
		return;
	}
	const range = address.parse(location.hash);
	log.suspects = !info.streams;
	log.window.sticky = !info.done;
	log.setSections(info.sections || []);
	showInfo();
	log.selected = range;
	log.setTotal(info.lines);
	leftAt = info.lines;
	if (range) goTo(range);
	else if (["running", "canceling", "failed"].includes(info.status)) log.goEnd();
	showState();
	folded();
	if (!info.done) live.open(info.lines);
}

// goTo shows the range, as soon as there is such a line.
function goTo(range) {
	awaited = !info.done && range.from > log.total ? range : null;
	if (!awaited) log.go(range.from);
}

function failed(error) {
	$("state").hidden = false;
	$("state").textContent = error.shut ? error.message : error.gone ? "This log is not here. It may be older than logs are kept." : "The log could not be fetched. Trying again…";
	if (!error.gone) setTimeout(open, 3000);
}

function showInfo() {
	head.show(info);
	head.legend(info.streams);
}

function came(lines, skippedTo) {
	for (const line of lines) info.bytes = (info.bytes || 0) + line.text.length + 1;
	const following = log.window.following;
	log.take(lines, skippedTo);
	if (awaited && awaited.from <= log.total) goTo(awaited);
	if (skippedTo) refreshSections();
	else if (lines.some((line) => line.header)) folded();
	if (lines.some((line) => line.depth)) log.dress();
	info.lines = log.total;
	showState();
	finder.grow(log.total);
	if (!following) sayLater(plural(log.total - leftAt, "new line"));
}

// refreshSections asks for the sections again, soon, after lines went by unseen.
function refreshSections() {
	sectionsTimer ||= setTimeout(async () => {
		sectionsTimer = 0;
		try {
			log.setSections((await api.info()).sections || []);
			folded();
		} catch { /* the sections stay as they were; the next skip or the end asks again */ }
	}, 500);
}

function learnt(next) {
	const { sections, lines } = info;
	info = { sections, ...next, lines: Math.max(lines, log.total), bytes: Math.max(info.bytes || 0, next.bytes || 0) };
	log.suspects = !info.streams;
	showInfo();
	showState();
}

async function ended(lines) {
	log.setTotal(Math.max(lines || 0, log.total));
	log.window.sticky = false;
	info.done = true;
	try {
		info = await api.info();
		if (info.lines < log.total) location.reload(); // it was lost and fetched anew, and there is less of it by now
		log.setSections(info.sections || []);
	} catch { /* what the stream told last stays */ }
	showInfo();
	showState();
	folded();
	finder.grow(log.total);
	moved();
	say("The log is complete: " + plural(log.total, "line"));
}

function lost(yes) {
	head.notice("lost", yes ? "Connection lost, reconnecting…" : "", "bad");
}

// closed is asked when the stream was refused: is there still something to connect to?
async function closed() {
	try {
		const now = await api.info();
		learnt(now);
		log.setTotal(Math.max(now.lines, log.total));
		if (!now.done) return true;
		lost(false);
		ended(now.lines);
		return false;
	} catch (error) {
		if (error.gone) lost(false);
		if (error.gone) head.notice("gone", notKept(error), "bad");
		return !error.gone;
	}
}

const notKept = (error) => error.shut ? error.message : "This log is not kept any more.";

function trouble(error) {
	const text = error?.gone ? notKept(error) : "Some lines could not be fetched, trying again…";
	head.notice("lines", error ? text : "", "bad");
}

// showState says why there are no lines, where there are none.
function showState() {
	head.lines(log.total);
	// What steps write is followed, not fetched.
	const waiting = info.status === "running" || info.kind !== "job" ? "Waiting for the first lines…" : "Fetching the log…";
	const empty = log.total === 0;
	$("state").hidden = !empty;
	$("state").textContent = empty ? (info.note || (info.done ? "This log is empty." : waiting)) : "";
	$("state").classList.toggle("waiting", empty && !info.done && !info.note);
	head.notice("note", empty ? "" : info.note);
}

// ---- where one is

function moved() {
	const { view, window } = log;
	const { top, bottom } = window.seen();
	if (view.count > 0) head.place(view.line(top), view.line(Math.min(bottom, view.count) - 1), log.total, log.filtered);
	else head.place(0, 0, 0);
	const away = log.window.sticky && !window.following && !log.filtered;
	if (!away) leftAt = log.total;
	const fresh = log.total - leftAt;
	$("follow").hidden = !away;
	$("follow-text").textContent = fresh > 0 ? plural(fresh, "new line") : "Follow";
	document.body.classList.toggle("following", window.following);
}

function picked(n, wide) {
	const from = wide && log.selected ? (n >= log.selected.from ? log.selected.from : log.selected.to) : n;
	const range = { from: Math.min(n, from), to: Math.max(n, from) };
	awaited = null;
	address.write(range);
	log.select(range);
	finder.moved();
	if (log.filtered) {
		finder.setOnly(false, n);
		log.go(n);
	}
}

function addressed() {
	const range = address.parse(location.hash);
	log.select(range);
	if (!range) return;
	if (log.filtered) finder.setOnly(false, range.from);
	goTo(range);
}

window.addEventListener("popstate", addressed);

// ---- the tools

function folded() {
	$("foldall").hidden = !log.folds.any;
	$("foldall-text").textContent = log.folds.anyOpen ? "Fold all" : "Unfold all";
	$("foldall").title = $("foldall-text").textContent;
}

function setWrap(on) {
	$("log").classList.toggle("wrap", on);
	$("wrap").setAttribute("aria-pressed", String(on));
	log.window.rewrapped();
}

const themes = ["auto", "light", "dark"];

function setTheme(theme) {
	if (theme === "auto") delete document.documentElement.dataset.theme;
	else document.documentElement.dataset.theme = theme;
	$("theme").dataset.theme = theme;
	$("theme-text").textContent = "Theme: " + theme;
	$("theme").title = "Theme: " + theme;
	log.rail.set(log.view, log.window.seen());
}

let again = null; // text that could not be copied because the press was too long ago

async function copyAll() {
	if (again !== null) {
		const text = again;
		again = null;
		toast(copyNow(text) ? "Copied " + plural(lineCount(text), "line") : "The browser does not let us copy. Use Download.");
		return;
	}
	if (info.bytes > mostBytes) {
		toast("This log has " + number(Math.round(info.bytes / 1e6)) + " MB, too much for the clipboard.", true);
		return;
	}
	toast("Copying…");
	try {
		const { text, copied } = await copyText(api.raw());
		if (!copied) again = text;
		toast(copied ? "Copied " + plural(lineCount(text), "line") : "Press Copy again: the log is here now.");
	} catch (error) {
		toast("The log could not be fetched: " + error.message);
	}
}

let toastTimer = 0;

function toast(text, download = false) {
	$("toast-text").textContent = text;
	$("toast-download").hidden = !download;
	$("toast").hidden = false;
	clearTimeout(toastTimer);
	toastTimer = setTimeout(() => { $("toast").hidden = true; }, download ? 12000 : 4000);
}

function say(text) {
	$("say-lines").textContent = text;
}

function sayLater(text) {
	sayTimer ||= setTimeout(() => {
		sayTimer = 0;
		say(text);
	}, 5000);
}

function goToLine() {
	$("goto-line").value = "";
	$("goto").showModal();
}

const toggleFold = () => log.folds.any && log.foldAll(log.folds.anyOpen);
const row = () => parseFloat(getComputedStyle($("rows")).lineHeight);
const page = () => log.window.height - 2 * row();

const actions = {
	search: () => finder.focus(),
	next: () => finder.step(1),
	prev: () => finder.step(-1),
	goto: goToLine,
	help: () => $("help-dialog").showModal(),
	top: () => log.goTop(),
	end: () => log.goEnd(),
	down: () => log.window.scrollBy(row()),
	up: () => log.window.scrollBy(-row()),
	pageDown: () => log.window.scrollBy(page()),
	pageUp: () => log.window.scrollBy(-page()),
	left: () => { $("log").scrollLeft -= 60; },
	right: () => { $("log").scrollLeft += 60; },
	wrap: () => $("wrap").click(),
	theme: () => $("theme").click(),
	fold: toggleFold,
	all: () => log.selectAll(),
	link: () => picked(finder.search.numbers[finder.search.current] || log.view.line(log.window.seen().top), false),
	escape: () => {
		document.getSelection().removeAllRanges();
		if (finder.active) finder.clear();
		else if (log.selected) {
			address.write(null);
			log.select(null);
		}
	},
};

function start() {
	for (const [id, name, params] of [["raw", "raw"], ["download", "raw", { download: 1 }], ["toast-download", "raw", { download: 1 }]]) $(id).href = api.address(name, params);
	const narrow = matchMedia("(max-width: 700px)").matches;
	setWrap((kept("wrap") ?? (narrow ? "on" : "off")) === "on");
	setTheme(kept("theme") ?? "auto");
	$("wrap").addEventListener("click", () => {
		const on = $("wrap").getAttribute("aria-pressed") !== "true";
		keep("wrap", on ? "on" : "off");
		setWrap(on);
	});
	$("theme").addEventListener("click", () => {
		const theme = themes[(themes.indexOf($("theme").dataset.theme) + 1) % themes.length];
		keep("theme", theme === "auto" ? null : theme);
		setTheme(theme);
	});
	$("foldall").addEventListener("click", toggleFold);
	$("copy").addEventListener("click", copyAll);
	$("help").addEventListener("click", actions.help);
	$("follow").addEventListener("click", () => log.goEnd());
	$("place").addEventListener("click", goToLine);
	$("letters").checked = kept("letters") !== "off";
	$("letters").addEventListener("change", () => keep("letters", $("letters").checked ? null : "off"));
	for (const dialog of document.querySelectorAll("dialog")) {
		dialog.querySelector(".close").addEventListener("click", () => dialog.close());
		dialog.addEventListener("click", (e) => e.target === dialog && dialog.close());
	}
	$("goto-line").addEventListener("keydown", (e) => {
		const n = Number($("goto-line").value.replace(/[^\d]/g, ""));
		if (e.key !== "Enter") return;
		$("goto").close();
		if (n > 0) picked(Math.min(n, log.total), false);
		if (n > 0) log.go(Math.min(n, log.total));
	});
	// Who moves does not wait for a line any more that the address names.
	for (const move of ["wheel", "pointerdown", "keydown"]) addEventListener(move, () => { awaited = null; }, { passive: true });
	listen(actions, $("box"), () => $("letters").checked);
	open();
}

start();
