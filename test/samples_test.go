package test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestRecordedSamples posts recorded bodies, each as it is: those of the project, with every oddity that call bridges are known for,
// and those of the folder that TALLY_SAMPLES names, if it names one. Bodies with two roots and records without their wrapper are
// refused, and the receiver goes on; the latter are taken with a wrapper. What is kept of all decides the same when it is replayed.
func TestRecordedSamples(t *testing.T) {
	t.Parallel()
	folders := map[string]func(*testing.T, map[string]any){
		"fixtures/records": func(t *testing.T, m map[string]any) {
			if m["name"] == "helpdesk" && (m["participantsMax"] != 3.0 || m["durationSeconds"] != 3955.0 || m["conflicts"] != 1.0 || m["incomplete"] != true) {
				t.Errorf("the meeting of nine records: %v", m)
			}
		},
	}
	if dir := os.Getenv("TALLY_SAMPLES"); dir != "" {
		folders[dir] = func(t *testing.T, m map[string]any) {
			if m["name"] == "techsupport" && (m["participantsMax"] != 3.0 || m["durationSeconds"] != 3955.0 || m["conflicts"] != 1.0 || m["endedAt"] == nil) {
				t.Errorf("the recorded meeting: %v", m)
			}
		}
	}
	for dir, look := range folders {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			samples(t, dir, look)
		})
	}
}

func samples(t *testing.T, dir string, look func(*testing.T, map[string]any)) {
	t.Helper()
	d := newDesk(t, filepath.Join(t.TempDir(), "tally.db"))
	d.json(tally(), "account", "create", "acme.example")
	d.run(0, tally(), "conference", "enable")
	url, _ := d.json(tally(), "conference", "bridge", "add", "cluster-1")["url"].(string)
	taken, refused := 0, 0
	for _, path := range bodiesIn(t, dir) {
		body, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text := string(body)
		switch name := filepath.Base(path); {
		case strings.Contains(name, "fragment"):
			d.post(url, text, 400)
			d.post(url, `<records session="6f1d9f0c-2a64-4a0b-8c55-6b7f1f2a3d4e">`+text+`</records>`, 200)
			refused++
		case strings.Contains(name, "refused"), strings.Contains(path, "negative"):
			d.post(url, text, 400)
			refused++
			continue
		default:
			d.post(url, text, 200)
		}
		taken++
	}
	if taken == 0 || refused == 0 {
		t.Fatalf("%s: %d bodies were taken and %d refused; there is nothing to test", dir, taken, refused)
	}
	for _, m := range d.items(tally(), "meeting", "list") {
		look(t, m)
	}
	replay := d.json(tally(), "conference", "replay")
	if replay["meetings"] == 0.0 || replay["differing"] != 0.0 {
		t.Errorf("replay: %v, want the same decisions", replay)
	}
	t.Logf("%s: %d bodies taken, %d refused, %v meetings decided the same again", filepath.Base(dir), taken, refused, replay["meetings"])
}

// bodiesIn lists the files with records below a folder, sorted. Folders of other things are left out by their names.
func bodiesIn(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains([]string{"api", "show-license"}, entry.Name()):
			return filepath.SkipDir
		case strings.HasSuffix(path, ".xml"), strings.Contains(path, "negative") && !entry.IsDir():
			out = append(out, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}
