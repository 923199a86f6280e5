package joblog

import (
	"bytes"
	"slices"
	"strings"
)

// summary is what sums up, of one kind.
type summary struct {
	kind  *pattern
	lines []shown
}

// hush is output in which nothing counts as an error.
type hush struct {
	on     bool
	deeper bool // as long as lines are further in than indent; else up to an empty line
	indent int
	lines  int
}

// hushes tells whether raw is still within output in which nothing counts.
func (c *cutter) hushes(raw []byte) bool {
	text := bytes.TrimLeft(raw, " \t")
	c.hush.lines++
	switch {
	case c.hush.lines > maxHush:
		c.hush.on = false
	case !c.hush.deeper:
		c.hush.on = len(text) > 0
	case len(text) > 0:
		c.hush.on = len(raw)-len(text) > c.hush.indent
	}
	return c.hush.on
}

// control follows lines that say which errors are none.
func (c *cutter) control(p *pattern, line shown) {
	switch p.block {
	case cancel:
		if last := len(c.hits) - 1; last >= 0 && c.hits[last].n >= line.n-3 {
			c.drop(last)
		}
	case passed:
		c.pass(testName(line.text))
	case acquit:
		c.acquits = true
	case hushText, hushDeeper:
		c.hush = hush{on: true, deeper: p.block == hushDeeper, indent: line.indent}
	default: // never: nothing follows from it
	}
}

// pass forgets what a test has said that passed.
func (c *cutter) pass(test string) {
	for i, h := range slices.Backward(c.hits) {
		if h.test == test {
			c.drop(i)
		}
	}
}

// convict makes sure that nothing of a test that has failed is forgotten when another of the
// same name passes.
func (c *cutter) convict(failed *hit) {
	failed.test = ""
	for _, h := range c.hits {
		if h.test == testName(failed.line.text) {
			h.test = ""
		}
	}
}

// testName gives the name in "=== RUN   TestX" and "--- PASS: TestX (0.01s)".
func testName(text string) string {
	words := strings.Fields(text)
	if len(words) < 3 {
		return ""
	}
	return words[2]
}

// acquit forgets what was found of a test that is named among those that passed in the
// end: the title and what stands between it and the next.
func (c *cutter) acquit(line shown) {
	name := strings.Trim(line.text, " \t─")
	if line.indent < 4 || len(name) < 8 {
		c.acquits = false
		return
	}
	for i := 0; i < len(c.hits); i++ {
		title := c.hits[i]
		if !strings.Contains(title.line.text, name) {
			continue
		}
		for i < len(c.hits) && (c.hits[i] == title || c.hits[i].kind != title.kind) {
			c.drop(i)
		}
		i--
	}
}

func (c *cutter) drop(i int) {
	dropped := c.hits[i]
	c.hits = slices.Delete(c.hits, i, i+1)
	c.open = slices.DeleteFunc(c.open, func(h *hit) bool { return h == dropped })
}

// sumUp keeps the lines of the last kinds.
func (c *cutter) sumUp(p *pattern, line shown) {
	i := slices.IndexFunc(c.sums, func(s summary) bool { return s.kind == p })
	switch {
	case i >= 0 && p.sums > len(c.sums[i].lines):
		c.sums[i].lines = append(c.sums[i].lines, line)
		return
	case i >= 0 && p.sums > 1:
		return
	case i >= 0:
		c.sums = slices.Delete(c.sums, i, i+1)
	case len(c.sums) >= maxSums:
		c.sums = slices.Delete(c.sums, 0, 1)
	}
	c.sums = append(c.sums, summary{kind: p, lines: []shown{line}})
}
