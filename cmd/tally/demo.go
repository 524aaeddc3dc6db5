package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tallystick/tallystick/api"
)

type demoCmd struct {
	Listen string        `help:"Loopback address to listen on; any free port when left out." default:"127.0.0.1:0" placeholder:"ADDR"`
	Pace   time.Duration `help:"How long the day of meetings takes." default:"30s"`
	Once   bool          `help:"End after the tour." env:"-"`
}

// demo is one run of the demo.
type demo struct {
	shell     *shell
	now       func() time.Time
	folder    string
	address   string
	key       string
	client    *api.Client
	account   string
	directory demoDirectory

	plantAddress, plantKey string       // the satellite
	plantServed            <-chan error // has how serving it went, nil before it was begun
}

// Run shows a complete estate until it is interrupted, and leaves nothing behind.
func (c demoCmd) Run(ctx context.Context, s *shell) (err error) {
	folder, err := os.MkdirTemp("", "tally-demo-")
	if err != nil {
		return fmt.Errorf("make the folder of the demo: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	config := Config{Data: filepath.Join(folder, "data"), Listen: c.Listen, Plaintext: true, LogLevel: "error"}
	log := config.logger(s.stderr)
	d := &demo{shell: s, now: clock(), folder: folder, directory: newDemoDirectory()}
	if d.key, err = bootstrap(ctx, config, log, false); err != nil {
		return err
	}

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var served <-chan error
	if d.address, served, err = serveUntil(ctx, stop, config, log); err != nil || d.address == "" {
		return err
	}
	defer func() {
		stop()
		if d.plantServed != nil {
			err = cmp.Or(<-d.plantServed, err)
		}
		err = cmp.Or(<-served, err)
	}()

	link, err := signInLink(ctx, config, log, d.address)
	if err == nil {
		fmt.Fprintf(s.stdout, "Tallystick runs at %s\nSign in to the console with this link, which works once within 10 minutes:\n\n  %s\n\n", d.address, link)
		err = d.show(ctx, stop, log, c.Pace)
	}
	switch {
	case ctx.Err() != nil: // interrupted, or the server failed and says why
		return nil
	case err != nil || c.Once:
		return err
	}
	<-ctx.Done()
	return nil
}

// serveUntil serves until ctx ends, and returns the address once the server is ready, and a channel that has how it ended. stop is
// called when it ends. When it was interrupted before it was ready, the address is empty.
func serveUntil(ctx context.Context, stop func(), config Config, log *slog.Logger) (address string, _ <-chan error, err error) {
	ready, line := io.Pipe()
	served := make(chan error, 1)
	go func() { // ends with ctx
		err := serve(ctx, config, line, log)
		_ = line.Close() // a pipe in memory
		stop()
		served <- err
	}()
	said, err := bufio.NewReader(ready).ReadString('\n')
	if err != nil {
		return "", nil, <-served // it ended before it was ready, and says why
	}
	return strings.TrimSpace(strings.TrimPrefix(said, "listening on ")), served, nil
}

// show seeds the estate, posts the meetings, and ends with the tour.
func (d *demo) show(ctx context.Context, stop func(), log *slog.Logger, pace time.Duration) (err error) {
	if d.client, err = api.New(api.Config{URL: d.address, Key: d.key}); err != nil {
		return err
	}
	receiver, err := d.seed(ctx)
	if err != nil {
		return fmt.Errorf("seed the estate: %w", err)
	}
	if err := d.register(ctx); err != nil {
		return err
	}
	if err := d.plant(ctx, stop, log); err != nil {
		return fmt.Errorf("set up the satellite: %w", err)
	}
	fmt.Fprintf(d.shell.stdout, "%s has 4 virtual accounts, one of them at a satellite, %d orders, %d users, %d spaces and %d products.\n",
		demoDomain, len(demoOrders(d.now())), len(d.directory.Users), len(d.directory.Spaces), len(demoProducts())+1)
	if err := d.replay(ctx, receiver, pace); err != nil {
		return err
	}
	return d.tour(ctx)
}

// replay posts the day of meetings as the call bridge would have, only faster, and shows the first result when it is there.
// The last record is of the moment at which it is sent.
func (d *demo) replay(ctx context.Context, receiver string, pace time.Duration) error {
	begun := d.now()
	end := begun.Add(pace)
	posts, err := demoPosts(d.directory, end)
	if err != nil {
		return err
	}
	day := end.Add(-demoDay)
	defer d.shell.progressEnd()
	var shown bool
	var looked time.Time
	for _, post := range posts {
		due := begun.Add(time.Duration(float64(post.at.Sub(day)) / float64(demoDay) * float64(pace)))
		if err := wait(ctx, due.Sub(d.now())); err != nil {
			return err
		}
		if err := d.post(ctx, receiver, post.body); err != nil {
			return err
		}
		if now := d.now(); !shown || now.Sub(looked) > time.Second {
			looked = now
			meetings, err := api.Collect(d.client.Meetings(ctx, d.account, api.MeetingFilter{}))
			if err != nil {
				return err
			}
			if !shown {
				shown = d.first(meetings)
			}
			c := countMeetings(meetings)
			d.shell.progress("%s: %d meetings, %d personal, %d shared, %d running", post.at.Format("15:04 MST"), c.all, c.personal, c.shared, c.running)
		}
	}
	return nil
}

// wait returns after a time, or with the error of ctx when that ended first.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(max(d, 0))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// post hands one body of call records to the receiver, as a call bridge does.
func (d *demo) post(ctx context.Context, receiver string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, receiver, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("post call records: %w", err)
	}
	req.Header.Set("Content-Type", "text/xml")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("post call records: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return fmt.Errorf("post call records: the receiver answered %s: %s", resp.Status, said)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// first shows the first meeting with its license and the reason for it, once there is one.
func (d *demo) first(meetings []api.Meeting) (shown bool) {
	for _, m := range meetings {
		if len(m.Segments) == 0 {
			continue
		}
		segment := m.Segments[0]
		fmt.Fprintf(d.shell.stdout, "\nThe first result: %q takes %s, rule %s:\n", m.Name, taking(segment), segment.Rule)
		writeWhy(d.shell.stdout, segment.Why, segment.More)
		fmt.Fprint(d.shell.stdout, "\nForty meetings of the last nine hours follow.\n\n")
		return true
	}
	return false
}

// meetingCounts sums up meetings.
type meetingCounts struct{ all, personal, shared, running int }

func countMeetings(meetings []api.Meeting) (c meetingCounts) {
	for _, m := range meetings {
		c.all++
		switch taken, user := takenBy(m); {
		case user != "":
			c.personal++
		case taken != "":
			c.shared++
		}
		if m.Running {
			c.running++
		}
	}
	return c
}
