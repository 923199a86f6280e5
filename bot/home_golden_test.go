package bot

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/slack-go/slack"
	"go.yaml.in/yaml/v3"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/internal/slacksim"
)

// goldenHome is view.yaml of a Home, laid over base.yaml.
type goldenHome struct {
	App     kovra.App
	Project kovra.Project
	View    HomeView
	Runs    []kovra.Run
	Builds  []kovra.Build
	Deed    *Deed
}

// home is the view that storage would give.
func (in goldenHome) home() HomeView {
	v := in.View
	v.List.App, v.List.Project, v.Builds.App, v.Builds.Project = in.App, in.Project, in.App, in.Project
	v.List.Runs, v.Builds.Builds = slices.Clone(in.Runs), slices.Clone(in.Builds)
	for i := range v.Builds.Builds {
		v.Builds.Builds[i].LogURL = fmt.Sprintf("https://kovra.example.com/logs/b%d", v.Builds.Builds[i].ID)
	}
	if in.Deed != nil {
		d := *in.Deed
		d.App, d.Project = in.App, in.Project
		v.Deed = &d
	}
	return v
}

// TestHomeGolden shows Homes as files; -update rewrites what is wanted of them.
func TestHomeGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/home/*.txtar")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d golden files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { checkHomeGolden(t, file) })
	}
}

func checkHomeGolden(t *testing.T, file string) {
	t.Helper()
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string][]byte{}
	for _, f := range archive.Files {
		parts[f.Name] = f.Data
	}
	in := readHome(t, parts["view.yaml"])
	page := renderHome(in.home())
	if err := CheckHome(page); err != nil {
		t.Errorf("the Home breaks limits: %v", err)
	}
	raw := homeJSON(t, page)
	if again := homeJSON(t, renderHome(in.home())); !bytes.Equal(raw, again) {
		t.Error("a second rendering of the same state differs")
	}
	got := []txtar.File{{Name: "view.yaml", Data: parts["view.yaml"]}, {Name: "want.txt", Data: homePicture(t, page)}, {Name: "want.json", Data: raw}}
	if *update {
		archive.Files = got
		if err := os.WriteFile(file, txtar.Format(archive), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	for _, f := range got {
		if diff := cmp.Diff(string(parts[f.Name]), string(f.Data)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", f.Name, diff)
		}
	}
}

func readHome(t *testing.T, data []byte) (in goldenHome) {
	t.Helper()
	base, err := os.ReadFile("testdata/home/base.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, layer := range [][]byte{base, data} {
		d := yaml.NewDecoder(bytes.NewReader(layer))
		d.KnownFields(true)
		if err := d.Decode(&in); err != nil {
			t.Fatal(err)
		}
	}
	return in
}

func homeJSON(t *testing.T, page slack.HomeTabViewRequest) []byte {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(page); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// homePicture is what a person reads, as the simulated Slack shows it after it took the Home.
func homePicture(t *testing.T, page slack.HomeTabViewRequest) []byte {
	t.Helper()
	sim := slacksim.New(slacksim.Options{Now: func() time.Time { return time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC) }})
	sim.AddUser(slacksim.User{ID: "U1", Name: "alice"})
	sim.AddUser(slacksim.User{ID: "U2", Name: "bob"})
	sim.AddChannel(slacksim.Channel{ID: "C1", Name: "deploys", Members: []string{"U1", "U2"}})
	if _, err := deskClient(t, sim).PublishHome(t.Context(), "U1", "", page); err != nil {
		t.Fatal(err)
	}
	v, _ := sim.HomeView("U1")
	return []byte(slacksim.ViewText(v) + "\n")
}
