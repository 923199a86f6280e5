package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"kovra.dev/chatops/internal/slacksim"
)

// slackCommands act and look as people in Slack do.
var slackCommands = map[string]storyCommand{
	"user":    slackUser,
	"channel": slackChannel,
	"invite":  slackInvite,
	"kick":    slackKick,
	"archive": slackArchive,
	"share":   slackShare,
	"socket":  slackSocket,
	"slash":   slackSlash,
	"click":   slackClick,
	"rush":    slackRush,
	"keep":    slackKeep,
	"submit":  slackSubmit,
	"type":    slackType,
	"view":    slackView,
	"close":   slackClose,
	"private": slackPrivate,

	"mention":      slackMention,
	"say":          slackSay,
	"mentionagain": slackMentionAgain,
	"edits":        slackEdits,
	"shortcut":     slackShortcut,
	"home":         slackHome,
	"homeshows":    slackHomeShows,
	"homeclick":    slackHomeClick,
	"homechoose":   slackHomeChoose,
	"email":        slackEmail,
	"leave":        slackLeave,

	"direct": slackDirect,
	"hears":  slackHears,
	"wait":   slackWait,
	"lacks":  slackLacks,
	"show":   slackShow,
	"links":  slackLinks,
	"count":  slackCount,
	"forget": func(s *story, _ *scriptLine) error { s.slack.ForgetCalls(); return nil },
	"fault":  slackFault,
	"rotate": slackRotate,
	"down":   func(s *story, _ *scriptLine) error { s.slack.SetDown(true); return nil },
	"up":     func(s *story, _ *scriptLine) error { s.slack.SetDown(false); return nil },
}

// slack user NAME [admin] [foreign] [bot] adds a person.
func slackUser(s *story, c *scriptLine) error {
	u := slacksim.User{ID: userID(c.args[0]), Name: c.args[0]}
	for _, word := range c.args[1:] {
		switch word {
		case "admin":
			u.IsAdmin = true
		case "foreign":
			u.TeamID = "T0OTHER"
		case "bot":
			u.IsBot = true
		default:
			return fmt.Errorf("no kind of user: %s", word)
		}
	}
	s.slack.AddUser(u)
	return nil
}

// slack channel NAME MEMBER... [private|archived|shared] adds a channel.
func slackChannel(s *story, c *scriptLine) error {
	name := strings.TrimPrefix(c.args[0], "#")
	ch := slacksim.Channel{ID: channelID(name), Name: name}
	for _, word := range c.args[1:] {
		switch word {
		case "private":
			ch.Private = true
		case "archived":
			ch.Archived = true
		case "shared":
			ch.ExtShared = true
		default:
			ch.Members = append(ch.Members, userID(word))
		}
	}
	s.slack.AddChannel(ch)
	return nil
}

// slack invite CHANNEL NAME lets somebody in; the bot is called kovra.
func slackInvite(s *story, c *scriptLine) error {
	id := userID(c.args[1])
	if c.args[1] == "kovra" {
		id = slacksim.BotUserID
	}
	channel := channelID(c.args[0])
	s.slack.Invite(channel, id)
	return s.movedEvent(channel, id, "member_joined_channel")
}

// slack kick CHANNEL NAME makes somebody leave.
func slackKick(s *story, c *scriptLine) error {
	channel, id := channelID(c.args[0]), userID(c.args[1])
	s.slack.SetChannel(channel, func(ch *slacksim.Channel) {
		ch.Members = slices.DeleteFunc(ch.Members, func(m string) bool { return m == id })
	})
	return s.movedEvent(channel, id, "member_left_channel")
}

// movedEvent tells the bot who joined or left, where it is a member itself.
func (s *story) movedEvent(channel, user, kind string) error {
	if ch, _ := s.slack.Channel(channel); s.running() == nil || !slices.Contains(ch.Members, slacksim.BotUserID) {
		return nil
	}
	return s.slack.Event(s.ctx, map[string]any{"type": kind, "user": user, "channel": channel, "channel_type": "C", "team": slacksim.TeamID})
}

// slack archive CHANNEL
func slackArchive(s *story, c *scriptLine) error {
	s.slack.SetChannel(channelID(c.args[0]), func(ch *slacksim.Channel) { ch.Archived = true })
	return nil
}

