package e2e

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"kovra.dev/chatops/internal/gitlabsim"
	"kovra.dev/chatops/internal/slacksim"
)

// The OAuth application of the simulated GitLab.
const (
	oauthID     = "kovra-application"
	oauthSecret = "the-application-secret"
	oauthKey    = "KOVRA_ENCRYPTION_KEY=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
)

// settingsOfOAuth are what the word "oauth" of kovra start stands for.
func settingsOfOAuth() []string {
	return []string{"KOVRA_GITLAB_OAUTH_CLIENT_ID=" + oauthID, "KOVRA_GITLAB_OAUTH_CLIENT_SECRET=" + oauthSecret, oauthKey}
}

// addApplication registers the program with GitLab.
func (s *story) addApplication() {
	s.lab.AddApplication(gitlabsim.Application{
		ClientID: oauthID, Secret: oauthSecret, Name: "Kovra", RedirectURIs: []string{s.publicURL + "/oauth/gitlab/callback"},
		Scopes: []string{"api", "read_api", "read_user"}, RequirePKCE: true,
	})
}

// slack mention WHO CHANNEL TEXT [in=TEXT] mentions the bot: in the thread whose picture has the text, else in the channel.
func slackMention(s *story, c *scriptLine) error {
	if err := c.want(3, 3); err != nil {
		return err
	}
	thread, channel := "", channelID(c.args[1])
	if in := c.options["in"]; in != "" {
		m, err := s.parentWith(channel, in)
		if err != nil {
			return err
		}
		thread = m.TS
	}
	return s.slack.Mention(s.ctx, userID(c.args[0]), channel, thread, c.args[2])
}

// slack edits WHO CHANNEL TEXT changes what the person has written last, which then mentions the bot.
func slackEdits(s *story, c *scriptLine) error {
	if err := c.want(3, 3); err != nil {
		return err
	}
	who, channel := userID(c.args[0]), channelID(c.args[1])
	var last slacksim.Message
	for _, parent := range s.slack.Messages(channel) {
		for _, m := range append(s.slack.Replies(channel, parent.TS), parent) {
			if m.User == who && m.TS > last.TS {
				last = m
			}
		}
	}
	return s.slack.EditMention(s.ctx, who, last.Ref(), c.args[2])
}

// parentWith waits for a parent message whose thread has the text.
func (s *story) parentWith(channel, text string) (slacksim.Message, error) {
	var found slacksim.Message
	ok := s.eventually(func() bool {
		for _, m := range slices.Backward(s.slack.Messages(channel)) {
			if (m.ThreadTS == "" || m.ThreadTS == m.TS) && strings.Contains(s.plain(s.slack.Thread(channel, m.TS)), text) {
				found = m
				return true
			}
		}
		return false
	})
	if !ok {
		return found, fmt.Errorf("no thread with %q", text)
	}
	return found, nil
}

// slack shortcut WHO CHANNEL in=TEXT uses the shortcut on the newest message with the text.
func slackShortcut(s *story, c *scriptLine) error {
	if err := c.want(2, 2); err != nil {
		return err
	}
	for _, m := range slices.Backward(s.messages(channelID(c.args[1]))) {
		if strings.Contains(s.plain(slacksim.Text(m)), c.options["in"]) {
			seen, err := s.slack.MessageShortcut(s.ctx, userID(c.args[0]), m.Ref(), "thread_actions")
			return s.seen(c, seen, err)
		}
	}
	return fmt.Errorf("no message with %q", c.options["in"])
}

// slack home WHO [TEXT] opens App Home, waits until it shows the text (or anything) and prints it.
func slackHome(s *story, c *scriptLine) error {
	if err := c.want(1, 2); err != nil {
		return err
	}
	if err := s.slack.OpenHome(s.ctx, userID(c.args[0])); err != nil {
		return err
	}
	return slackHomeShows(s, c)
}

