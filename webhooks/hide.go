package webhooks

import (
	"bytes"
	"encoding/json"
	"regexp"
)

// hasVariables finds a list of variables that is not empty. Most deliveries have none,
// and are stored as they came.
var hasVariables = regexp.MustCompile(`"variables"\s*:\s*\[\s*\{`)

// hidden stands in the journal for the value of a variable.
var hidden = json.RawMessage(`"[hidden]"`)

// hideValues takes the values of pipeline variables out of a pipeline event. GitLab
// sends them along, they may be secrets, and nobody here needs them: only their
// names may be kept. What cannot be read is returned as it came.
func hideValues(body []byte) []byte {
	if !bytes.Contains(body, []byte(`"variables"`)) || !hasVariables.Match(body) {
		return body
	}
	out, err := within(body, "object_attributes", func(attrs json.RawMessage) (json.RawMessage, error) {
		return within(attrs, "variables", hideEach)
	})
	if err != nil {
		return body
	}
	return out
}

// within changes one member of a JSON object. An object without it stays as it is.
func within(object json.RawMessage, name string, change func(json.RawMessage) (json.RawMessage, error)) (json.RawMessage, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(object, &members); err != nil {
		return nil, err
	}
	old, ok := members[name]
	if !ok {
		return object, nil
	}
	changed, err := change(old)
	if err != nil {
		return nil, err
	}
	members[name] = changed
	return json.Marshal(members)
}

func hideEach(list json.RawMessage) (json.RawMessage, error) {
	var variables []json.RawMessage
	if err := json.Unmarshal(list, &variables); err != nil {
		return nil, err
	}
	for i, v := range variables {
		var err error
		if variables[i], err = within(v, "value", func(json.RawMessage) (json.RawMessage, error) { return hidden, nil }); err != nil {
			return nil, err
		}
	}
	return json.Marshal(variables)
}
