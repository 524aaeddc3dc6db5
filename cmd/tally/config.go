package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/tallystick/tallystick/internal/license"
)

// globals are the flags of every verb. Every flag of this program has an environment variable TALLY_… and may stand under
// its name in the file of --config; the command line wins over the environment, and that over the file.
type globals struct {
	URL     string          `name:"url" help:"Address of the server." placeholder:"URL"`
	Key     string          `help:"API key, as bootstrap printed it." placeholder:"KEY"`
	Root    string          `help:"Root certificate of the server: a PEM file, or its SHA-256 fingerprint." placeholder:"FILE|HEX"`
	Account string          `short:"A" help:"Account by name or id; not needed where the key sees only one." placeholder:"ACCOUNT"`
	JSON    bool            `name:"json" help:"Print the documented JSON document."`
	Config  kong.ConfigFlag `help:"JSON file with flags by their names." placeholder:"FILE"`

	Version kong.VersionFlag `help:"Print the version." env:"-"`
}

// Config says how a server runs. Bootstrap and signin take it too, so that they find the same keys and database.
type Config struct {
	Data      string   `help:"Folder of keys and embedded database; made with mode 0700." default:"./tally-data" placeholder:"DIR"`
	DB        string   `name:"db" help:"Database: a postgres:// address, or the path of an SQLite file; default DIR/tally.db." placeholder:"URL"`
	Keys      string   `help:"Folder of the key files, the same for all replicas; default DIR." placeholder:"DIR"`
	Listen    string   `help:"Address to listen on." default:":8443" placeholder:"ADDR"`
	Plaintext bool     `help:"Plain HTTP, on a loopback address only."`
	Name      []string `help:"Host name or address that the server's certificate is valid for; may repeat." placeholder:"HOST"`
	PublicURL string   `name:"public-url" help:"How others reach this server; default from the request." placeholder:"URL"`
	TLSCert   string   `name:"tls-cert" help:"PEM chain of a server certificate of your own." placeholder:"FILE"`
	TLSKey    string   `name:"tls-key" help:"PEM key of --tls-cert." placeholder:"FILE"`
	Catalog   string   `help:"Catalog file that extends the embedded catalog." placeholder:"FILE"`
	Metrics   string   `help:"Address of a private listener with metrics and profiles; off by default." placeholder:"ADDR"`
	Upstream  string   `help:"Address of the authority of a satellite, for synchronization over the network." placeholder:"URL"`
	SyncEvery string   `name:"sync-every" help:"How often a satellite synchronizes over the network by itself: daily, weekly, monthly, never." enum:"daily,weekly,monthly,never" default:"daily"`
	LogLevel  string   `name:"log-level" help:"Least level that is logged: debug, info, warn, error." enum:"debug,info,warn,error" default:"info"`
}

// check refuses what cannot be served before anything is made or opened.
func (c Config) check() error {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return usage("write HOST:PORT or :PORT", "the address %q to listen on cannot be read: %v", c.Listen, err)
	}
	if c.Plaintext && !loopback(host) {
		return license.Refuse(license.KindRefused, "plaintext", "listen on 127.0.0.1 and put a reverse proxy before it, or leave --plaintext away",
			"--plaintext is for a loopback address only, and %q is none", c.Listen)
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return usage("give both or neither", "--tls-cert and --tls-key belong together")
	}
	if err := c.checkUpstream(); err != nil {
		return err
	}
	if c.PublicURL != "" {
		u, err := url.Parse(c.PublicURL)
		if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
			return usage("write https://HOST[:PORT]", "the public address %q cannot be read", c.PublicURL)
		}
	}
	return nil
}

// checkUpstream refuses an address of the authority that cannot be used; none is fine.
func (c Config) checkUpstream() error {
	if c.Upstream == "" {
		return nil
	}
	u, err := url.Parse(c.Upstream)
	if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return usage("write https://HOST[:PORT]; plain http only to an address of this machine", "the address %q of the authority cannot be used", c.Upstream)
	}
	return nil
}

// database is the name of the database for store.Open.
func (c Config) database() string {
	if c.DB != "" {
		return c.DB
	}
	return filepath.Join(c.Data, "tally.db")
}

// keys is the folder of the key files.
func (c Config) keys() string {
	if c.Keys != "" {
		return c.Keys
	}
	return c.Data
}

// every is how often a satellite synchronizes over the network by itself, 0 for never.
func (c Config) every() time.Duration {
	if c.Upstream == "" {
		return 0
	}
	return schedules[c.SyncEvery]
}

// address is how this server is reached on its own host when it listens on listen.
func (c Config) address(listen string) string {
	scheme := "https"
	if c.Plaintext {
		scheme = "http"
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return scheme + "://" + listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

// logger writes to w what is as grave as the configured level.
func (c Config) logger(w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		level = slog.LevelInfo // the zero Config
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}

// maxCatalog is the most bytes of a catalog file that are read.
const maxCatalog = 16 << 20

// catalog is the embedded catalog, extended by the catalog file if there is one.
func (c Config) catalog() (*license.Catalog, error) {
	if c.Catalog == "" {
		return license.DefaultCatalog(), nil
	}
	doc, err := readFile("catalog file", c.Catalog, maxCatalog)
	if err != nil {
		return nil, err
	}
	return license.ExtendCatalog(license.DefaultCatalog(), doc)
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func usage(hint, message string, args ...any) error {
	return license.Refuse(license.KindInvalid, "usage", hint, message, args...)
}

// settings are the flags of a config file.
type settings map[string]any

// loadConfig reads a config file: one JSON object of flags by their names, with text, numbers, true, false, or lists.
func loadConfig(r io.Reader) (kong.Resolver, error) {
	var s settings
	dec := json.NewDecoder(r)
	dec.UseNumber()
	if err := dec.Decode(&s); err != nil {
		return nil, usage("write one JSON object of flags, such as {\"listen\": \":8443\"}", "the config file cannot be read: %v", err)
	}
	if dec.More() {
		return nil, usage("write one JSON object of flags", "something follows after the end of the config file")
	}
	return s, nil
}

// Validate refuses a key that is no flag of any verb: a misspelled setting must not be lost. Flags without an environment
// variable, such as --yes, cannot be settings either.
func (s settings) Validate(app *kong.Application) error {
	known := map[string]bool{}
	var walk func(*kong.Node)
	walk = func(n *kong.Node) {
		for _, f := range n.Flags {
			known[f.Name] = known[f.Name] || len(f.Envs) > 0 // a verb may have a flag of its own by the name of a setting
		}
		for _, child := range n.Children {
			walk(child)
		}
	}
	walk(app.Node)
	known["config"] = false
	for _, key := range slices.Sorted(maps.Keys(s)) {
		if !known[key] {
			return usage("keys are the long names of flags; tally serve --help lists those of the server", "the config file has the unknown key %q", key)
		}
	}
	return nil
}

// Resolve returns a flag's value in the file, unless its environment variable is set, or it has none and is no setting.
func (s settings) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if len(flag.Envs) == 0 {
		return nil, nil
	}
	for _, env := range flag.Envs {
		if _, set := os.LookupEnv(env); set {
			return nil, nil
		}
	}
	switch v := s[flag.Name].(type) {
	case json.Number:
		return v.String(), nil
	case []any:
		parts := make([]string, len(v))
		for i, part := range v {
			parts[i] = fmt.Sprint(part)
		}
		return strings.Join(parts, ","), nil
	default:
		return v, nil
	}
}
