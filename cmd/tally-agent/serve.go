package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tallystick/tallystick/agent"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/local"
)

type serveCmd struct {
	Listen string `help:"Serve this host: unix:PATH, or a loopback address such as 127.0.0.1:4711." env:"TALLY_AGENT_LISTEN" placeholder:"ADDR"`
}

// Run is the daemon.
func (c *serveCmd) Run(ctx context.Context, s *shell) error {
	st, err := s.agent.Status(ctx)
	if err != nil {
		return err
	}
	var l net.Listener
	if c.Listen != "" {
		if l, err = local.Listen(c.Listen); err != nil {
			return err
		}
	}
	nodes, err := s.listenForNodes(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.stdout, "serving %s\n", st.UDI)
	work := s.agent.Run
	if nodes != nil {
		fmt.Fprintf(s.stdout, "cluster on %s\n", nodes.Addr())
		work = func(ctx context.Context) error { return s.withNodes(ctx, nodes) }
	}
	if l == nil {
		return work(ctx)
	}
	return s.serveHost(ctx, l, func(ctx context.Context) error {
		fmt.Fprintf(s.stdout, "listening on %s\n", listening(l.Addr()))
		return work(ctx)
	})
}

// listenForNodes opens the listener for the members of the cluster that this product holds, if it does.
func (s *shell) listenForNodes(ctx context.Context) (net.Listener, error) {
	address, err := s.agent.ClusterAddress(ctx)
	if err != nil || address == "" {
		return nil, err
	}
	return (&net.ListenConfig{}).Listen(ctx, "tcp", address)
}

// withNodes does the daemon's work and answers the members of the cluster, until ctx ends or one of the two fails.
func (s *shell) withNodes(ctx context.Context, l net.Listener) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	served := make(chan error, 1)
	go func() { // ends with ctx
		defer stop()
		served <- s.agent.ServeCluster(ctx, l)
	}()
	err := s.agent.Run(ctx)
	stop()
	return errors.Join(err, <-served)
}

// serveHost serves this host beside work, until ctx ends or one of the two fails.
func (s *shell) serveHost(ctx context.Context, l net.Listener, work func(context.Context) error) error {
	face := local.New(local.Options{Agent: s.agent, Log: s.log, Now: s.now})
	defer face.Close()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	served, ready := make(chan error, 1), make(chan struct{})
	go func() { // ends with ctx
		defer stop()
		served <- face.Serve(ctx, l, s.dir, func() { close(ready) })
	}()
	select {
	case <-ready:
	case err := <-served:
		return err
	}
	err := work(ctx)
	stop()
	return errors.Join(err, <-served)
}

func listening(a net.Addr) string {
	if a.Network() == "unix" {
		return "unix:" + a.String()
	}
	return "http://" + a.String()
}

type pageCmd struct{}

// Run prints the link. Where a daemon serves this host, the link leads to it; otherwise this command serves the page itself
// until it is stopped.
func (*pageCmd) Run(ctx context.Context, s *shell) error {
	if _, err := s.agent.Status(ctx); err != nil {
		return err
	}
	link, err := askForLink(ctx, s.dir)
	if err == nil {
		return s.printLink(link)
	}
	if !errors.Is(err, os.ErrNotExist) {
		s.log.DebugContext(ctx, "no daemon answers; serving the page here", "error", err)
	}
	l, err := local.Listen("127.0.0.1:0")
	if err != nil {
		return err
	}
	return s.serveHost(ctx, l, func(ctx context.Context) error {
		link, err := askForLink(ctx, s.dir)
		if err != nil {
			return err
		}
		if err := s.printLink(link); err != nil {
			return err
		}
		fmt.Fprintln(s.stderr, "serving the page; Ctrl-C ends it")
		<-ctx.Done()
		return nil
	})
}

func (s *shell) printLink(link string) error {
	if s.json {
		return s.print(map[string]string{"url": link})
	}
	fmt.Fprintln(s.stdout, link)
	return nil
}

// maxLink bounds the answer with a link.
const maxLink = 4096

// askForLink gets a link from the daemon whose address and token lie in the state folder.
func askForLink(ctx context.Context, dir string) (string, error) {
	address, err := os.ReadFile(filepath.Join(dir, local.FileAddress))
	if err != nil {
		return "", err
	}
	token, err := os.ReadFile(filepath.Join(dir, local.FileToken))
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSpace(string(address))+"/v1/link", bytes.NewReader(nil))
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // no proxy: it is this host
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxLink))
	if err != nil {
		return "", err
	}
	var doc struct{ URL string }
	if err := json.Unmarshal(raw, &doc); err != nil || doc.URL == "" {
		return "", fmt.Errorf("the daemon answered %s", resp.Status)
	}
	return doc.URL, nil
}

type privacyCmd struct {
	What string `arg:"" enum:"all,hostname,version,none" help:"all, hostname, version, or none to tell everything."`
	Off  string `arg:"" optional:"" enum:"on,off," default:"" help:"off to tell it again."`
}

// Run keeps something from the authority from now on, or tells it again.
func (c *privacyCmd) Run(ctx context.Context, s *shell) error {
	st, err := s.agent.Status(ctx)
	if err != nil {
		return err
	}
	p, private := st.Privacy, c.Off != "off"
	switch c.What {
	case "all":
		p = agent.Privacy{Hostname: private, Version: private}
	case "none":
		p = agent.Privacy{}
	case "hostname":
		p.Hostname = private
	case "version":
		p.Version = private
	}
	if err := s.agent.SetPrivacy(ctx, p); err != nil {
		return err
	}
	return s.show(ctx, local.ShowStatus)
}

type decisionCmd struct {
	Action string `arg:"" optional:"" default:"" help:"run, use, provision, manage-licenses or register."`
}

// Run says what the product may do, and whether it may do one thing.
func (c *decisionCmd) Run(ctx context.Context, s *shell) error {
	if _, err := s.agent.Status(ctx); err != nil {
		return err
	}
	actions := []agent.Action{agent.ActionRun, agent.ActionUse, agent.ActionProvision, agent.ActionManage, agent.ActionRegister}
	known := c.Action == ""
	for _, a := range actions {
		known = known || string(a) == c.Action
	}
	if !known {
		return license.Refuse(license.KindInvalid, "unknown-action", "the actions are run, use, provision, manage-licenses and register", "there is no action %.100q", c.Action)
	}
	d := s.agent.Decision()
	allowed := c.Action == "" || d.Allows(agent.Action(c.Action))
	if s.json {
		doc := struct {
			agent.Decision
			Action  string `json:"action,omitempty"`
			Allowed *bool  `json:"allowed,omitempty"`
		}{Decision: d, Action: c.Action}
		if c.Action != "" {
			doc.Allowed = &allowed
		}
		if err := s.print(doc); err != nil {
			return err
		}
	} else {
		fmt.Fprintln(s.stdout, strings.TrimSpace(d.Sentence+" "+d.Next))
	}
	if allowed {
		return nil
	}
	return license.Refuse(license.KindRefused, "not-allowed", d.Next, "the policy %s of this product does not allow to %s now", d.Policy, c.Action)
}
