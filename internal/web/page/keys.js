// The keyboard. Keys with a letter can be turned off in the help: they get in the way of
// those who steer by voice.

const letters = {
	"/": "search", ":": "goto", "?": "help", j: "down", k: "up", g: "top", G: "end", n: "next", N: "prev", p: "prev",
	w: "wrap", t: "theme", f: "fold", l: "link",
};
const others = {
	ArrowDown: "down", ArrowUp: "up", ArrowLeft: "left", ArrowRight: "right", PageDown: "pageDown", PageUp: "pageUp", Home: "top", End: "end", Escape: "escape",
};

// listen calls the action for a key: actions is an object of functions. lettersOn() says
// whether keys with a letter count.
export function listen(actions, searchBox, lettersOn) {
	document.addEventListener("keydown", (e) => {
		if (e.defaultPrevented || e.isComposing || document.querySelector("dialog[open]")) return;
		const name = nameOf(e, searchBox, lettersOn);
		if (!name) return;
		e.preventDefault();
		actions[name]();
	});
}

function nameOf(e, searchBox, lettersOn) {
	const mod = e.ctrlKey || e.metaKey;
	if (e.key === "F3") return e.shiftKey ? "prev" : "next";
	// Who presses it a second time wants the browser's own search.
	if (mod && !e.altKey && !e.shiftKey && e.key.toLowerCase() === "f") return document.activeElement === searchBox ? "" : "search";
	if (mod && !e.altKey && !e.shiftKey && e.key.toLowerCase() === "a") return e.target.matches("input, textarea") ? "" : "all";
	if (mod || e.altKey) return mod && !e.altKey && (e.key === "Home" || e.key === "End") ? others[e.key] : "";
	const at = e.target;
	if (at.matches("input, textarea, select")) return "";
	if (e.key === " ") return at.matches("button, a, summary") ? "" : e.shiftKey ? "pageUp" : "pageDown";
	if (others[e.key]) return others[e.key];
	return (lettersOn() && letters[e.key]) || "";
}
