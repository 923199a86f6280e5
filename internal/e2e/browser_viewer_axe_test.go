package e2e

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"kovra.dev/chatops/internal/kovra"
)

// TestBrowserViewerAccess looks for what keeps people from using the page, with axe-core:
// KOVRA_TEST_AXE is the path of its axe.min.js.
func TestBrowserViewerAccess(t *testing.T) {
	t.Parallel()
	file := os.Getenv("KOVRA_TEST_AXE")
	if file == "" {
		t.Skip("KOVRA_TEST_AXE is not set: it is the path of axe.min.js")
	}
	axe, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	h := newHouse(t)
	long := h.finished("acceptance", sample("long+timestamps"), kovra.Success)
	failed := h.finished("unit", sample("pytest"), kovra.Failed)
	hostile := h.finished("sanitizer", sample("hostile"), kovra.Failed)
	live := h.job("unit")
	live.write(300)
	onlyLight, onlyDark, both := []string{"light"}, []string{"dark"}, []string{"light", "dark"}
	for _, one := range []struct {
		name   string
		log    *written
		at     string
		screen screen
		themes []string
		do     func(viewer)
	}{
		{"finished", long, "#L30-L34", small, both, nil},
		{"failed", failed, "", small, onlyDark, nil},
		{"hostile", hostile, "", small, onlyLight, nil},
		{"search", long, "", small, both, func(v viewer) {
			v.fill("@search", "cart")
			v.see("@search-count", "matches")
			v.click("@next")
		}},
		{"marked", long, "", small, onlyDark, func(v viewer) {
			v.fill("@search", "npm")
			v.see("@search-count", "matches")
			v.click("@only")
		}},
		{"bad-search", long, "", small, onlyLight, func(v viewer) {
			v.click("@regex")
			v.fill("@search", "(")
			v.see("@search-error")
			v.forgive("status of 400")
		}},
		{"live", live, "", small, onlyDark, func(v viewer) {
			v.on(300)
			v.wheel(-800)
			v.see("@follow-pill")
			live.write(3)
			v.see("@follow-pill", "3 new lines")
		}},
		{"help", long, "", small, onlyLight, func(v viewer) {
			v.click("@help")
			v.see("@help-dialog")
		}},
		{"phone", long, "", phone, both, nil},
		{"refused", nil, "", small, onlyDark, nil},
	} {
		for _, theme := range one.themes {
			t.Run(one.name+"/"+theme, func(t *testing.T) {
				log := one.log
				if log == nil {
					log = long
				}

				v := log.view(t, one.at, one.screen, scheme(theme))
				if one.log == nil {
					v.load(log.url() + "x")
					v.see("@refusal")
					v.forgive("status of 404")
				} else {
					v.sight()
				}
				if one.do != nil {
					one.do(v)
				}
				v.noBarrier(string(axe))
				v.shot("axe")
			})
		}
	}
}

// finding is one rule that a page breaks.
type finding struct {
	ID     string   `json:"id"`
	Impact string   `json:"impact"`
	Help   string   `json:"help"`
	Nodes  []string `json:"nodes"`
}

// noBarrier lets axe look at the page. It comes by the way of the debugger, which the page's
// policy does not bind.
func (v viewer) noBarrier(axe string) {
	v.t.Helper()
	v.do(chromedp.Evaluate[chromedp.Void](axe))
	type verdict struct {
		Found   []finding `json:"found"`
		Passed  []string  `json:"passed"`
		Unclear []string  `json:"unclear"`
	}
	got := ask[verdict](v.page, `axe.run(document).then((r) => ({
		found: r.violations.map((v) => ({
			id: v.id, impact: v.impact, help: v.help, nodes: v.nodes.slice(0, 5).map((n) => n.target.join(" ") + ": " + n.failureSummary.split("\n").slice(1).join("; ")),
		})),
		passed: r.passes.map((p) => p.id),
		unclear: r.incomplete.map((i) => i.id + " at " + i.nodes.length + ", as " + i.nodes[0].target.join(" ")),
	}))`)
	v.t.Logf("%d rules are kept; unclear: %q", len(got.Passed), got.Unclear)
	if !slices.Contains(got.Passed, "color-contrast") || len(got.Passed) < 8 {
		v.t.Errorf("that was no look at the page: %v", got.Passed)
	}
	for _, f := range got.Found {
		text := fmt.Sprintf("%s, %s: %s\n\t%s", f.Impact, f.ID, f.Help, strings.Join(f.Nodes, "\n\t"))
		if f.Impact == "serious" || f.Impact == "critical" {
			v.t.Error(text)
		} else {
			v.t.Log(text)
		}
	}
}