// slack share CHANNEL lets another organisation into a channel.
func slackShare(s *story, c *scriptLine) error { return s.slack.Share(s.ctx, channelID(c.args[0])) }

// slack slash WHO CHANNEL LINE types a command; the output is the private answer. With !
// nothing but an error may come back. "direct" is where who talks with the bot, which Slack opens for whoever looks there.
func slackSlash(s *story, c *scriptLine) error {
	if err := c.want(3, 3); err != nil {
		return err
	}
	line := strings.ReplaceAll(c.args[2], `\n`, "\n")
	who := userID(c.args[0])
	if c.args[1] == "direct" && s.directChannel(who) == "" {
		s.slack.AddChannel(slacksim.Channel{ID: "D" + who, Direct: true, Members: []string{who, slacksim.BotUserID}})
	}
	seen, err := s.slack.Slash(s.ctx, who, s.place(who, c.args[1]), line)
	return s.seen(c, seen, err)
}

// seen prints what a person saw when an action returned.
func (s *story) seen(c *scriptLine, seen slacksim.Seen, err error) error {
	if err != nil {
		if c.neg {
			c.out(err.Error())
			return nil
		}
		return err
	}
	var lines []string
	for _, m := range seen.Ephemerals {
		lines = append(lines, slacksim.Text(m))
	}
	if seen.Answer != nil && !seen.Answer.Ephemeral {
		lines = append(lines, "(in the channel) "+slacksim.Text(*seen.Answer))
	}
	if seen.View != nil {
		lines = append(lines, slacksim.ViewText(*seen.View))
	}
	for _, block := range slices.Sorted(maps.Keys(seen.Errors)) {
		lines = append(lines, block+": "+seen.Errors[block])
	}
	if log, ok := strings.CutPrefix(seen.URL, s.publicURL+"/logs/"); ok {
		link, _, _ := strings.Cut(log, "#")
		c.ts.Setenv("LOG", "/logs/"+link)
	}
	if seen.URL != "" {
		lines = append(lines, "opens "+seen.URL)
	}
	if seen.Error != "" {
		lines = append(lines, "error: "+seen.Error)
	}
	if (seen.Error != "") != c.neg {
		return fmt.Errorf("Slack says %q, the program answered %d %s", seen.Error, seen.Status, seen.Body)
	}
	c.out(s.plain(strings.Join(lines, "\n")))
	return nil
}

// slack click WHO CHANNEL BUTTON [in=TEXT] [old=NAME] presses a button: of the newest message
// of the channel, thread or private, that has it (and the text), waiting for one; in=private
// and in=modal look only there. old=NAME presses it on a picture kept before.
func slackClick(s *story, c *scriptLine) error {
	if err := c.want(3, 3); err != nil {
		return err
	}
	who, button := userID(c.args[0]), c.args[2]
	if name := c.options["old"]; name != "" {
		old, ok := s.kept[name]
		if !ok {
			return fmt.Errorf("nothing kept as %s", name)
		}
		seen, err := s.slack.ClickStale(s.ctx, who, old, button)
		return s.seen(c, seen, err)
	}
	if c.options["in"] == "modal" {
		v, ok := s.slack.View(who)
		if !ok {
			return errors.New("no modal is open")
		}
		seen, err := s.slack.Click(s.ctx, who, v.Ref(), button)
		return s.seen(c, seen, err)
	}
	var m slacksim.Message
	var err error
	look := func() bool { m, err = s.findButton(c, who, button); return err == nil }
	if c.neg && !look() {
		return nil
	}
	if !s.eventually(look) {
		return err
	}
	seen, err := s.slack.Click(s.ctx, who, m.Ref(), button)
	if now, changed := s.replaced(who, m); changed && err == nil {
		seen.Ephemerals = append(seen.Ephemerals, now)
	}
	return s.seen(c, seen, err)
}

// replaced is what a private message became by a click on it.
func (s *story) replaced(who string, old slacksim.Message) (slacksim.Message, bool) {
	for _, m := range s.slack.Ephemerals(who) {
		if old.Ephemeral && m.TS == old.TS {
			return m, slacksim.Text(m) != slacksim.Text(old)
		}
	}
	return slacksim.Message{}, false
}