// slack homeshows WHO [TEXT] waits until App Home shows the text, without opening it anew, and prints it.
func slackHomeShows(s *story, c *scriptLine) error {
	text := strings.Join(c.args[1:], "")
	if err := s.await(text, func() string { return s.home(c.args[0]) }); err != nil {
		return err
	}
	c.out(s.home(c.args[0]))
	return nil
}

// home is the picture of somebody's App Home; while there is none it holds no text that anybody waits for.
func (s *story) home(who string) string {
	v, ok := s.slack.HomeView(userID(who))
	if !ok {
		return "\x00"
	}
	return s.plain(slacksim.ViewText(v))
}

// slack homeclick WHO BUTTON presses a button of App Home.
func slackHomeClick(s *story, c *scriptLine) error {
	if err := c.want(2, 2); err != nil {
		return err
	}
	v, ok := s.slack.HomeView(userID(c.args[0]))
	if !ok {
		return errors.New("there is no Home")
	}
	seen, err := s.slack.Click(s.ctx, userID(c.args[0]), v.Ref(), c.args[1])
	return s.seen(c, seen, err)
}

// slack homechoose WHO FIELD VALUE picks from a menu of App Home.
func slackHomeChoose(s *story, c *scriptLine) error {
	if err := c.want(3, 3); err != nil {
		return err
	}
	v, ok := s.slack.HomeView(userID(c.args[0]))
	if !ok {
		return errors.New("there is no Home")
	}
	seen, err := s.slack.Choose(s.ctx, userID(c.args[0]), v.Ref(), c.args[1], c.args[2])
	return s.seen(c, seen, err)
}

// slack email WHO ADDRESS says what the profile of somebody holds.
func slackEmail(s *story, c *scriptLine) error {
	if err := c.want(2, 2); err != nil {
		return err
	}
	u, ok := s.slack.UserByName(c.args[0])
	if !ok {
		return errors.New("no such user")
	}
	u.Email = c.args[1]
	s.slack.AddUser(u)
	return nil
}

// slack leave WHO deactivates somebody's account, as when they leave the company.
func slackLeave(s *story, c *scriptLine) error {
	if err := c.want(1, 1); err != nil {
		return err
	}
	return s.slack.SetUser(s.ctx, userID(c.args[0]), func(u *slacksim.User) { u.Deleted = true })
}

// gitlab user NAME [ADDRESS] adds a user, or changes their confirmed and public address.
func gitlabUser(s *story, c *scriptLine) error {
	if err := c.want(1, 2); err != nil {
		return err
	}
	u := gitlabsim.User{Username: c.args[0], Name: strings.ToUpper(c.args[0][:1]) + c.args[0][1:]}
	if len(c.args) == 2 {
		u.Email, u.PublicEmail = c.args[1], c.args[1]
	}
	s.lab.AddUser(u)
	return nil
}

// browser is one person's browser: it keeps cookies, and follows nothing by itself.
func (s *story) browser(who string) *http.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.browsers == nil {
		s.browsers = map[string]*http.Client{}
	}
	b := s.browsers[who]
	if b == nil {
		jar, _ := cookiejar.New(nil) // never fails
		b = &http.Client{Jar: jar, Transport: s.client.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		s.browsers[who] = b
	}
	return b
}

// visit opens an address as a person's browser does, follows what leads back to the program, and signs in at GitLab as the user where it
// is asked to. It returns the last page.
func (s *story) visit(ctx context.Context, who, user, address string, form url.Values, deny bool) (status int, page string, err error) {
	for range 10 {
		if strings.HasPrefix(address, s.labURL) {
			sign := s.lab.Authorize
			if deny {
				sign = s.lab.Deny
			}
			if address, err = sign(ctx, address, user); err != nil {
				return 0, "", err
			}
		}
		resp, err := s.open(ctx, who, address, form)
		if err != nil {
			return 0, "", err
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			return 0, "", err
		}
		s.note(string(body))
		to, err := resp.Location()
		if err != nil {
			return resp.StatusCode, string(body), nil
		}
		address, form = to.String(), nil
	}
	return 0, "", errors.New("it redirects for ever")
}

