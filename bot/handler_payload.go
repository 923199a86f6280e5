package bot

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"

	"kovra.dev/chatops/internal/kovra"
)

// payload is what we need of Slack's interaction payloads. They grow and change their
// details, so it is read field by field, and what has another shape counts as absent.
type payload struct {
	Type        string `json:"type"`
	CallbackID  string `json:"callback_id"` // of a shortcut
	TriggerID   string `json:"trigger_id"`
	ResponseURL string `json:"response_url"`
	User        struct {
		ID       string `json:"id"`
		Username string `json:"username"`
		Name     string `json:"name"`
		TeamID   string `json:"team_id"`
	} `json:"user"`
	Team struct {
		ID           string `json:"id"`
		EnterpriseID string `json:"enterprise_id"`
	} `json:"team"`
	Enterprise struct {
		ID string `json:"id"`
	} `json:"enterprise"`
	Channel struct {
		ID string `json:"id"`
	} `json:"channel"`
	Container struct {
		Type        string `json:"type"`
		MessageTS   string `json:"message_ts"`
		ThreadTS    string `json:"thread_ts"`
		ChannelID   string `json:"channel_id"`
		IsEphemeral bool   `json:"is_ephemeral"`
		ViewID      string `json:"view_id"`
	} `json:"container"`
	Message struct {
		TS       string `json:"ts"`
		ThreadTS string `json:"thread_ts"`
	} `json:"message"`
	Actions []clicked `json:"actions"`
	View    struct {
		ID              string `json:"id"`
		Type            string `json:"type"`
		Hash            string `json:"hash"` // another one each time that the view changes
		CallbackID      string `json:"callback_id"`
		PrivateMetadata string `json:"private_metadata"`
		State           struct {
			Values map[string]map[string]filled `json:"values"`
		} `json:"state"`
	} `json:"view"`

	// Of a type-ahead query.
	ActionID string `json:"action_id"`
	Value    string `json:"value"`
}

// clicked is one element that was used.
type clicked struct {
	ActionID string `json:"action_id"`
	Type     string `json:"type"`
	Value    string `json:"value"`
	Selected struct {
		Value string `json:"value"`
	} `json:"selected_option"`
}

// filled is what stands in one field of a modal.
type filled struct {
	Value    string `json:"value"`
	Selected struct {
		Value string `json:"value"`
	} `json:"selected_option"`
	Choices []struct {
		Value string `json:"value"`
	} `json:"selected_options"`
}

// readPayload fails only for what is no JSON object.
func readPayload(b []byte) (payload, error) {
	var p payload
	if err := tolerantly(b, &p); err != nil {
		return p, &kovra.Error{Kind: kovra.Invalid, Public: saysOldButton, Err: fmt.Errorf("read interaction: %w", err)}
	}
	return p, nil
}

// tolerantly decodes JSON. Fields of another type than expected stay empty.
func tolerantly(b []byte, v any) error {
	err := json.Unmarshal(b, v)
	if _, other := errors.AsType[*json.UnmarshalTypeError](err); other {
		return nil
	}
	return err
}

// asker says who did it and where.
func (p *payload) asker() asker {
	a := asker{
		person:  p.person(),
		channel: cmp.Or(p.Channel.ID, p.Container.ChannelID),
		thread:  cmp.Or(p.Container.ThreadTS, p.Message.ThreadTS),
		message: cmp.Or(p.Container.MessageTS, p.Message.TS),
		private: p.Container.IsEphemeral,
		reply:   p.ResponseURL,
		trigger: p.TriggerID,
		view:    p.View.ID,
	}
	if a.thread == a.message {
		a.thread = "" // the parent: it was clicked in the channel, and the answer belongs there
	}
	if p.View.Type == viewHome {
		a.home, a.view = true, "" // only the loop of App Home changes what is shown there
	}
	if at, ok := a.place(p.View.PrivateMetadata); ok && a.channel == "" {
		a.channel, a.metadata, a.home = at.Channel, p.View.PrivateMetadata, at.Home
	}
	return a
}

// person says who it was. The enterprise in a payload is that of the workspace where it
// happened; it is theirs only if the workspace is. In a channel that is shared with
// others it must not lend them our name.
func (p *payload) person() kovra.Person {
	who := kovra.Person{ID: p.User.ID, Name: cmp.Or(p.User.Username, p.User.Name), Team: cmp.Or(p.User.TeamID, p.Team.ID)}
	if who.Team == p.Team.ID {
		who.Enterprise = cmp.Or(p.Enterprise.ID, p.Team.EnterpriseID)
	}
	return who
}

// has reports whether the modal has a field.
func (p *payload) has(block string) bool {
	_, ok := p.View.State.Values[block][block]
	return ok
}

// field is what stands in a field of a modal, typed or chosen.
func (p *payload) field(block string) string {
	f := p.View.State.Values[block][block]
	return cmp.Or(f.Value, f.Selected.Value)
}

// choices are what is chosen in a field of which several can be.
func (p *payload) choices(block string) []string {
	var out []string
	for _, c := range p.View.State.Values[block][block].Choices {
		out = append(out, c.Value)
	}
	return out
}
