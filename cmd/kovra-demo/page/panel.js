// The panel that plays GitLab and the cluster. It changes those two and nothing else: whatever then happens in
// Slack came through Kovra.
import { html, cx, post, useState, useEffect, useRef } from "./view.js";
import { StatusIcon, Glyph } from "./icons.js";

const logNames = { "go-test": "Go test", npm: "TypeScript build", "docker-build": "Docker build", oom: "out of memory", pytest: "pytest", hostile: "hostile output" };

const titles = ["Round prices up", "Show stock on the product page", "Speed up the search", "Fix a typo on the checkout page", "Use the new voucher rules", "Log failed payments"];

let nextTitle = 0;

// Panel shows one project at a time.
export function Panel({ lab, focusKey, done, frozen, setFrozen }) {
	const [project, setProject] = useState(0);
	const [problem, setProblem] = useState("");
	const p = lab.projects[project];
	const act = async (path, body) => {
		const answer = await post("api/gitlab/" + path, body);
		setProblem(answer.error || "");
		return answer;
	};
	return html`<div class="panel-body" data-test="panel">
		<div class="tabs" role="tablist" aria-label="Projects">
			${lab.projects.map((one, i) => html`<button type="button" role="tab" data-test="panel-project" data-project=${one.path} aria-selected=${i === project ? "true" : "false"} onClick=${() => setProject(i)}>
				${one.path}${one.pipelines[0] && html` <${StatusIcon} status=${one.pipelines[0].status} />`}</button>`)}
			<label class="switch" title="Jobs start and end by themselves"><input type="checkbox" data-test="panel-autoplay" checked=${lab.autoplay} onChange=${(e) => act("autoplay", { on: e.currentTarget.checked })} /><span>autoplay</span></label>
		</div>
		${problem && html`<p class="error" role="alert">${problem}</p>`}
		<${Push} key=${p.id} project=${p} lab=${lab} act=${act} done=${done} focusKey=${focusKey} />
		${p.events && html`<${Events} key=${"events" + p.id} project=${p} lab=${lab} act=${act} />`}
		<section aria-label="Pipelines">
			${p.pipelines.length === 0 && html`<p class="quiet">${p.real ? "It stands for a real repository, and has no pipelines. Its builds are real." : "No pipeline yet. Push a commit."}</p>`}
			${p.pipelines.map((one, i) => html`<${Pipeline} key=${one.id} old=${i > 1} pipeline=${one} project=${p} lab=${lab} act=${act} />`)}
		</section>
		${lab.cluster && html`<${Cluster} cluster=${lab.cluster} act=${act} />`}
		<${Logs} act=${act} show=${() => setProject(0)} />
		<${Troubles} lab=${lab} act=${act} frozen=${frozen} setFrozen=${setFrozen} />
		<${Webhooks} lab=${lab} act=${act} />
	</div>`;
}

function Push({ project, lab, act, done, focusKey }) {
	const [branch, setBranch] = useState("main");
	const [title, setTitle] = useState(titles[nextTitle % titles.length]);
	const [author, setAuthor] = useState("bob");
	const [job, setJob] = useState("");
	const [kind, setKind] = useState("go-test");
	const button = useRef(null);
	useEffect(() => { if (focusKey) button.current?.focus(); }, [focusKey]);
	const push = async (e) => {
		e.preventDefault();
		const answer = await act("push", { project: project.id, branch, title, author, job, kind });
		if (answer.error) return;
		nextTitle++;
		setTitle(titles[nextTitle % titles.length]);
		done("push");
	};
	const id = "push-" + project.id;
	return html`<form class="push" onSubmit=${push} data-test="push-form">
		<input class="wide" aria-label="Commit title" data-test="push-title" value=${title} onInput=${(e) => setTitle(e.currentTarget.value)} />
		<label>on <input aria-label="Branch" data-test="push-branch" list=${id + "-branches"} value=${branch} spellcheck="false" onInput=${(e) => setBranch(e.currentTarget.value)} onFocus=${(e) => e.currentTarget.select()} /></label>
		<datalist id=${id + "-branches"}>${project.branches.map((b) => html`<option value=${b} />`)}</datalist>
		<label>by <select aria-label="Author" data-test="push-author" value=${author} onChange=${(e) => setAuthor(e.currentTarget.value)}>${lab.authors.map((a) => html`<option>${a}</option>`)}</select></label>
		<label class="wide">it <select aria-label="Outcome" data-test="push-outcome" value=${job} onChange=${(e) => setJob(e.currentTarget.value)}>
			<option value="">${project.real ? "is what is on the branch now" : "passes"}</option>${(project.jobs || []).map((j) => html`<option value=${j}>fails in ${j}</option>`)}</select>
			${job && html` with <select aria-label="Log" data-test="push-log" value=${kind} onChange=${(e) => setKind(e.currentTarget.value)}>${lab.kinds.map((k) => html`<option value=${k}>${logNames[k] || k}</option>`)}</select>`}
		</label>
		<button type="submit" class="button lab" ref=${button} data-test="panel-push">Push</button>
	</form>`;
}

