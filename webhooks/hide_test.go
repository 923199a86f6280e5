package webhooks

import "testing"

func TestHideValues(t *testing.T) {
	tests := []struct{ name, body, want string }{
		{"no variables", `{"object_attributes":{"id":1,"variables":[]}}`, `{"object_attributes":{"id":1,"variables":[]}}`},
		{
			"values", `{"object_attributes": {"variables": [ {"key":"A","value":"x"}, {"key":"B","value":{"y":1}} ]},"z":1.50}`,
			`{"object_attributes":{"variables":[{"key":"A","value":"[hidden]"},{"key":"B","value":"[hidden]"}]},"z":1.50}`,
		},
		{"no value", `{"object_attributes":{"variables":[{"key":"A"}]}}`, `{"object_attributes":{"variables":[{"key":"A"}]}}`},
		{"elsewhere", `{"a":{"variables":[{"key":"A","value":"x"}]}}`, `{"a":{"variables":[{"key":"A","value":"x"}]}}`},
		{"of another shape", `{"object_attributes":{"variables":[{"key":"A"},7]}}`, `{"object_attributes":{"variables":[{"key":"A"},7]}}`},
		{"no object", `["variables",{"variables":[{"value":"x"}]}]`, `["variables",{"variables":[{"value":"x"}]}]`},
		{"no JSON", `"variables":[{"value":"x"`, `"variables":[{"value":"x"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := string(hideValues([]byte(tt.body))); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}
