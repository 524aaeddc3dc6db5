package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"iter"
	"os"
	"strings"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/license"
)

// remote is a server as a verb sees it, and the account that the verb is about.
type remote struct {
	*api.Client
	shell *shell
}

// connect makes the client of the server that the flags name.
func (s *shell) connect() (*remote, error) {
	switch {
	case s.URL == "":
		return nil, usage("set --url or TALLY_URL, such as https://licenses.example:8443", "no server is named")
	case s.Key == "":
		return nil, usage("set --key or TALLY_KEY to the key that `tally bootstrap` printed", "no API key is given")
	}
	root, err := rootOf(s.Root)
	if err != nil {
		return nil, err
	}
	client, err := api.New(api.Config{URL: s.URL, Key: s.Key, Root: root})
	if err != nil {
		return nil, usage("mend --url, --key or --root, or TALLY_URL, TALLY_KEY or TALLY_ROOT", "%v", err)
	}
	return &remote{client, s}, nil
}

// rootOf returns what --root names: the text of a PEM file, or the fingerprint itself.
func rootOf(root string) (string, error) {
	if root == "" {
		return "", nil
	}
	if sum, err := hex.DecodeString(strings.ReplaceAll(root, ":", "")); err == nil && len(sum) == 32 {
		return root, nil
	}
	text, err := os.ReadFile(root)
	if err != nil {
		return "", usage("name a PEM file, or the SHA-256 fingerprint of the root", "the root certificate cannot be read: %v", err)
	}
	return string(text), nil
}

// in connects and finds the account of --account, or the only one that the key sees.
func (s *shell) in(ctx context.Context) (*remote, string, error) {
	r, err := s.connect()
	if err != nil {
		return nil, "", err
	}
	if s.Account != "" {
		return r, s.Account, nil
	}
	var seen []api.Account
	for a, err := range r.Accounts(ctx) {
		if err != nil {
			return nil, "", err
		}
		if seen = append(seen, a); len(seen) > 1 {
			return nil, "", usage("choose one with -A or TALLY_ACCOUNT; `tally account list` shows them", "the key sees several accounts")
		}
	}
	if len(seen) == 0 {
		return nil, "", license.Refuse(license.KindNotFound, "no-account", "make one with `tally account create NAME`", "there is no account yet")
	}
	return r, seen[0].ID, nil
}

// virtualAccount is the named virtual account, or the default one's id.
func (r *remote) virtualAccount(ctx context.Context, account, va string) (string, error) {
	if va != "" {
		return va, nil
	}
	a, err := r.Account(ctx, account)
	return a.DefaultVirtualAccount, err
}

// gather follows a list to its end.
func gather[T any](s *shell, noun string, items iter.Seq2[T, error]) ([]T, error) {
	defer s.progressEnd()
	var all []T
	for item, err := range items {
		if err != nil {
			return nil, err
		}
		if all = append(all, item); len(all)%500 == 0 {
			s.progress("%d %s …", len(all), noun)
		}
	}
	return all, nil
}

// removed is the document of a verb that removes something.
type removed struct {
	Removed string `json:"removed"`
}

// say prints a verb's outcome: the document with --json, otherwise one sentence.
func (s *shell) say(doc any, sentence string, args ...any) error {
	return s.print(doc, lines(fmt.Sprintf(sentence, args...)))
}
