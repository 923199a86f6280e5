// Modals of the app, and Slack's questions before an action.
import { html, cx, useEffect, useRef, useState } from "./view.js";
import { Blocks, TextObject, valueOf } from "./blocks.js";
import { Glyph } from "./icons.js";

// Dialog is a native dialog: the browser keeps the focus in it and gives it back.
function Dialog({ label, onCancel, children, test, small }) {
	const box = useRef(null);
	useEffect(() => {
		box.current.showModal();
		if (!small) box.current.querySelector(".body input, .body textarea, .body .choice")?.focus();
		return () => box.current?.close();
	}, []);
	return html`<dialog ref=${box} class=${cx("modal", small && "small")} aria-label=${label} data-test=${test}
		onCancel=${(e) => { e.preventDefault(); onCancel(); }} onPointerDown=${(e) => e.target === box.current && small && onCancel()}>${children}</dialog>`;
}

// Confirm asks Slack's question. Yes and no are the app's words.
export function Confirm({ question, onYes, onNo }) {
	return html`<${Dialog} small label=${question.title.text} onCancel=${onNo} test="confirm">
		<header><h2><${TextObject} text=${question.title} ctx=${{}} /></h2></header>
		<div class="body text"><${TextObject} text=${question.text} ctx=${{}} /></div>
		<footer>
			<button type="button" class="button" data-test="confirm-no" onClick=${onNo}><${TextObject} text=${question.deny} /></button>
			<button type="button" autofocus class=${"button " + (question.style || "primary")} data-test="confirm-yes" onClick=${onYes}><${TextObject} text=${question.confirm} /></button>
		</footer>
	<//>`;
}

// inputsOf lists the fields of a view's input blocks.
const inputsOf = (view) => view.blocks.filter((b) => b.type === "input").map((b) => b.block_id + "/" + b.element.action_id);

// Modal is the view in front. What is typed stays while the app changes the view around it.
export function Modal({ view, depth, ctx, submit, close, closeAll }) {
	const [form, setForm] = useState({});
	const [waits, setWaits] = useState(false);
	const [problem, setProblem] = useState("");
	const send = async (e) => {
		e.preventDefault();
		if (waits) return;
		setWaits(true);
		setProblem("");
		const values = {};
		for (const key of inputsOf(view)) {
			const [block, action] = [key.slice(0, key.lastIndexOf("/")), key.slice(key.lastIndexOf("/") + 1)];
			values[key] = key in form ? form[key] : valueOf(view.state?.[block]?.[action]);
		}
		const answer = await submit(values);
		setWaits(false);
		if (answer.error) setProblem(saysProblem(answer.error));
	};
	const here = { ...ctx, place: { view: view.id }, form, fill: (key, v) => setForm((f) => ({ ...f, [key]: v })), state: view.state, errors: view.errors, names: view.names };
	return html`<${Dialog} label=${view.title} onCancel=${close} test="modal">
		<form onSubmit=${send} novalidate>
			<header>
				${depth > 1 && html`<button type="button" class="plain" aria-label="Back" onClick=${close}><${Glyph} name="back" /></button>`}
				<h2>${view.title}</h2>
				<button type="button" class="plain" aria-label="Close" data-test="modal-cross" onClick=${closeAll}><${Glyph} name="close" /></button>
			</header>
			<div class="body"><${Blocks} blocks=${view.blocks} ctx=${here} /></div>
			${problem && html`<p class="error" role="alert">${problem}</p>`}
			<footer>
				<button type="button" class="button" data-test="modal-close" onClick=${close}>${view.close || (view.submit ? "Cancel" : "Close")}</button>
				${view.submit && html`<button type="submit" class=${cx("button primary", waits && "waits")} data-test="modal-submit"><span>${view.submit}</span></button>`}
			</footer>
		</form>
	<//>`;
}

const saysProblem = (error) => ({
	operation_timeout: "We had some trouble connecting: the app did not answer within 3 seconds. Try again?",
	dispatch_failed: "We had some trouble connecting. Try again?",
}[error] || error);