func (s *story) open(ctx context.Context, who, address string, form url.Values) (*http.Response, error) {
	method, body := http.MethodGet, io.Reader(nil)
	if form != nil {
		method, body = http.MethodPost, strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, err
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", s.publicURL)
	}
	return s.browser(who).Do(r)
}

// note keeps what people were shown in browsers, for those who look for secrets in it.
func (s *story) note(page string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pages = append(s.pages, page)
}

// web connect WHO [as=USER] [deny] follows the newest button that leads to GitLab's sign-in, and signs in there; the
// output is the text of the last page.
func webConnect(s *story, c *scriptLine) error {
	if err := c.want(1, 2); err != nil {
		return err
	}
	who := c.args[0]
	user := c.options["as"]
	if user == "" {
		user = who
	}
	address, err := s.connectLink(who)
	if err != nil {
		return err
	}
	_, page, err := s.visit(s.ctx, who, user, address, nil, slices.Contains(c.args, "deny"))
	if err != nil {
		return err
	}
	s.lastPage = page
	c.out(s.plain(pageText(page)))
	return nil
}

// web visit WHO ADDRESS [as=USER] opens an address, signing in at GitLab as the user where asked to; the output is the status
// and the text of the page.
func webVisit(s *story, c *scriptLine) error {
	if err := c.want(2, 2); err != nil {
		return err
	}
	user := c.options["as"]
	if user == "" {
		user = c.args[0]
	}
	address := c.args[1]
	if strings.HasPrefix(address, "/") {
		address = s.publicURL + address
	}
	status, page, err := s.visit(s.ctx, c.args[0], user, address, nil, false)
	if err != nil {
		return err
	}
	s.lastPage = page
	c.out(fmt.Sprintf("%d\n%s", status, s.plain(pageText(page))))
	return nil
}

// web agree WHO presses the button of the form on the last page.
func webAgree(s *story, c *scriptLine) error {
	form := regexp.MustCompile(`(?s)<form[^>]*action="([^"]*)"`).FindStringSubmatch(s.lastPage)
	if form == nil {
		return fmt.Errorf("there is no form:\n%s", s.lastPage)
	}
	values := url.Values{}
	for _, input := range regexp.MustCompile(`<(?:input|button)[^>]*>`).FindAllString(s.lastPage, -1) {
		name := regexp.MustCompile(`name="([^"]*)"`).FindStringSubmatch(input)
		value := regexp.MustCompile(`value="([^"]*)"`).FindStringSubmatch(input)
		if name != nil && value != nil {
			values.Set(html.UnescapeString(name[1]), html.UnescapeString(value[1]))
		}
	}
	_, page, err := s.visit(s.ctx, c.args[0], c.args[0], s.publicURL+html.UnescapeString(form[1]), values, false)
	if err != nil {
		return err
	}
	s.lastPage = page
	c.out(s.plain(pageText(page)))
	return nil
}

// connectLink is the newest address that somebody was given to connect.
func (s *story) connectLink(who string) (string, error) {
	link := ""
	found := s.eventually(func() bool {
		all := s.slack.Ephemerals(userID(who))
		for _, ch := range s.slack.Snapshot(userID(who)).Channels {
			if ch.Direct {
				all = append(all, s.messages(ch.ID)...)
			}
		}
		var links []string
		for _, m := range slices.Backward(all) {
			links = append(links, slacksim.Links(m)...)
		}
		if v, ok := s.slack.HomeView(userID(who)); ok {
			links = append(links, linksIn(v)...)
		}
		if v, ok := s.slack.View(userID(who)); ok {
			links = append(linksIn(v), links...)
		}
		i := slices.IndexFunc(links, func(l string) bool { return strings.Contains(l, "/oauth/gitlab/start") })
		if i >= 0 {
			link = links[i]
		}
		return i >= 0
	})
	if !found {
		return "", errors.New("nobody asked them to connect")
	}
	return link, nil
}

