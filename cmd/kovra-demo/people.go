package main

import (
	"kovra.dev/chatops/internal/gitlabsim"
	"kovra.dev/chatops/internal/slacksim"
)

// The people of the workspace.
const (
	alice   = "U01ALICE"
	bob     = "U02BOB"
	mallory = "U03MALLORY"
	carol   = "U04CAROL"
	erin    = "U05ERIN"

	otherTeam = "T0ACME"
)

// account is who somebody of the workspace is in GitLab.
type account struct {
	slack string
	role  int
	gitlabsim.User
}

// accounts are those of the workspace's people, each with another role. Erin's account is
// under another name and address than she has in Slack, so nothing but connecting tells
// that it is hers; Carol has none.
var accounts = []account{
	{alice, gitlabsim.Maintainer, gitlabsim.User{Username: "alice", Name: "Alice Adams", Email: "alice@example.com", PublicEmail: "alice@example.com"}},
	{bob, gitlabsim.Developer, gitlabsim.User{Username: "bob", Name: "Bob Berg", Email: "bob@example.com", PublicEmail: "bob@example.com"}},
	{erin, gitlabsim.Reporter, gitlabsim.User{Username: "eek", Name: "E. Ek", Email: "ek@home.example"}},
	{mallory, gitlabsim.Guest, gitlabsim.User{Username: "mallory", Name: "Mallory Moss", Email: "mallory@example.com"}},
}

// roleNames are GitLab's words.
var roleNames = map[int]string{
	gitlabsim.Guest: "Guest", gitlabsim.Reporter: "Reporter", gitlabsim.Developer: "Developer", gitlabsim.Maintainer: "Maintainer",
}

// people fills the workspace. Everybody has a conversation with the app from the start, as
// in Slack.
func (w *world) people() {
	for _, u := range []slacksim.User{
		{ID: alice, Name: "alice", RealName: "Alice Adams", Email: "alice@example.com", IsAdmin: true},
		{ID: bob, Name: "bob", RealName: "Bob Berg", Email: "bob@example.com"},
		{ID: erin, Name: "erin", RealName: "Erin Ek", Email: "erin@example.com"},
		{ID: mallory, Name: "mallory", RealName: "Mallory Moss", Email: "mallory@example.com"},
		{ID: carol, Name: "carol", RealName: "Carol Chen", Email: "carol@acme.example", TeamID: otherTeam},
	} {
		w.slack.AddUser(u)
	}
	for _, c := range []slacksim.Channel{
		{ID: deploys, Name: "deploys", Members: []string{alice, bob, erin}},
		{ID: apiTeam, Name: "api-team", Members: []string{alice, bob}},
		{ID: webTeam, Name: "web-team", Members: []string{alice, bob, erin, mallory}},
		{ID: partner, Name: "acme-partners", Members: []string{alice, bob, carol}, ExtShared: true},
		{ID: ops, Name: "ops-private", Members: []string{alice}, Private: true},
	} {
		w.slack.AddChannel(c)
	}
	for _, a := range accounts {
		w.slack.AddChannel(slacksim.Channel{ID: "D" + a.slack, Direct: true, Members: []string{a.slack, slacksim.BotUserID}})
		w.gitlab.AddUser(a.User)
	}
}

// members are the roles that everybody has in a project.
func members() map[string]int {
	all := map[string]int{}
	for _, a := range accounts {
		all[a.Username] = a.role
	}
	return all
}

// person says who somebody is in GitLab, for the page.
type person struct {
	Username string `json:"username"`
	Role     string `json:"role"`
}

// persons are all who have an account, by their Slack id.
func persons() map[string]person {
	all := map[string]person{}
	for _, a := range accounts {
		all[a.slack] = person{a.Username, roleNames[a.role]}
	}
	return all
}
