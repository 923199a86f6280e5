package bot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/slack-go/slack"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// homePatience is how long a Home waits to learn who may see what.
const homePatience = 10 * time.Second

// HomePublisher is what App Home needs of Slack; [Client] has it.
type HomePublisher interface {
	PublishHome(ctx context.Context, user, hash string, view slack.HomeTabViewRequest) (mark string, err error)
}

// HomesOptions are what [Homes] works with; DB, Slack and Gate are required.
type HomesOptions struct {
	DB    *storage.DB
	Slack HomePublisher
	Gate  Gate
	// Hook is what is told to those who must set up a webhook by hand.
	Hook Hook
	// NoBuilds says why builds are off, as half a sentence; "": they are on.
	NoBuilds string
	// ConnectURL is where a person connects their GitLab account; nil: nobody needs to.
	ConnectURL func(ctx context.Context, p kovra.Person) (string, error)
	Now        func() time.Time // nil: time.Now
	Log        *slog.Logger     // nil: nothing is logged
}

// Homes makes each App Home show the state to those who look at it. It is the only one that publishes there.
type Homes struct {
	HomesOptions

	budget *publishBudget
}

// NewHomes returns the one that is needed for a workspace; it does nothing until it is called.
func NewHomes(o HomesOptions) *Homes {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Homes{HomesOptions: o, budget: newPublishBudget()}
}

// Reconcile makes one person's Home show what it should. It does so at once when the person has just done something,
// else every few seconds; after says when to come again. Nobody is asked for a Home that nobody looks at: it is
// shown anew when it is opened again.
func (h *Homes) Reconcile(ctx context.Context, id int64) (after time.Duration, err error) {
	after, err = h.pass(ctx, id, false)
	if isHashConflict(err) {
		// Something else is shown than what we remember. The state is read again, and what it says counts.
		after, err = h.pass(ctx, id, true)
	}
	if err != nil {
		return 0, fmt.Errorf("show home %d: %w", id, err)
	}
	return after, nil
}

func (h *Homes) pass(ctx context.Context, id int64, anyway bool) (time.Duration, error) {
	home, act, err := h.read(ctx, id)
	if kovra.KindOf(err) == kovra.NotFound {
		return 0, nil
	}
	if err != nil || home.ShownVersion >= home.Version {
		return 0, err
	}
	if anyway {
		home.Hash, home.Digest = "", ""
	}
	news := home.SeenAt
	if act.FinishedAt.After(news) {
		news = act.FinishedAt
	}
	if h.Now().Sub(news) >= storage.Looking {
		return 0, h.record(ctx, home, home.Hash, home.Digest, false)
	}
	urgent := anyway || !news.Before(h.budget.lastOf(home.User).Truncate(time.Millisecond))
	if wait := h.budget.rest(home.User, h.Now()); wait > 0 && !urgent {
		return wait, nil
	}
	v, err := h.look(ctx, home)
	if err == nil {
		return h.show(ctx, v, urgent)
	}
	if kovra.KindOf(err) == kovra.Unavailable && urgent {
		// Better to say what is being waited for than nothing; the state is shown by a later pass.
		_, err = h.show(ctx, HomeView{Home: home, Waits: kovra.PublicText(err)}, urgent)
		return publishGap, err
	}
	return 0, err
}

// read returns a Home, and the action whose end it tells; a zero one if there is none.
func (h *Homes) read(ctx context.Context, id int64) (home kovra.Home, act kovra.Action, err error) {
	err = h.DB.Read(ctx, func(tx *storage.Tx) error {
		if home, err = tx.Home(id); err != nil || home.Action == 0 {
			return err
		}
		act, err = tx.Action(home.Action)
		return orMissing(err)
	})
	return home, act, err
}

// show publishes a picture, unless it is the one that is there, and records it.
func (h *Homes) show(ctx context.Context, v HomeView, urgent bool) (time.Duration, error) {
	home := v.Home
	page := renderHome(v)
	digest, err := homeDigest(page)
	if err != nil {
		return 0, err
	}
	mark := home.Hash
	if digest != home.Digest {
		if wait := h.budget.take(home.User, urgent, h.Now()); wait > 0 {
			return wait, nil
		}
		mark, err = h.Slack.PublishHome(ctx, home.User, home.Hash, page)
	}
	if isRefusal(err) && !isHashConflict(err) {
		h.Log.ErrorContext(ctx, "slack refused an app home", "user", home.User, "err", err)
		mark, digest, err = "", "", nil // the same would be refused again
	}
	if err != nil {
		return 0, err
	}
	if v.Waits != "" {
		home.Version = home.ShownVersion // the state is not shown yet
	}
	return 0, h.record(ctx, home, mark, digest, v.asksToConnect())
}

// record notes what is shown. It outlives the pass: what was done must be known. Whom the Home asks to connect is not
// asked elsewhere, too.
func (h *Homes) record(ctx context.Context, home kovra.Home, mark, digest string, asked bool) error {
	return h.DB.Update(context.WithoutCancel(ctx), func(tx *storage.Tx) (err error) {
		if asked {
			_, err = tx.ClaimPrompt(home.Action)
		}
		return errors.Join(err, tx.SetHomeShown(home.ID, home.Version, mark, digest))
	})
}