// findButton looks for the newest message that has the button.
func (s *story) findButton(c *scriptLine, who, button string) (slacksim.Message, error) {
	name, _, _ := strings.Cut(button, "#")
	where := c.options["in"]
	channel := s.place(who, c.args[1])
	var all []slacksim.Message
	if where != "private" {
		all = s.messages(channel)
	}
	if where == "" || where == "private" {
		for _, m := range s.slack.Ephemerals(who) {
			if m.Channel == channel && where == "private" {
				all = append(all, m)
			}
		}
	}
	for _, m := range slices.Backward(all) {
		if !slices.Contains(slacksim.Buttons(m.Tree), name) {
			continue
		}
		if where == "" || where == "private" || strings.Contains(slacksim.Text(m), where) {
			return m, nil
		}
	}
	return slacksim.Message{}, fmt.Errorf("no message with [%s]:\n%s", button, s.picture(c.args[1]))
}

// messages are all of a channel, threads included, oldest first; a broadcast reply once.
func (s *story) messages(channel string) []slacksim.Message {
	var all []slacksim.Message
	for _, m := range s.slack.Messages(channel) {
		if m.ThreadTS != "" && m.ThreadTS != m.TS {
			continue
		}
		all = append(all, m)
		all = append(all, s.slack.Replies(channel, m.TS)...)
	}
	slices.SortStableFunc(all, func(a, b slacksim.Message) int { return strings.Compare(a.TS, b.TS) })
	return all
}

// slack rush CHANNEL BUTTON WHO... lets several people press the same button at the same
// moment; their answers are the output, by name.
func slackRush(s *story, c *scriptLine) error {
	if err := c.want(3, -1); err != nil {
		return err
	}
	people := c.args[2:]
	m, err := s.findButton(&scriptLine{args: []string{"", c.args[0]}, options: c.options}, userID(people[0]), c.args[1])
	if err != nil {
		return err
	}
	texts := make([]string, len(people))
	var all sync.WaitGroup
	for i, who := range people {
		all.Go(func() {
			seen, err := s.slack.ClickStale(s.ctx, userID(who), m, c.args[1])
			texts[i] = who + ": " + seen.Text()
			if err != nil {
				texts[i] += err.Error()
			}
		})
	}
	all.Wait()
	c.out(s.plain(strings.Join(texts, "\n")))
	return nil
}

// slack keep NAME CHANNEL TEXT [in=WHO] waits for a message with the text and keeps the
// picture of the newest one, or of the newest private one of somebody.
func slackKeep(s *story, c *scriptLine) error {
	if err := c.want(3, 3); err != nil {
		return err
	}
	found := s.eventually(func() bool {
		all := s.messages(channelID(c.args[1]))
		if who := c.options["in"]; who != "" {
			all = s.slack.Ephemerals(userID(who))
		}
		for _, m := range slices.Backward(all) {
			if strings.Contains(s.plain(slacksim.Text(m)), c.args[2]) {
				s.kept[c.args[0]] = m
				return true
			}
		}
		return false
	})
	if !found {
		return fmt.Errorf("no message with %q:\n%s", c.args[2], s.picture(c.args[1]))
	}
	return nil
}

// slack submit WHO FIELD=VALUE... fills in the open modal and submits it.
func slackSubmit(s *story, c *scriptLine) error {
	who := userID(c.args[0])
	v, ok := s.slack.View(who)
	if !ok {
		return errors.New("no modal is open")
	}
	values := map[string]string{}
	for _, word := range c.args[1:] {
		field, value, ok := strings.Cut(word, "=")
		if !ok {
			return fmt.Errorf("%q is not FIELD=VALUE", word)
		}
		values[field] = strings.ReplaceAll(value, `\n`, "\n")
	}
	seen, err := s.slack.Submit(s.ctx, who, v.ID, values)
	return s.seen(c, seen, err)
}

// slack type WHO FIELD QUERY types into a field of the open modal; the output is what is offered.
func slackType(s *story, c *scriptLine) error {
	if err := c.want(3, 3); err != nil {
		return err
	}
	who := userID(c.args[0])
	v, ok := s.slack.View(who)
	if !ok {
		return errors.New("no modal is open")
	}
	options, err := s.slack.Options(s.ctx, who, v.Ref(), c.args[1], c.args[2])
	if err != nil {
		return err
	}
	var lines []string
	for _, o := range options {
		line := o.Text.Text
		if o.Group != "" {
			line = o.Group + ": " + line
		}
		lines = append(lines, line)
	}
	c.out(strings.Join(lines, "\n"))
	return nil
}

