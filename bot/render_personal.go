package bot

import (
	"cmp"

	"github.com/slack-go/slack"

	"kovra.dev/chatops/internal/kovra"
)

// renderPersonal is what one person alone is told of a pipeline or build that is theirs, or that they watch: the card
// once it has ended, edited in place, and a reply for each further end.
func renderPersonal(v kovra.View) []Message {
	if v.Build != nil {
		if !v.Build.Status.Final() && v.Slots[kovra.SlotCard].TS == "" {
			return nil
		}
		return []Message{renderParent(v)}
	}
	if !v.Run.Status.Final() && v.Slots[kovra.SlotCard].TS == "" {
		return nil
	}
	messages := []Message{renderCard(v)}
	for i := 1; i < len(v.Run.Results); i++ {
		if m, ok := renderResult(v, i); ok {
			m.Broadcast = false
			messages = append(messages, m)
		}
	}
	return messages
}

// watchButton lets a person be told how it ends; nil where they are told already.
func watchButton(v kovra.View) *slack.ButtonBlockElement {
	if _, alone := v.Thread.Person(); alone {
		return nil
	}
	if v.Build != nil {
		if v.Build.Status.Final() {
			return nil
		}
		return button(ActionWatchBuild, BuildValue{Build: v.Build.ID}.String(), "Watch")
	}
	if v.Run.Status.Final() {
		return nil
	}
	return button(ActionWatch, runValue(&v.Run), "Watch")
}

// starterMention names the person who started the pipeline, where their pipeline is newly broken, and nobody else does.
func starterMention(v kovra.View, r kovra.Result) string {
	if _, alone := v.Thread.Person(); alone || r.News != kovra.Broken || v.Starter == "" {
		return ""
	}
	return cmp.Or(mention(v.Starter, ""), "")
}
