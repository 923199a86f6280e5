package kovra

// Workspace is the Slack workspace that the bot lives in.
type Workspace struct {
	Team       string
	Enterprise string // "" without Enterprise Grid
	Bot        string // the user id of the bot itself
}

// SlackUser is a person as Slack describes them.
type SlackUser struct {
	ID         string
	Name       string // what people call them
	Team       string
	Enterprise string // "" without Enterprise Grid
	Admin      bool   // administrator or owner of the workspace
	Bot        bool
	// Foreign says that the person belongs to another organisation: neither to
	// the bot's workspace nor, where there is one, to its enterprise.
	Foreign bool
}

// Knows reports whether somebody of that workspace and enterprise belongs to the
// organisation that the bot works for. The enterprise counts, not only the workspace.
func (w Workspace) Knows(team, enterprise string) bool {
	return team != "" && team == w.Team || enterprise != "" && enterprise == w.Enterprise
}
