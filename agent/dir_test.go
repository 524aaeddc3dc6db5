//go:build unix

package agent

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/trust"
)

func openDir(t *testing.T, dir string, d *desk) *Agent {
	t.Helper()
	k, err := OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	opts := Options{Now: func() time.Time { return start }}
	if d != nil {
		opts.Transport = d
	}
	a, err := New(k, opts)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestFolder(t *testing.T) {
	t.Parallel()
	d := newDesk(t, func() time.Time { return start })
	dir := filepath.Join(t.TempDir(), "state")
	a := openDir(t, dir, d)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(a.Init(t.Context(), Product{Name: "Call Bridge", PID: "CMS", Serial: "X1"}))
	must(a.Register(t.Context(), d.token(), false))
	for name, want := range map[string]os.FileMode{"": os.ModeDir | 0o700, fileState: 0o600, fileLock: 0o600, fileTurn: 0o600, fileCert: 0o644, fileChain: 0o644} {
		info, err := os.Stat(filepath.Join(dir, name))
		must(err)
		if info.Mode() != want {
			t.Errorf("%q has mode %s, want %s", name, info.Mode(), want)
		}
	}
	roots, others := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(d.keys.RootPEM())
	chain, err := os.ReadFile(filepath.Join(dir, fileChain))
	must(err)
	others.AppendCertsFromPEM(chain)
	text, err := os.ReadFile(filepath.Join(dir, fileCert))
	must(err)
	block, _ := pem.Decode(text)
	cert, err := x509.ParseCertificate(block.Bytes)
	must(err)
	if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, Intermediates: others, CurrentTime: start, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Errorf("id-cert.pem does not lead to the root: %v", err)
	}
	if got := cert.NotAfter.Sub(cert.NotBefore); got != 365*24*time.Hour {
		t.Errorf("certificate lives %s, want 365 days", got)
	}
	if _, err := a.Deregister(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, fileCert)); !os.IsNotExist(err) {
		t.Errorf("the certificate is still there: %v", err)
	}
}