// slack view WHO prints the open modal; with ! none may be open.
func slackView(s *story, c *scriptLine) error {
	v, ok := s.slack.View(userID(c.args[0]))
	if ok == c.neg {
		return fmt.Errorf("a modal is open: %t", ok)
	}
	if ok {
		c.out(s.plain(slacksim.ViewText(v)))
	}
	return nil
}

// slack close WHO closes the open modal.
func slackClose(s *story, c *scriptLine) error {
	who := userID(c.args[0])
	v, ok := s.slack.View(who)
	if !ok {
		return errors.New("no modal is open")
	}
	_, err := s.slack.CloseView(s.ctx, who, v.ID)
	return err
}

// slack private WHO prints the newest private message.
func slackPrivate(s *story, c *scriptLine) error {
	all := s.slack.Ephemerals(userID(c.args[0]))
	if len(all) == 0 {
		return errors.New("there is none")
	}
	c.out(s.plain(slacksim.Text(all[len(all)-1])))
	return nil
}

// direct is what the bot wrote to somebody alone.
func (s *story) direct(who string) string {
	var lines []string
	for _, ch := range s.slack.Snapshot(userID(who)).Channels {
		if !ch.Direct {
			continue
		}
		for _, m := range ch.Messages {
			lines = append(lines, m.Plain)
		}
	}
	slices.Sort(lines)
	return s.plain(strings.Join(lines, "\n"))
}

// slack direct WHO prints the direct messages of the bot, sorted.
func slackDirect(s *story, c *scriptLine) error {
	c.out(s.direct(c.args[0]))
	return nil
}

// slack hears WHO TEXT waits until a private or direct message holds the text.
func slackHears(s *story, c *scriptLine) error {
	if err := c.want(2, 2); err != nil {
		return err
	}
	heard := ""
	return s.await(c.args[1], func() string {
		var lines []string
		for _, m := range s.slack.Ephemerals(userID(c.args[0])) {
			lines = append(lines, s.plain(slacksim.Text(m)))
		}
		heard = strings.Join(append(lines, s.direct(c.args[0])), "\n")
		return heard
	})
}

// slack wait CHANNEL TEXT waits until the picture of the channel holds the text.
func slackWait(s *story, c *scriptLine) error {
	if err := c.want(2, 2); err != nil {
		return err
	}
	return s.await(c.args[1], func() string { return s.picture(c.args[0]) })
}

func (s *story) await(text string, picture func() string) error {
	last := ""
	if !s.eventually(func() bool {
		last = picture()
		return strings.Contains(last, text)
	}) {
		return fmt.Errorf("it did not come; what there is:\n%s", last)
	}
	return nil
}

// eventually waits until what is seen in Slack fulfils the condition.
func (s *story) eventually(cond func() bool) bool {
	ctx, cancel := context.WithTimeout(s.ctx, storyPatience)
	defer cancel()
	return s.slack.WaitFor(ctx, cond) == nil
}

// slack lacks CHANNEL TEXT checks that the picture does not hold the text now.
func slackLacks(s *story, c *scriptLine) error {
	if err := c.want(2, 2); err != nil {
		return err
	}
	if picture := s.picture(c.args[0]); strings.Contains(picture, c.args[1]) {
		return fmt.Errorf("it is there:\n%s", picture)
	}
	return nil
}

// slack show CHANNEL prints the picture of a channel: every parent with its replies.
func slackShow(s *story, c *scriptLine) error {
	c.out(s.picture(c.args[0]))
	return nil
}

func (s *story) picture(channel string) string {
	id := channelID(channel)
	var threads []string
	for _, m := range s.slack.Messages(id) {
		if m.ThreadTS != "" && m.ThreadTS != m.TS {
			continue
		}
		threads = append(threads, calm(oldTail.ReplaceAllString(s.plain(s.slack.Thread(id, m.TS)), "")))
	}
	return strings.Join(threads, "\n\n")
}

var (
	replies = regexp.MustCompile(`(?m)^  [↳⇈] `)
	deed    = regexp.MustCompile(`^  ↳ \S+ @`)
	// oldTail is what becomes of the live tail of a build. A build that was quick never had one.
	oldTail = regexp.MustCompile(`(?m)^  ↳   Log(: \d+ lines)? · .*\n`)
)

