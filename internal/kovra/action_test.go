package kovra

import "testing"

func TestSupersedes(t *testing.T) {
	run := Action{Kind: ActRun, App: "web", Channel: "C1", Params: Params{Ref: "main", Variables: []string{"ENV"}}}
	retry := Action{Kind: ActRetry, App: "web", Run: 5}
	pushes := Action{Kind: ActSubscribe, App: "web", Channel: "C1", Params: Params{Filter: Filter{Topics: []Topic{TopicPushes}}}}
	edit := Action{Kind: ActSubscribe, App: "web", Channel: "C1", Params: Params{Subscription: 7}}
	link := Action{Kind: ActLink, App: "web", Channel: "C1", Params: Params{Project: "group/web"}}
	with := func(a Action, change func(*Action)) Action {
		change(&a)
		return a
	}
	for name, c := range map[string]struct {
		later, earlier Action
		want           bool
	}{
		"the same":                      {run, run, true},
		"other variables":               {with(run, func(a *Action) { a.Params.Variables = nil }), run, true},
		"another channel":               {with(run, func(a *Action) { a.Channel = "C2" }), run, true},
		"the default branch":            {with(run, func(a *Action) { a.Params.Ref = "" }), run, true},
		"another branch":                {with(run, func(a *Action) { a.Params.Ref = "next" }), run, false},
		"another app":                   {with(run, func(a *Action) { a.App = "api" }), run, false},
		"another pipeline":              {with(retry, func(a *Action) { a.Run = 6 }), retry, false},
		"another job":                   {with(retry, func(a *Action) { a.Job = 6 }), retry, false},
		"another build":                 {with(retry, func(a *Action) { a.Build = 6 }), retry, false},
		"another kind":                  {with(retry, func(a *Action) { a.Kind = ActCancel }), retry, false},
		"connect":                       {Action{Kind: ActConnect}, Action{Kind: ActConnect}, false},
		"link":                          {link, link, true},
		"link from another channel":     {with(link, func(a *Action) { a.Channel = "C2" }), link, false},
		"logs in another channel":       {Action{Kind: ActShowLogs, Channel: "C2"}, Action{Kind: ActShowLogs, Channel: "C1"}, false},
		"subscribe":                     {pushes, pushes, true},
		"subscribe another channel":     {with(pushes, func(a *Action) { a.Channel = "C2" }), pushes, false},
		"subscribe to something else":   {with(pushes, func(a *Action) { a.Params.Filter = Filter{} }), pushes, false},
		"change a subscription":         {with(edit, func(a *Action) { a.Params.Filter.Topics = []Topic{TopicTags} }), edit, true},
		"change another subscription":   {with(edit, func(a *Action) { a.Params.Subscription = 8 }), edit, false},
		"a new one, not the one edited": {pushes, edit, false},
	} {
		if got := c.later.Supersedes(c.earlier); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
}
