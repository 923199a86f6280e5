// The head of the page: what the log is of, how it stands, and what there is to say about it.
import { duration, number, plural } from "./text.js";

// tone is the look of a status.
function tone(status) {
	switch (status) {
	case "success": return "good";
	case "failed": return "bad";
	case "running": case "canceling": return "run";
	case "canceled": case "skipped": return "calm";
	default: return "wait";
	}
}

export class Head {
	#parts;
	#info = {};
	#tick = 0;
	#notices = new Map();

	// parts are the elements name, status, word, meta, time, lines, gitlab, notices, legend.
	constructor(parts) {
		this.#parts = parts;
	}

	show(info) {
		this.#info = info;
		const { name, status, word, gitlab } = this.#parts;
		name.textContent = info.name || "Log";
		name.title = info.name || "";
		status.dataset.tone = tone(info.status);
		status.dataset.status = info.status || "";
		word.textContent = info.shown || "Unknown";
		document.title = (info.shown ? info.shown + ": " : "") + (info.name || "Log") + (info.pipeline ? " #" + info.pipeline : "");
		gitlab.hidden = !/^https?:\/\//.test(info.url || "");
		if (!gitlab.hidden) gitlab.href = info.url;
		this.#facts();
		this.#time();
		this.notice("kept", info.truncated ? "Only the first 100 MB of this log are kept." : "");
		clearInterval(this.#tick);
		if (tone(info.status) === "run" && info.started && !info.done) this.#tick = setInterval(() => this.#time(), 1000);
	}

	lines(total) {
		this.#parts.lines.textContent = plural(total, "line");
		this.#parts.lines.dataset.n = total;
	}

	#facts() {
		const { stage, pipeline, build, ref, commit } = this.#info;
		const { meta } = this.#parts;
		const facts = [
			[stage, "Stage"], [pipeline ? "#" + pipeline : "", "Pipeline"], [build ? "build #" + build : "", "Image"],
			[ref, "Branch or tag"], [(commit || "").slice(0, 8), "Commit", commit],
		];
		meta.replaceChildren(...facts.filter(([text]) => text).map(([text, title, whole]) => {
			const fact = document.createElement("span");
			fact.textContent = text;
			fact.title = title + ": " + (whole || text);
			return fact;
		}));
	}

	#time() {
		const { started, duration: took, finished } = this.#info;
		const seconds = took || (started ? ((finished ? Date.parse(finished) : Date.now()) - Date.parse(started)) / 1000 : NaN);
		const running = tone(this.#info.status) === "run" && started;
		const shown = running ? (Date.now() - Date.parse(started)) / 1000 : seconds;
		this.#parts.time.textContent = Number.isFinite(shown) ? duration(shown) : "";
	}

	// notice shows a sentence under the head; an empty one goes away. look is "bad" or nothing.
	notice(key, text, look = "") {
		let p = this.#notices.get(key);
		if (!text) {
			p?.remove();
			this.#notices.delete(key);
			return;
		}
		if (!p) {
			p = document.createElement("p");
			p.dataset.test = "note";
			p.dataset.key = key;
			this.#notices.set(key, p);
			this.#parts.notices.append(p);
		}
		p.className = look;
		if (p.textContent !== text) p.textContent = text;
	}

	// legend says what the bars at the left mean in this log, and what it cannot tell.
	legend(streams) {
		const { legend } = this.#parts;
		legend.dataset.kind = streams ? "err" : "suspect";
		legend.children[1].textContent = streams ? "written to stderr" : "looks like an error";
		legend.children[2].textContent = streams ? "" : "(this log does not tell stderr from stdout)";
		legend.hidden = false;
	}

	// place says which lines are on the screen.
	place(from, to, total, filtered) {
		const text = total === 0 ? "" : (filtered ? "Matches in " : "") + number(from) + (to > from ? "–" + number(to) : "") + (filtered ? "" : " of " + number(total));
		if (this.#parts.place.textContent !== text) this.#parts.place.textContent = text;
	}
}