func linksIn(v slacksim.View) []string { return slacksim.Links(slacksim.Message{Tree: v.Tree}) }

var (
	pageHead = regexp.MustCompile(`(?s)<head>.*?</head>|<style.*?</style>|<script.*?</script>`)
	pageTags = regexp.MustCompile(`<[^>]*>`)
	gaps     = regexp.MustCompile(`\s*\n\s*`)
)

// pageText is what a person reads on a page.
func pageText(page string) string {
	text := pageTags.ReplaceAllString(pageHead.ReplaceAllString(page, ""), "\n")
	return strings.TrimSpace(gaps.ReplaceAllString(html.UnescapeString(text), "\n"))
}

// gitlab revoke USER takes back all tokens that the user has given to applications.
func gitlabRevoke(s *story, c *scriptLine) error {
	s.lab.RevokeTokens(c.args[0])
	return nil
}

// gitlab tokens USER prints how many pairs of tokens of the user still work.
func gitlabTokens(s *story, c *scriptLine) error {
	if err := c.want(1, 1); err != nil {
		return err
	}
	live := 0
	for _, t := range s.lab.OAuthTokens(c.args[0]) {
		if t.Live || t.Refreshable {
			live++
		}
	}
	c.out(fmt.Sprintf("%d live", live))
	return nil
}

// slack mentionagain sends the newest event once more, as Slack does when it got no answer.
func slackMentionAgain(s *story, _ *scriptLine) error {
	return s.slack.EventAgain(s.ctx, 1, "http_timeout")
}

// slack say WHO CHANNEL TEXT writes a message.
func slackSay(s *story, c *scriptLine) error {
	if err := c.want(3, 3); err != nil {
		return err
	}
	_, err := s.slack.Say(userID(c.args[0]), channelID(c.args[1]), "", c.args[2])
	return err
}

// gitlab expire USER lets the access tokens of the user end.
func gitlabExpire(s *story, c *scriptLine) error {
	s.lab.ExpireTokens(c.args[0])
	return nil
}

// kovra hidestokens looks for every token that GitLab has given out, and for every other secret, in all that the program
// has written: its log, its database, Slack, the pages of browsers.
func kovraHidesTokens(s *story, _ *scriptLine) error {
	secrets := []string{oauthSecret, strings.TrimPrefix(oauthKey, "KOVRA_ENCRYPTION_KEY="), "xoxb-sim", "sim-secret", "glpat-sim", storySecret}
	given := 0
	for _, who := range []string{"alice", "bob", "carol"} {
		for _, t := range s.lab.OAuthTokens(who) {
			secrets = append(secrets, t.Access, t.Refresh)
			given++
		}
	}
	if given == 0 {
		return errors.New("GitLab has given no token to anybody: there is nothing to look for")
	}
	places, err := s.written()
	if err != nil {
		return err
	}
	for name, text := range places {
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				return fmt.Errorf("%s holds the secret %q", name, secret)
			}
		}
	}
	return nil
}

// onMR carries out a command about a merge request: PATH IID …
func onMR(do func(s *story, c *scriptLine, project, iid int64) error) storyCommand {
	return func(s *story, c *scriptLine) error {
		if err := c.want(2, -1); err != nil {
			return err
		}
		id, err := s.project(c.args[0])
		if err != nil {
			return err
		}
		iid, err := c.number(1)
		if err != nil {
			return err
		}
		return do(s, c, id, int64(iid))
	}
}

