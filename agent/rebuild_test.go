package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/license"
)

// folder is a product whose state is in a folder, on a machine whose clock tests move.
type folder struct {
	*Agent
	t     *testing.T
	dir   string
	clock *clock
	desk  *desk
	opts  Options
}

func newFolder(t *testing.T) *folder {
	t.Helper()
	f := &folder{t: t, dir: filepath.Join(t.TempDir(), "state"), clock: &clock{t: start}}
	f.desk = newDesk(t, f.clock.now)
	f.opts = Options{Transport: f.desk, Now: f.clock.now, Uptime: f.clock.uptime, Rand: func() float64 { return 0.5 }}
	f.again()
	f.init()
	return f
}

// again is the product started again.
func (f *folder) again() {
	f.t.Helper()
	k, err := OpenDir(f.dir)
	f.must(err)
	f.Agent, err = New(k, f.opts)
	f.must(err)
}

func (f *folder) init() {
	f.t.Helper()
	f.must(f.Init(f.t.Context(), Product{Name: "Call Bridge", PID: "CMS", Serial: "X1", Version: "3.9", Policy: "cwms-4"}))
}

func (f *folder) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *folder) status() Status {
	f.t.Helper()
	s, err := f.Status(f.t.Context())
	f.must(err)
	return s
}

func (f *folder) remove(names ...string) {
	f.t.Helper()
	for _, name := range names {
		f.must(os.Remove(filepath.Join(f.dir, name)))
	}
}

func (f *folder) spoil(names ...string) {
	f.t.Helper()
	for _, name := range names {
		raw, err := os.ReadFile(filepath.Join(f.dir, name))
		f.must(err)
		raw[len(raw)/2] ^= 4
		f.must(os.WriteFile(filepath.Join(f.dir, name), raw, 0o600))
	}
}

// TestR5StateLostOrCorrupt: whatever happens to the files of a registered product, it goes on with full function and finds its
// way back to its authority by itself.
func TestR5StateLostOrCorrupt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		harm     func(f *folder)
		shown    string
		finding  string
		comeback bool // without anybody's help
	}{
		"the state is gone":         {func(f *folder) { f.remove(fileState) }, Registered, "state-rebuilt", true},
		"the state is damaged":      {func(f *folder) { f.spoil(fileState) }, Registered, "state-rebuilt", true},
		"the copy is gone":          {func(f *folder) { f.remove(fileCopy) }, Registered, "", true},
		"both are gone":             {func(f *folder) { f.remove(fileState, fileCopy) }, RegistrationUnknown, "state-unknown", true},
		"both are damaged":          {func(f *folder) { f.spoil(fileState, fileCopy) }, RegistrationUnknown, "state-unknown", true},
		"everything is gone":        {func(f *folder) { f.must(os.RemoveAll(f.dir)) }, RegistrationUnknown, "state-unknown", false},
		"both damaged, the key too": {func(f *folder) { f.spoil(fileState, fileCopy, fileKey) }, RegistrationUnknown, "state-unknown", false},
		"even the anchor is damaged": {func(f *folder) {
			f.spoil(fileState, fileCopy, fileKey)
			f.must(os.WriteFile(f.dir+suffixAnchor, []byte("x"), 0o600))
		}, RegistrationUnknown, "state-unknown", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFolder(t)
			f.desk.stock[tag] = 4 // the stand-in does not join instances by UDI
			f.must(f.SetUsage(t.Context(), tag, 2))
			f.clock.add(89 * 24 * time.Hour)
			f.must(f.Register(t.Context(), f.desk.token(), false))
			f.clock.add(24 * time.Hour)
			c.harm(f)
			f.again()
			f.init() // as a product does when it starts
			f.must(f.SetUsage(t.Context(), tag, 2))
			f.clock.add(300 * 24 * time.Hour) // nobody helps, and the authority is away
			s := f.status()
			if ok, d := f.Allowed(ActionProvision); !ok || s.Decision.Enforced {
				t.Errorf("something is taken away: %+v", d)
			}
			if s.Registration.Status != c.shown || (c.finding == "") != (len(s.Findings) == 0 || s.Findings[0].Code == "renewal-late") || c.finding != "" && s.Findings[0].Code != c.finding {
				t.Errorf("shown is %+v, findings %+v", s.Registration, s.Findings)
			}
			if c.comeback {
				for range 3 { // what Run does
					if _, err := f.Step(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
			} else {
				f.must(f.Register(t.Context(), f.desk.token(), true))
			}
			s = f.status()
			if s.Registration.Status != Registered || s.Authorization.Status != string(license.StatusAuthorized) || s.Licenses[0].Count != 2 {
				t.Errorf("afterwards the product is %+v, %+v", s.Registration, s.Authorization)
			}
			if c.comeback && len(f.desk.instances) != 1 {
				t.Errorf("it came back as another instance")
			}
		})
	}
}