const moving = ["created", "pending", "running", "preparing", "waiting_for_resource"];

// Pipeline shows its jobs; an old one that has ended does so when asked.
function Pipeline({ pipeline, project, lab, act, old }) {
	const [chosen, setChosen] = useState("");
	const [wanted, setWanted] = useState(false);
	const foldable = old && !moving.includes(pipeline.status);
	const short = foldable && !wanted;
	const jobs = pipeline.stages.flatMap((s) => s.jobs);
	const job = jobs.find((j) => j.name === chosen);
	return html`<article class="pipeline" data-test="pipeline" data-id=${pipeline.id} data-status=${pipeline.status}>
		<header>
			<${StatusIcon} status=${pipeline.status} />
			<b title=${pipeline.title}>${pipeline.title}</b>
			${foldable && html`<button type="button" class="link" aria-expanded=${short ? "false" : "true"} onClick=${() => setWanted(!wanted)}>${short ? "jobs" : "less"}</button>`}
			<a href=${pipeline.url} target="_blank" rel="noopener noreferrer">#${pipeline.id}</a>
		</header>
		<p class="quiet"><span>${pipeline.ref} · ${pipeline.sha} · ${pipeline.user}${pipeline.source !== "push" ? " · " + pipeline.source : ""}${pipeline.vars ? " · " + pipeline.vars.join(", ") : ""}</span>
			${moving.includes(pipeline.status) && html`<button type="button" class="link" data-test="finish-all" onClick=${() => act("pipeline", { project: project.id, pipeline: pipeline.id, do: "finish" })}>Finish all</button>`}</p>
		${!short && html`<div class="stages">${pipeline.stages.map((s) => html`<div class="stage" key=${s.name}><span class="quiet">${s.name}</span>
			${s.jobs.map((j) => html`<button type="button" key=${j.name} class=${cx("job", j.name === chosen && "at")} data-test="job" data-job=${j.name} data-status=${j.status} aria-expanded=${j.name === chosen ? "true" : "false"}
				title=${j.status} onClick=${() => setChosen(j.name === chosen ? "" : j.name)}><${StatusIcon} status=${j.status} /><span>${j.name}</span>${j.attempt > 1 && html`<small>×${j.attempt}</small>`}</button>`)}</div>`)}</div>`}
		${job && !short && html`<${JobActions} job=${job} lab=${lab} act=${act} />`}
	</article>`;
}

// says puts a status into a sentence where its own word does not fit.
const says = { success: "passed", failed: "failed", canceled: "was canceled", skipped: "was skipped", manual: "waits to be played" };

function JobActions({ job, lab, act }) {
	const [kind, setKind] = useState("go-test");
	const go = (what, label, tone) => html`<button type="button" class=${cx("button", tone)} data-test=${"job-" + what} onClick=${() => act("job", { job: job.id, do: what, kind, user: "alice" })}>${label}</button>`;
	const runs = job.status === "running", waits = job.status === "pending";
	const ended = ["success", "failed", "canceled"].includes(job.status);
	return html`<div class="job-actions" data-test="job-actions">
		<span class="quiet"><b>${job.name}</b> ${says[job.status] || "is " + job.status}</span>
		${waits && go("start", "Start")}
		${(waits || runs) && go("pass", "Pass", "primary")}
		${(waits || runs) && html`<span class="pair">${go("fail", "Fail", "danger")}<select aria-label="Log of the failure" data-test="job-log" value=${kind} onChange=${(e) => setKind(e.currentTarget.value)}>
			${lab.kinds.map((k) => html`<option value=${k}>${logNames[k] || k}</option>`)}</select></span>`}
		${runs && go("cancel", "Cancel")}
		${job.status === "manual" && go("play", "Play in GitLab")}
		${ended && go("retry", "Retry in GitLab")}
		${job.status === "created" && html`<span class="quiet">It waits for the stages before it.</span>`}
		${job.status === "skipped" && html`<span class="quiet">A stage before it did not pass.</span>`}
		<a href=${job.url} target="_blank" rel="noopener noreferrer">Log ↗</a>
	</div>`;
}