// gitlab open PATH IID BRANCH TITLE [as=USER] [target=BRANCH] opens a merge request; "Draft: " makes a draft of it.
func gitlabOpen(s *story, c *scriptLine, project, iid int64) error {
	if err := c.want(4, 4); err != nil {
		return err
	}
	s.lab.OpenMergeRequest(project, gitlabsim.MergeRequest{
		IID: iid, SourceBranch: c.args[2], TargetBranch: cmp.Or(c.options["target"], "main"), Title: c.args[3], Draft: strings.HasPrefix(c.args[3], "Draft: "),
	}, c.as())
	return nil
}

// turnMR is a command that does one thing to a merge request.
func turnMR(do func(s *gitlabsim.Server, project, iid int64, user string)) storyCommand {
	return onMR(func(s *story, c *scriptLine, project, iid int64) error {
		do(s.lab, project, iid, c.as())
		return nil
	})
}

// gitlab comment PATH IID TEXT [as=USER] writes in a merge request.
func gitlabComment(s *story, c *scriptLine, project, iid int64) error {
	s.lab.Comment(project, iid, c.as(), c.args[2])
	return nil
}

// gitlab notes PATH IID prints what is written in a merge request.
func gitlabNotes(s *story, c *scriptLine, project, iid int64) error {
	var lines []string
	for _, n := range s.lab.Notes(project, iid) {
		lines = append(lines, n.Author+": "+n.Body)
	}
	c.out(s.plain(strings.Join(lines, "\n")))
	return nil
}

// gitlab saysin PATH IID TEXT waits until somebody has written that in a merge request.
func gitlabSaysIn(s *story, c *scriptLine, project, iid int64) error {
	said := ""
	if !s.until(func() bool {
		said = ""
		for _, n := range s.lab.Notes(project, iid) {
			said += n.Author + ": " + n.Body + "\n"
		}
		return strings.Contains(said, c.args[2])
	}) {
		return fmt.Errorf("it was not said:\n%s", said)
	}
	return nil
}

// gitlab deploy PATH REF ENVIRONMENT STATUS [as=USER] makes a deployment, or moves the newest one of the environment to another status.
func gitlabDeploy(s *story, c *scriptLine) error {
	if err := c.want(4, 4); err != nil {
		return err
	}
	project, err := s.project(c.args[0])
	if err != nil {
		return err
	}
	key := c.args[0] + " " + c.args[2]
	if id, ok := s.deployed[key]; ok {
		s.lab.SetDeployment(project, id, c.args[3])
		return nil
	}
	d := s.lab.CreateDeployment(project, gitlabsim.Deployment{Ref: c.args[1], Environment: c.args[2], Status: c.args[3]}, c.as())
	if s.deployed == nil {
		s.deployed = map[string]int64{}
	}
	s.deployed[key] = d.ID
	return nil
}

// gitlab approve PATH ENVIRONMENT yes|no [as=USER] answers a deployment that waits for it.
func gitlabApproveDeployment(s *story, c *scriptLine) error {
	if err := c.want(3, 3); err != nil {
		return err
	}
	project, err := s.project(c.args[0])
	if err != nil {
		return err
	}
	s.lab.ApproveDeployment(project, s.deployed[c.args[0]+" "+c.args[1]], c.as(), c.args[2] == "yes", "")
	return nil
}

// gitlab publish PATH TAG NAME TEXT makes a release of a tag.
func gitlabPublish(s *story, c *scriptLine) error {
	if err := c.want(4, 4); err != nil {
		return err
	}
	project, err := s.project(c.args[0])
	if err == nil {
		s.lab.CreateRelease(project, gitlabsim.Release{Tag: c.args[1], Name: c.args[2], Description: c.args[3]})
	}
	return err
}

// gitlab untag PATH TAG deletes a tag.
func gitlabUntag(s *story, c *scriptLine) error {
	if err := c.want(2, 2); err != nil {
		return err
	}
	project, err := s.project(c.args[0])
	if err == nil {
		s.lab.DeleteTag(project, c.args[1], c.as())
	}
	return err
}