// TestEvaluationOutlivesTheState: neither a new installation nor a restored state nor both give a day back.
func TestEvaluationOutlivesTheState(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	f := newFolder(t)
	want := func(what string, days int64) {
		t.Helper()
		if got := f.status().Authorization.EvaluationSeconds; got != days*86400 {
			t.Fatalf("%s: %d s are left, want %d days", what, got, days)
		}
	}
	f.must(f.SetUsage(t.Context(), tag, 1))
	snapshot, err := os.ReadFile(filepath.Join(f.dir, fileState))
	f.must(err)
	f.clock.add(50 * day)
	f.must(f.keep(t.Context()))
	want("before", 40)

	f.must(os.RemoveAll(f.dir))
	f.again()
	f.init()
	f.must(f.SetUsage(t.Context(), tag, 1))
	want("installed anew", 40)
	f.clock.add(10 * day)
	f.must(f.keep(t.Context()))

	for _, name := range []string{fileState, fileCopy} {
		f.must(os.WriteFile(filepath.Join(f.dir, name), snapshot, 0o600))
	}
	f.again()
	want("restored", 30)

	own := &memAnchor{}
	f.opts.Anchors = []Anchor{own}
	f.again()
	f.must(f.keep(t.Context()))
	f.must(os.RemoveAll(f.dir))
	f.must(os.Remove(f.dir + suffixAnchor))
	f.again()
	f.init()
	f.must(f.SetUsage(t.Context(), tag, 1))
	want("installed anew with nothing but the product's own database", 30)

	f.must(f.Init(t.Context(), Product{Name: "Call Bridge", PID: "CMS", Serial: "X1", Version: "4.0"}))
	f.must(f.SetUsage(t.Context(), "cms-4", 1))
	want("an upgrade that needs another tag", 90)
	f.clock.add(day)
	f.must(f.Init(t.Context(), Product{Name: "Call Bridge", PID: "CMS", Serial: "X1", Version: "3.9"}))
	want("back at the old version", 30)
	f.must(f.Init(t.Context(), Product{Name: "Call Bridge", PID: "CMS", Serial: "X1", Version: "4.1"}))
	want("the new version again", 89)

	own.fail = errors.New("the database is away")
	f.clock.add(day)
	f.must(f.keep(t.Context()))
	want("an anchor that fails stops nothing", 88)
}

// memAnchor is the database of a product.
type memAnchor struct {
	mu   sync.Mutex
	raw  []byte
	fail error
}

func (m *memAnchor) Load(context.Context) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.raw, m.fail
}

func (m *memAnchor) Save(_ context.Context, raw []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail == nil {
		m.raw = raw
	}
	return m.fail
}

// TestAnchorsHoldNoSecret: neither the key nor the password of a proxy is in what outlives the state.
func TestAnchorsHoldNoSecret(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	own := &memAnchor{}
	f.opts.Anchors = []Anchor{own}
	f.again()
	f.must(f.SetRoute(t.Context(), Route{Kind: Proxy, Address: "https://licenses.example", Proxy: "proxy.example", User: "u", Password: "correct horse"}))
	token := f.desk.token()
	f.must(f.Register(t.Context(), token, false))
	sibling, err := os.ReadFile(f.dir + suffixAnchor)
	f.must(err)
	st, _, err := f.load(t.Context())
	f.must(err)
	for _, raw := range [][]byte{own.raw, sibling} {
		wantNone(t, raw, "correct horse", token, string(st.Identity.Key), "PRIVATE")
	}
	for _, name := range []string{fileState, fileCopy, fileKey} {
		info, err := os.Stat(filepath.Join(f.dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	raw, err := os.ReadFile(filepath.Join(f.dir, fileState))
	f.must(err)
	wantNone(t, raw, token)
}
