package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/satellite"
	"github.com/tallystick/tallystick/internal/trust"
)

// uplink carries synchronization files to the authority and back over the network.
type uplink struct {
	url    string
	client *http.Client
}

// newUplink knows the authority by its root: the server's certificate is checked against that, and what comes back is signed
// besides.
func newUplink(address string, root trust.Fingerprint, now func() time.Time) *uplink {
	return &uplink{strings.TrimRight(address, "/"), &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: trust.PinnedTLS(root, now), ForceAttemptHTTP2: true,
			DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext, TLSHandshakeTimeout: 10 * time.Second, IdleConnTimeout: 90 * time.Second,
		},
		Timeout:       5 * time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// carry posts a file and returns the answer. A refusal that is signed comes as a file too.
func (u *uplink) carry(ctx context.Context, file []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.url+"/machine/v1/sync", bytes.NewReader(file))
	if err != nil {
		return nil, usage("write https://HOST[:PORT]", "the address of the authority cannot be used: %v", err)
	}
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	resp, err := u.client.Do(req)
	if err != nil {
		return nil, u.away(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, satellite.MaxFile+1))
	if err != nil {
		return nil, u.away(err)
	}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
		return body, nil
	}
	var p struct{ Code, Title, Detail, Hint string }
	if json.Unmarshal(body, &p) == nil && p.Code != "" {
		kind := license.KindRefused
		if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= http.StatusInternalServerError {
			kind = license.KindUnavailable
		}
		return nil, &license.Error{Kind: kind, Code: p.Code, Message: "the authority says: " + cmp.Or(p.Detail, p.Title), Hint: p.Hint}
	}
	return nil, u.away(fmt.Errorf("something else than a Tallystick server answered %s", resp.Status))
}

func (u *uplink) away(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // it names the address a second time
	}
	if errors.Is(err, trust.ErrChain) {
		return &license.Error{
			Kind: license.KindRefused, Code: "server-certificate", Message: fmt.Sprintf("the server at %s is not of the authority that is meant", u.url),
			Hint: "check --upstream; a server behind a proxy that opens TLS cannot be trusted", Err: err,
		}
	}
	return &license.Error{
		Kind: license.KindUnavailable, Code: "upstream-unreachable", Message: fmt.Sprintf("the authority at %s does not answer: %v", u.url, err),
		Hint: "check --upstream and the network; nothing is lost, and products are not affected", Err: &api.Unreachable{URL: u.url, Err: err},
	}
}

// upstream is a satellite's side of synchronization over the network.
type upstream struct {
	sync  *satellite.Sync
	link  *uplink
	every time.Duration
	now   func() time.Time
	log   *slog.Logger
}

// now synchronizes one account: file out, answer in, the same bytes that people would carry. Where the answer says that this
// satellite's database went back, the next exchange follows at once.
func (u *upstream) exchange(ctx context.Context, who access.Person, account string) (satellite.Applied, error) {
	for again := false; ; again = true {
		done, err := u.once(ctx, who, account)
		if e := u.sync.NoteAttempt(ctx, account, err, u.every); e != nil && err == nil {
			err = e
		}
		if err != nil || !done.Restored || again {
			return done, err
		}
	}
}

func (u *upstream) once(ctx context.Context, who access.Person, account string) (satellite.Applied, error) {
	file, err := u.sync.Export(ctx, who, account, satellite.Network)
	if err != nil {
		return satellite.Applied{}, err
	}
	answer, err := u.link.carry(ctx, file)
	if err != nil {
		return satellite.Applied{}, err
	}
	return u.sync.Apply(ctx, who, account, answer, satellite.Network)
}

// How often the loop looks whether a synchronization is due, and how long it waits after one that came to nothing.
const (
	upstreamLook  = time.Minute
	upstreamRetry = time.Hour
)

// run synchronizes every account of a satellite when its time has come, until ctx ends. Of several replicas more than one may
// do so: every file is as good as the other.
func (u *upstream) run(ctx context.Context) {
	tick := time.NewTicker(upstreamLook)
	defer tick.Stop()
	for {
		u.turn(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (u *upstream) turn(ctx context.Context) {
	due, err := u.sync.Due(ctx, u.every, upstreamRetry)
	if err != nil && ctx.Err() == nil {
		u.log.WarnContext(ctx, "cannot look whether a synchronization is due", "error", err)
	}
	for _, account := range due {
		done, err := u.exchange(ctx, access.Person{ID: "schedule", Name: "schedule", Role: access.Administrator, Account: access.Site}, account)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			u.log.WarnContext(ctx, "synchronization came to nothing; it is tried again in an hour", "account", account, "error", err)
		default:
			u.log.InfoContext(ctx, "synchronized", "account", account, "number", done.Number, "arrived", done.Arrived, "givenBack", done.GivenBack)
		}
	}
}
