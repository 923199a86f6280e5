package dispatch

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// help answers what was written in a merge request and cannot be done as it stands.
func (a Actions) help(ctx context.Context, act kovra.Action) (end, time.Duration, error) {
	c := act.Params.Comment
	if c == nil {
		return end{}, 0, kovra.Errorf(kovra.Invalid, "Only comments in merge requests are answered like this.")
	}
	var names []string
	err := a.db.Read(ctx, func(tx *storage.Tx) error {
		apps, err := tx.AppsOfProject(c.Project)
		for _, app := range apps {
			names = append(names, app.Name)
		}
		return err
	})
	if err != nil {
		return end{}, 0, err
	}
	return done(kovra.Outcome{Reason: helpText(c, names)}), 0, nil
}

// saysComments is what can be asked for in a merge request.
const saysComments = "I understand `/kovra retry` and `/kovra cancel`, for the newest pipeline of this merge request, and `/kovra build`, for its branch."

// helpText says what is in the way of a comment, if that is known, and else what can be asked for. Of the comment's own words it
// repeats none: they are somebody's.
func helpText(c *kovra.Comment, apps []string) string {
	verb, named := c.Words()
	known := "`" + strings.Join(apps, "`, `") + "`"
	switch {
	case len(apps) == 0:
		return "No app is linked to this project any more."
	case verb != kovra.CommentRetry && verb != kovra.CommentCancel && verb != kovra.CommentBuild:
		return saysComments
	case named != "" && !slices.Contains(apps, named):
		return "I know no app of that name here. The apps of this project: " + known + "."
	case verb == kovra.CommentBuild && c.Branch == "":
		return "The branch of this merge request is in a fork; I build branches of this project alone."
	case verb == kovra.CommentBuild:
		return fmt.Sprintf("Which app shall I build? This project has %s: write `/kovra build %s`.", known, apps[0])
	default:
		return "I know of no pipeline of this merge request."
	}
}