func TestFolderAfterACrash(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := openDir(t, dir, nil)
	if err := a.Init(t.Context(), Product{Name: "Call Bridge", PID: "CMS", Serial: "X1"}); err != nil {
		t.Fatal(err)
	}
	// A write that was cut off leaves a temporary file and the old state.
	if err := os.WriteFile(filepath.Join(dir, "."+fileState+".123"), []byte(`{"version":1,"prod`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := openDir(t, dir, nil).SetUsage(t.Context(), tag, 3); err != nil {
		t.Fatal(err)
	}
	s, err := openDir(t, dir, nil).Status(t.Context())
	if err != nil || s.Licenses[0].Count != 3 {
		t.Errorf("status %+v, %v; want usage 3", s, err)
	}
	for _, damaged := range []string{"", `{"version":1`, "\x00\x00"} {
		if err := os.WriteFile(filepath.Join(dir, fileState), []byte(damaged), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := a.Status(t.Context())
		if err != nil || s.Licenses[0].Count != 3 || s.Findings[0].Code != "state-rebuilt" {
			t.Errorf("status %+v, %v; want the second copy", s, err)
		}
		if err := a.SetUsage(t.Context(), tag, 3); err != nil {
			t.Fatal(err)
		}
		if raw, _ := os.ReadFile(filepath.Join(dir, fileBad)); string(raw) != damaged {
			t.Errorf("the damaged state was put aside as %q", raw)
		}
	}
	for _, name := range []string{fileState, fileCopy} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(`{"version":3}`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	wantCode(t, a.SetUsage(t.Context(), tag, 1), "state-version")
}

// TestAgentsTakeTurns has many agents report at once: an authority must never see an old number, which means a clone to it.
func TestAgentsTakeTurns(t *testing.T) {
	t.Parallel()
	d := newDesk(t, func() time.Time { return start })
	dir := t.TempDir()
	first := openDir(t, dir, d)
	if err := errors.Join(first.Init(t.Context(), Product{Name: "Call Bridge", PID: "CMS", Serial: "X1"}), first.Register(t.Context(), d.token(), false)); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 6 {
		a := openDir(t, dir, d)
		all.Go(func() {
			if err := a.SetUsage(t.Context(), tag, int64(i)); err != nil {
				t.Error(err)
			}
			if _, err := a.Report(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for i, seen := range d.seen[1:] {
		if want := fmt.Sprintf("authorize %d", i+1); seen != want {
			t.Fatalf("the authority saw %q, want %s next", d.seen, want)
		}
	}
}

// TestProcessesShareAFolder starts this test binary again, which adds intervals beside this process.
func TestProcessesShareAFolder(t *testing.T) {
	t.Parallel()
	const each = 30
	add := func(dir string, who int) {
		a := openDir(t, dir, nil)
		for i := range each {
			from := start.Add(time.Duration(who*each+i) * time.Hour)
			if err := a.AddInterval(t.Context(), Interval{Tag: tag, From: from, To: from.Add(time.Hour), Peak: 1}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if dir := os.Getenv("AGENT_TEST_DIR"); dir != "" {
		add(dir, 1)
		return
	}
	dir := t.TempDir()
	if err := openDir(t, dir, nil).Init(t.Context(), Product{Name: "Call Bridge", PID: "CMS", Serial: "X1"}); err != nil {
		t.Fatal(err)
	}
	other := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProcessesShareAFolder$")
	other.Env = append(os.Environ(), "AGENT_TEST_DIR="+dir)
	done := make(chan error, 1)
	go func() {
		out, err := other.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
		done <- err
	}()
	add(dir, 0)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	s, err := openDir(t, dir, nil).Status(t.Context())
	if err != nil || s.WaitingIntervals != 2*each {
		t.Errorf("%d intervals, %v; want %d", s.WaitingIntervals, err, 2*each)
	}
}

func TestIdentityIsFixed(t *testing.T) {
	t.Parallel()
	a := openDir(t, t.TempDir(), nil)
	ctx := t.Context()
	_, err := a.Status(ctx)
	wantCode(t, err, "not-initialized")
	wantCode(t, a.SetUsage(ctx, tag, 1), "not-initialized")
	wantCode(t, a.Init(ctx, Product{Name: "Call Bridge", PID: "CMS"}), "malformed")
	if err := a.Init(ctx, Product{Name: "Call Bridge", PID: "CMS", Serial: "X1"}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, a.Init(ctx, Product{Name: "Call Bridge", PID: "CMS", Serial: "X2"}), "identity-fixed")
	token, err := trust.NewToken(account, "tok_00000000000000000000000001", trust.Fingerprint{1})
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, a.Register(ctx, token.Text().Reveal(), false), "no-transport")
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	a := openDir(t, t.TempDir(), nil)
	if err := a.Init(t.Context(), Product{Name: "Call Bridge", PID: "CMS", Serial: "X1"}); err != nil {
		t.Fatal(err)
	}
	for address, code := range map[string]string{
		"https://licenses.example:8443/": "", "http://127.0.0.1:8080": "", "http://[::1]:8080": "", "http://localhost": "", "http://127.8.8.8": "",
		"http://licenses.example": "plaintext-address", "http://10.0.0.1": "plaintext-address", "http://localhost.example": "plaintext-address",
		"licenses.example": "bad-address", "ftp://licenses.example": "bad-address", "https://": "bad-address", "": "bad-address",
		"https://user:secret@licenses.example": "bad-address", "https://licenses.example/?q=1": "bad-address",
	} {
		err := a.SetTransport(t.Context(), address)
		if code == "" && err != nil {
			t.Errorf("%q: %v", address, err)
		}
		if code != "" {
			wantCode(t, err, code)
		}
	}
}
