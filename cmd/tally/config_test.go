package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// outcome is what a call of the program did.
type outcome struct {
	code           int
	stdout, stderr string
}

// call runs the program with arguments and nothing on its standard input, for a minute at most.
func call(t *testing.T, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	code := tally(ctx, args, strings.NewReader(""), &stdout, &stderr)
	return outcome{code, stdout.String(), stderr.String()}
}

func writeConfig(t *testing.T, doc string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(path, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// The link of signin begins with the public address, so it shows which setting won.
func TestCommandLineWinsOverEnvironmentOverFile(t *testing.T) { // not parallel: it sets the environment
	file := writeConfig(t, `{"public-url": "https://file.example", "data": "`+t.TempDir()+`"}`)
	link := func(args ...string) string {
		t.Helper()
		got := call(t, append([]string{"signin", "--json"}, args...)...)
		var doc struct{ URL string }
		if err := json.Unmarshal([]byte(got.stdout), &doc); err != nil || got.code != 0 {
			t.Fatalf("signin %v: exit %d, %s%s", args, got.code, got.stdout, got.stderr)
		}
		return doc.URL
	}
	for _, step := range []struct {
		env, value string
		args       []string
		want       string
	}{
		{"TALLY_CONFIG", file, nil, "https://file.example/signin?code=si_"},
		{"TALLY_NO_SUCH_FLAG", "is ignored", nil, "https://file.example/signin?code=si_"},
		{"TALLY_PUBLIC_URL", "https://environment.example", nil, "https://environment.example/signin?code=si_"},
		{"TALLY_PUBLIC_URL", "https://environment.example", []string{"--public-url", "https://line.example"}, "https://line.example/signin?code=si_"},
	} {
		t.Setenv(step.env, step.value)
		if got := link(step.args...); !strings.HasPrefix(got, step.want) {
			t.Errorf("with %s=%s and %v the link is %s, want %s…", step.env, step.value, step.args, got, step.want)
		}
	}
}

func TestServeRefusesBeforeItMakesAnything(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		args []string
		code int
		says string
	}{
		"plain text on every address":     {[]string{"--plaintext", "--listen", ":8443"}, exitRefused, "loopback"},
		"plain text on an address":        {[]string{"--plaintext", "--listen", "192.0.2.1:8443"}, exitRefused, "loopback"},
		"plain text on a name":            {[]string{"--plaintext", "--listen", "tally.example:8443"}, exitRefused, "loopback"},
		"an address without a port":       {[]string{"--listen", "127.0.0.1"}, exitUsage, "listen"},
		"a certificate without its key":   {[]string{"--tls-cert", "x.pem"}, exitUsage, "--tls-key"},
		"a public address without a host": {[]string{"--public-url", "licenses"}, exitUsage, "public address"},
		"a level that is none":            {[]string{"--log-level", "loud"}, exitUsage, "log-level"},
		"an unknown flag":                 {[]string{"--no-such-flag"}, exitUsage, "no-such-flag"},
		"an unknown key in the file":      {[]string{"--config", writeConfig(t, `{"lissten": ":1"}`)}, exitUsage, "lissten"},
		"a confirmation in the file":      {[]string{"--config", writeConfig(t, `{"yes": true}`)}, exitUsage, "yes"},
		"a file that is no object":        {[]string{"--config", writeConfig(t, `[]`)}, exitUsage, "config file"},
		"a wrong value in the file":       {[]string{"--config", writeConfig(t, `{"plaintext": "perhaps"}`)}, exitUsage, "plaintext"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "data")
			got := call(t, append([]string{"serve", "--data", dir}, row.args...)...)
			if got.code != row.code || !strings.Contains(got.stderr, row.says) || !strings.HasPrefix(got.stderr, "error: ") || !strings.Contains(got.stderr, "\nhint: ") {
				t.Errorf("exit %d, want %d; standard error, want error and hint with %q:\n%s", got.code, row.code, row.says, got.stderr)
			}
			if _, err := os.Stat(dir); err == nil {
				t.Error("it made the data folder")
			}
		})
	}
}

func TestConfigFileTakesTextNumbersTruthsAndLists(t *testing.T) {
	t.Parallel()
	file := writeConfig(t, `{"name": ["a.example", "b.example"], "plaintext": true, "days": 7, "listen": "127.0.0.1:1"}`)
	got := call(t, "signin", "--json", "--data", t.TempDir(), "--config", file)
	if want := `"url": "http://127.0.0.1:1/signin`; got.code != 0 || !strings.Contains(got.stdout, want) {
		t.Errorf("exit %d, want %s in\n%s%s", got.code, want, got.stdout, got.stderr)
	}
}

func TestAddress(t *testing.T) {
	t.Parallel()
	for listen, want := range map[string]string{
		":8443": "https://localhost:8443", "0.0.0.0:8443": "https://localhost:8443", "[::]:8443": "https://localhost:8443",
		"127.0.0.1:80": "https://127.0.0.1:80", "[::1]:80": "https://[::1]:80", "host.example:1": "https://host.example:1",
	} {
		if got := (Config{}).address(listen); got != want {
			t.Errorf("address of %s is %s, want %s", listen, got, want)
		}
	}
}