// Events makes things happen in GitLab that are neither commits nor jobs.
function Events({ project, lab, act }) {
	const [user, setUser] = useState("alice");
	const [comment, setComment] = useState("/kovra retry");
	const { requests, deployments, next_tag: nextTag, release } = project.events;
	const go = (what, label, more, off) => html`<button type="button" class="button" disabled=${off} data-test=${"event-" + what.replace(":", "-")}
		onClick=${() => act("event", { project: project.id, do: what, user, ...more })}>${label}</button>`;
	const first = requests.find((r) => r.state === "opened");
	return html`<details class="cluster events" data-test="events">
		<summary><h3>Review, deploy, release</h3></summary>
		<label class="quiet">as <select aria-label="Who does it" data-test="event-user" value=${user} onChange=${(e) => setUser(e.currentTarget.value)}>
			${Object.values(lab.people).map((one) => html`<option value=${one.username}>${one.username} · ${one.role}</option>`)}</select></label>
		${requests.length + deployments.length > 0 && html`<ol>
			${requests.map((r) => html`<li key=${"r" + r.iid} class=${cx(r === first && "open")} data-test="request" data-state=${r.state}><${Glyph} name="branch" />
				<span title=${r.title}><a href=${r.url} target="_blank" rel="noopener noreferrer">!${r.iid}</a> ${r.title}</span><em class="quiet">${r.state === "opened" && r.approved ? "approved" : r.state}</em>
				${r === first && html`<div class="row">${go("request:push", "Push", { id: r.iid })}${go("request:approve", "Approve", { id: r.iid }, r.approved)}${go("request:merge", "Merge", { id: r.iid })}${go("request:close", "Close", { id: r.iid })}</div>
				<form class="row" onSubmit=${(e) => { e.preventDefault(); act("event", { project: project.id, do: "request:comment", user, id: r.iid, text: comment }); }}>
					<input aria-label="Comment" data-test="event-comment" value=${comment} spellcheck="false" onInput=${(e) => setComment(e.currentTarget.value)} /><button type="submit" class="button" data-test="event-request-comment">Comment</button></form>`}</li>`)}
			${deployments.map((d) => html`<li key=${"d" + d.id} data-test="deployment" data-status=${d.status}><${StatusIcon} status=${d.status === "blocked" ? "manual" : d.status} />
				<span>${d.ref} to ${d.environment}</span><em class="quiet">${d.status}</em>
				${d.status === "running" && html`${go("deployment:success", "Succeed", { id: d.id })}${go("deployment:fail", "Fail", { id: d.id })}`}
				${d.status === "blocked" && html`${go("deployment:approve", "Approve", { id: d.id })}${go("deployment:reject", "Reject", { id: d.id })}`}</li>`)}
		</ol>`}
		<div class="grid">${go("request:open", "Open merge request")}${go("tag", "Tag " + nextTag)}${go("deployment:start", "Deploy to staging", { text: "staging" })}${go("deployment:start", "Deploy to production", { text: "production" })}
			${release && go("release", "Release " + release)}</div>
	</details>`;
}

const fates = [
	["well", "goes well"],
	["break", "breaks in RUN npm run build"],
	["dockerfile", "finds no Dockerfile"],
	["denied", "may not push its image"],
	["hang", "hangs until it is released"],
	["wait", "gets no node until it is released"],
	["pull", "is built, but its image cannot be pulled"],
];

// Cluster shows what runs there, and says what becomes of the next build.
function Cluster({ cluster, act }) {
	const go = (run, what, label) => html`<button type="button" class="button" data-test=${"run-" + what} onClick=${() => act("cluster", { run: run.name, do: what })}>${label}</button>`;
	return html`<section class="cluster" aria-label="Cluster" data-test="cluster"><h3>Cluster <small class="quiet">Kubernetes with Tekton</small></h3>
		<label>The next build <select aria-label="The next build" data-test="next-build" value=${cluster.next} onChange=${(e) => act("cluster", { do: e.currentTarget.value })}>
			${fates.map(([fate, label]) => html`<option value=${fate} selected=${fate === cluster.next}>${label}</option>`)}</select></label>
		${cluster.runs.length === 0 ? html`<p class="quiet">No run yet. <code>/build trigger</code> starts a build.</p>`
		: html`<ol>${cluster.runs.map((r) => html`<li key=${r.name} data-test="run" data-kind=${r.kind} data-status=${r.status}><${StatusIcon} status=${r.status} />
			<span title=${r.name}><b>${r.kind} ${r.image}</b> <span class="quiet">${r.at}</span></span>
			${r.held && go(r, "release", "Release")}${!r.ended && !r.held && go(r, "finish", "Finish")}</li>`)}</ol>`}
		<dl aria-label="Deployments">${cluster.deployed.map((d) => html`<dt>${d.name} runs</dt><dd data-test="deployed" data-name=${d.name}>${d.image}</dd>`)}</dl>
	</section>`;
}

