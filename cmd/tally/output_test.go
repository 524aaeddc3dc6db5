package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/license"
)

func TestExitCodes(t *testing.T) {
	t.Parallel()
	problem := func(status int) error { return fmt.Errorf("wrapped: %w", &api.Problem{Status: status, Detail: "No."}) }
	refusal := func(kind license.Kind) error {
		return fmt.Errorf("wrapped: %w", license.Refuse(kind, "code", "hint", "no"))
	}
	for want, errs := range map[int][]error{
		exitFailed:      {errors.New("anything"), problem(http.StatusInternalServerError), refusal(license.KindUnavailable)},
		exitUsage:       {problem(http.StatusBadRequest), problem(http.StatusRequestEntityTooLarge), refusal(license.KindInvalid), refusal(license.KindTooLarge)},
		exitRefused:     {problem(http.StatusUnprocessableEntity), refusal(license.KindRefused)},
		exitNotFound:    {problem(http.StatusNotFound), refusal(license.KindNotFound)},
		exitConflict:    {problem(http.StatusConflict), refusal(license.KindConflict)},
		exitPermission:  {problem(http.StatusUnauthorized), problem(http.StatusForbidden), refusal(license.KindPermission), refusal(license.KindUnknown)},
		exitUnreachable: {problem(http.StatusTooManyRequests), problem(http.StatusServiceUnavailable), &api.Unreachable{Err: errors.New("refused")}, refusal(license.KindBusy)},
	} {
		for _, err := range errs {
			if got := exitCode(err); got != want {
				t.Errorf("exit code of %#v is %d, want %d", err, got, want)
			}
		}
	}
}

func TestFailSaysErrorAndHint(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"error: plain\n": errors.New("plain"),
		"error: the token is used up\nhint: make another\n": &api.Problem{Status: 422, Detail: "the token is used up", Hint: "make another"},
		"error: no\nhint: do\n":                             license.Refuse(license.KindRefused, "c", "do", "no"),
	} {
		var b bytes.Buffer
		if fail(&b, err); b.String() != want {
			t.Errorf("fail wrote %q, want %q", b.String(), want)
		}
	}
}

func TestDestructiveVerbsWantYes(t *testing.T) {
	t.Parallel()
	var stderr bytes.Buffer
	s := &shell{stdin: strings.NewReader("y\n"), stderr: &stderr}
	if err := s.confirm(false, "X will go."); exitCode(err) != exitUsage {
		t.Errorf("without --yes and without a terminal: %v, want a usage error", err)
	}
	if err := s.confirm(true, "X will go."); err != nil {
		t.Errorf("with --yes: %v, want nil", err)
	}
	if !strings.HasPrefix(stderr.String(), "X will go.\n") {
		t.Errorf("the plan is not printed: %q", stderr.String())
	}
}

func TestListsAreOneDocumentAndNeverNull(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	s := &shell{globals: globals{JSON: true}, stdout: &stdout, stderr: &stderr}
	if err := printList(s, nil, "nothing", "id", func(a api.Account) []any { return []any{a.ID} }); err != nil {
		t.Fatal(err)
	}
	if got, want := stdout.String(), "{\n  \"items\": []\n}\n"; got != want || stderr.Len() > 0 {
		t.Errorf("got %q and %q, want %q and nothing", got, stderr.String(), want)
	}
}

func TestTablesKeepControlCharactersAwayFromTheTerminal(t *testing.T) {
	t.Parallel()
	var stdout bytes.Buffer
	s := &shell{stdout: &stdout}
	err := printList(s, []string{"a\x1b[2Jb\nc\td"}, "", "name | other", func(n string) []any { return []any{n, true} })
	if want := "NAME       OTHER\na?[2Jb?c?d  yes\n"; err != nil || strings.Join(strings.Fields(stdout.String()), " ") != strings.Join(strings.Fields(want), " ") {
		t.Errorf("got %q, %v, want %q", stdout.String(), err, want)
	}
}

func TestAWrongCommandLineSaysWhatToWrite(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"conference retention set --days":    "write: tally conference retention set --days N; `tally conference retention set --help` says more",
		"conference allocation set HQ x=1":   "write: tally conference allocation set TAG=QTY… --bridge BRIDGE; `tally conference allocation set --help` says more",
		"meeting ask --loud":                 "write: tally meeting ask; `tally meeting ask --help` says more",
		"conference bridge":                  "one of these comes after `tally conference bridge`: add, list, show,",
		"conference bridge remove everybody": "one of these comes after `tally conference bridge`: add, list, show,",
		"reservation confirm A3":             "write: tally reservation confirm RESERVATION CODE; `tally reservation confirm --help` says more",
		"sync privacy none hostnames":        "tally sync privacy none, or name what is to stay",
		"sync join --answer y -o x":          "tally sync join TOKENFILE -o FILE writes the request, tally sync join --answer FILE completes",
		"satellite create X --days 0":        "choose 1 to 365 days",
		"satellite invite X --days 0":        "choose 1 to 365 days",
		"nothing":                            "one of these comes after `tally`: demo, bootstrap, serve,",
	} {
		if got := call(t, strings.Fields(line)...); got.code != exitUsage || !strings.Contains(got.stderr, "hint: "+want) {
			t.Errorf("%s: exit %d, want %d and %q in:\n%s", line, got.code, exitUsage, want, got.stderr)
		}
	}
}

func TestServerVerbsNeedAddressAndKey(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		args []string
		code int
		says string
	}{
		{nil, exitUsage, "--url"},
		{[]string{"--url", "http://127.0.0.1:1"}, exitUsage, "--key"},
		{[]string{"--url", "http://127.0.0.1:1", "--key", "k"}, exitUnreachable, "127.0.0.1:1"},
		{[]string{"--url", "http://192.0.2.1", "--key", "k"}, exitUsage, "plain http"},
		{[]string{"--url", "https://127.0.0.1:1", "--key", "k", "--root", "no-such-file.pem"}, exitUsage, "root"},
	} {
		got := call(t, append([]string{"account", "list"}, row.args...)...)
		if got.code != row.code || !strings.Contains(got.stderr, row.says) {
			t.Errorf("account list %v: exit %d, want %d and %q in:\n%s", row.args, got.code, row.code, row.says, got.stderr)
		}
	}
}