// calm sorts the replies of a thread that come between two deeds of people: what the
// program says of one moment is said in no certain order.
func calm(thread string) string {
	starts := replies.FindAllStringIndex(thread, -1)
	if len(starts) == 0 {
		return thread
	}
	parts := []string{strings.TrimSuffix(thread[:starts[0][0]], "\n")}
	from := 1
	for i, at := range starts {
		end := len(thread)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		reply := strings.TrimSuffix(thread[at[0]:end], "\n")
		if deed.MatchString(reply) {
			slices.Sort(parts[from:])
			from = len(parts) + 1
		}
		parts = append(parts, reply)
	}
	slices.Sort(parts[from:])
	return strings.Join(parts, "\n")
}

var (
	dates = regexp.MustCompile(`[A-Z][a-z]{2} \d{1,2}, \d{4} \d{1,2}:\d{2} [AP]M`)
	logs  = regexp.MustCompile(`PUBLIC/logs/[\w-]+`)
	pods  = regexp.MustCompile(`\b[a-z]+-[0-9a-f]{10}\b`)
	lives = regexp.MustCompile(`#10\d{3}\b`) // numbers of builds after a restore, which leaves out more with time
	spans = regexp.MustCompile(`( ·| in| after|( ·)? took) (under )?(\d+h )?(\d+m )?\d+s\b`)
)

// plain takes out of a picture what differs from run to run: times, durations and addresses.
func (s *story) plain(text string) string {
	text = dates.ReplaceAllString(text, "DATE")
	text = spans.ReplaceAllString(text, "")
	text = pods.ReplaceAllString(text, "POD")
	text = lives.ReplaceAllString(text, "#AFTER")
	for name, url := range map[string]string{"PUBLIC": s.publicURL, "GITLAB": s.labURL, "SLACK": s.slackURL} {
		text = strings.ReplaceAll(text, url, name)
	}
	return logs.ReplaceAllString(text, "PUBLIC/logs/LINK")
}

// slack links CHANNEL prints the addresses that the messages lead to.
func slackLinks(s *story, c *scriptLine) error {
	var lines []string
	for _, m := range s.messages(channelID(c.args[0])) {
		lines = append(lines, slacksim.Links(m)...)
	}
	for _, who := range c.args[1:] {
		for _, m := range s.slack.Ephemerals(userID(who)) {
			lines = append(lines, slacksim.Links(m)...)
		}
	}
	slices.Sort(lines)
	c.out(s.plain(strings.Join(slices.Compact(lines), "\n")))
	return nil
}

// slack count METHOD N checks how often a method was called with success.
func slackCount(s *story, c *scriptLine) error {
	if err := c.want(2, 2); err != nil {
		return err
	}
	n, err := strconv.Atoi(c.args[1])
	if err != nil {
		return err
	}
	got := 0
	for _, k := range s.slack.Calls() {
		if k.Method == c.args[0] && (k.Outcome == "ok" || k.Outcome == "lost") {
			got++
		}
	}
	if got != n {
		return fmt.Errorf("it was called %d times", got)
	}
	return nil
}

// slack fault KIND METHOD [VALUE] [xN] lets a call go wrong.
func slackFault(s *story, c *scriptLine) error {
	if err := c.want(2, 4); err != nil {
		return err
	}
	value, times := c.faultValue()
	var f slacksim.Fault
	switch method := c.args[1]; c.args[0] {
	case "status":
		code, err := strconv.Atoi(value)
		if err != nil {
			return err
		}
		f = slacksim.Status(method, code)
	case "error":
		f = slacksim.ErrorCode(method, value)
	case "lose":
		f = slacksim.LoseReply(method)
	case "drop":
		f = slacksim.Drop(method)
	case "limit":
		f = slacksim.RateLimit(method, parseDuration(value))
	case "delay":
		f = slacksim.Delay(method, parseDuration(value))
	default:
		return fmt.Errorf("no fault %q", c.args[0])
	}
	s.slack.Fault(f.Times(times))
	return nil
}

// slack rotate TOKEN SIGNING-SECRET gives the app another bot token and signing secret; the old ones are worth nothing from then on.
func slackRotate(s *story, c *scriptLine) error {
	if err := c.want(2, 2); err != nil {
		return err
	}
	s.slack.Rotate(c.args[0], c.args[1], "")
	return nil
}