func homeDigest(page slack.HomeTabViewRequest) (string, error) {
	raw, err := json.Marshal(page)
	if err != nil {
		return "", fmt.Errorf("encode app home: %w", err)
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:]), nil
}

// look reads everything that a Home shows, as far as its person may see it now.
func (h *Homes) look(ctx context.Context, home kovra.Home) (HomeView, error) {
	v := HomeView{Home: home, NoBuilds: h.NoBuilds}
	who := kovra.Person{ID: home.User, Team: home.Team}
	bounded, cancel := context.WithTimeout(ctx, homePatience)
	defer cancel()
	apps, err := h.Gate.Visible(bounded, who)
	if kind := kovra.KindOf(err); kind == kovra.Denied || kind == kovra.Conflict {
		v.Refused = kovra.PublicText(err)
		return v, nil
	}
	if err != nil {
		return v, gateError(err)
	}
	v.Apps = apps
	if home.App == "" && len(apps) == 1 {
		if v.Home, err = h.settleOn(ctx, home, apps[0].Name); err != nil {
			return v, err
		}
	}
	if v.Gone, err = h.gone(bounded, who, &v); err != nil {
		return v, err
	}
	err = h.DB.Read(ctx, func(tx *storage.Tx) error { return errors.Join(h.readDeed(tx, &v), readHomePage(tx, &v)) })
	if err == nil && v.asksToConnect() && h.ConnectURL != nil {
		v.Connect, err = h.ConnectURL(ctx, who)
	}
	return v, err
}

// settleOn chooses the only app there is for somebody who has chosen none.
func (h *Homes) settleOn(ctx context.Context, home kovra.Home, app string) (kovra.Home, error) {
	err := h.DB.Update(ctx, func(tx *storage.Tx) error {
		now, err := tx.Home(home.ID)
		if err != nil || now.App != "" {
			return err
		}
		now.App = app
		return tx.LookAtHome(now)
	})
	home.App = app
	return home, err
}

// gone reports whether the chosen app is not there, or not for this person. One that only the list lacks, because it is cut short,
// is added to it.
func (h *Homes) gone(ctx context.Context, who kovra.Person, v *HomeView) (bool, error) {
	if v.Home.App == "" {
		return false, nil
	}
	err := gateError(h.Gate.May(ctx, who, kovra.MayRead, v.Home.App))
	if kind := kovra.KindOf(err); kind == kovra.Denied || kind == kovra.Conflict {
		return true, nil
	}
	if _, listed := v.app(); listed || err != nil {
		return false, err
	}
	err = h.DB.Read(ctx, func(tx *storage.Tx) error {
		a, err := tx.App(v.Home.App)
		if err == nil {
			v.Apps = append(v.Apps, a)
		}
		return err
	})
	if kovra.KindOf(err) == kovra.NotFound {
		return true, nil
	}
	return false, err
}

// readDeed reads what became of the newest thing that was done here.
func (h *Homes) readDeed(tx *storage.Tx, v *HomeView) error {
	if v.Home.Action == 0 {
		return nil
	}
	a, err := tx.Action(v.Home.Action)
	if err != nil {
		return orMissing(err)
	}
	d, err := readDeed(tx, a, h.Hook)
	v.Deed = &d
	return err
}

// readHomePage reads the page of the chosen app, or, where none is, what the overview says of each.
func readHomePage(tx *storage.Tx, v *HomeView) (err error) {
	app, ok := v.app()
	if !ok || v.Gone {
		for _, a := range v.Apps[:min(len(v.Apps), maxHomeApps)] {
			row, err := appRow(tx, a)
			if err != nil {
				return err
			}
			v.Rows = append(v.Rows, row)
		}
		return nil
	}
	v.List.App, v.Builds.App = app, app
	if app.Project == 0 {
		return nil
	}
	at := Place{App: app.Name, Ref: v.Home.Ref, Before: v.Home.Before, After: v.Home.After}
	if v.Home.Tab == kovra.HomeBuilds {
		last, err := tx.LastDeployment(app.Name)
		if orMissing(err) != nil {
			return err
		}
		if last.ID != 0 {
			v.Last = &last
		}
		v.Builds, err = readBuildList(tx, app, at, HomePage)
		return err
	}
	v.List, err = readList(tx, app, at, HomePage)
	return err
}

// asksToConnect reports whether what the person did waits for them to connect their GitLab account.
func (v HomeView) asksToConnect() bool {
	return v.Deed != nil && v.Deed.Action.State == kovra.ActionWaits && v.Deed.Action.By.ID == v.Home.User
}

// app returns the app that the Home is about, if its person sees it.
func (v HomeView) app() (kovra.App, bool) {
	i := slices.IndexFunc(v.Apps, func(a kovra.App) bool { return a.Name == v.Home.App })
	if i < 0 {
		return kovra.App{}, false
	}
	return v.Apps[i], true
}