const logs = [
	["long", "Run a long job", "45 seconds of output, live: sections, standard error, progress bars"],
	["big", "A million lines", "A job that writes 90 MB and fails"],
	["hostile", "A hostile log", "A job whose output tries to break whatever shows it"],
];

// Logs starts jobs whose logs are worth opening.
function Logs({ act, show }) {
	const press = async (kind) => {
		const answer = await act("log", { do: kind });
		if (!answer.error) show();
	};
	return html`<section class="troubles" aria-label="Logs"><h3>Logs to look at</h3>
		<div class="grid">${logs.map(([kind, label, title]) => html`<button type="button" key=${kind} class="button" title=${title} data-test=${"log-" + kind} onClick=${() => press(kind)}>${label}</button>`)}</div>
	</section>`;
}

const troubles = [
	["twice", "Deliver twice", "The next webhook comes two times"],
	["late", "Deliver late", "The next webhook is overtaken by the one after it"],
	["drop", "Lose one", "The next webhook never arrives; Kovra finds out by reading GitLab again"],
	["down", "GitLab down, 20 s", "GitLab answers 503 and sends nothing", "GitLab is down …"],
	["limit", "Slack limits us", "Slack answers 429 for 10 s", "Slack limits us …"],
];

function Troubles({ lab, act, frozen, setFrozen }) {
	const [last, setLast] = useState("");
	const press = (what) => {
		setLast(what);
		act("trouble", { do: what });
	};
	return html`<section class="troubles" aria-label="Bad days"><h3>Make it a bad day</h3>
		<div class="grid">
			${troubles.map(([what, label, title, now]) => html`<button type="button" class=${cx("button", lab.trouble[what] && "on")} title=${title} data-test=${"trouble-" + what} onClick=${() => press(what)}>
				${lab.trouble[what] ? now : label}</button>`)}
			<button type="button" class=${cx("button", lab.held && "on")} title="Webhooks wait, and are then delivered in reverse order" data-test="trouble-hold" onClick=${() => press(lab.held ? "release" : "hold")}>
				${lab.held ? `Release ${lab.waiting} reversed` : "Hold webhooks"}</button>
			<button type="button" class=${cx("button", frozen && "on")} aria-pressed=${frozen ? "true" : "false"} title="Your Slack shows old pictures: press a button that is gone meanwhile" data-test="trouble-freeze" onClick=${() => setFrozen(!frozen)}>
				${frozen ? "Thaw my Slack" : "Freeze my Slack"}</button>
		</div>
		<p class="quiet" role="status">${frozen ? "Messages stay as they are now; private answers still come. Press an old button." : (troubles.find((t) => t[0] === last) || [])[2] || "Nothing that is pressed here may break a thread."}</p>
	</section>`;
}

function Webhooks({ lab, act }) {
	const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
	return html`<section class="webhooks" aria-label="Webhooks"><h3>Webhooks <small class="quiet">${lab.sent} sent${lab.waiting ? `, ${lab.waiting} wait` : ""}${lab.dropped ? `, ${lab.dropped} lost` : ""}</small></h3>
		${lab.sent === 0 && html`<p class="quiet">None yet. ${lab.projects.every((p) => p.hooks === 0) && html`<code>/kovra link</code> sets one up.`}</p>`}
		<ol data-test="webhooks">${lab.deliveries.map((d) => html`<li key=${d.index} data-test="webhook">
			<time>${clock.format(d.sent)}</time><b class=${cx("code", d.status >= 200 && d.status < 300 ? "good" : "bad")} title=${d.err}>${d.status || "✕"}</b>
			<span>${d.event} <span class="quiet">${d.what}</span>${d.again && html` <em>again</em>`}</span>
			<button type="button" class="link" aria-label=${`Send ${d.event} ${d.what} again`} onClick=${() => act("resend", { index: d.index })}>resend</button></li>`)}</ol>
	</section>`;
}
