package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tallystick/tallystick/internal/trust"
)

// A server that runs takes over keys that were replaced beside it, and its server certificate with them.
func TestServerFollowsReplacedKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		keys, err := trust.OpenKeys(dir, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		own := &serverCertificate{keys: keys, names: []string{"localhost"}, now: time.Now}
		first, err := own.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done, tries := make(chan struct{}), 0
		keep := func(context.Context) error {
			if tries++; tries == 1 {
				return errors.New("the database is busy")
			}
			return nil
		}
		go func() {
			defer close(done)
			followKeys(ctx, keys, keep, slog.New(slog.NewTextHandler(io.Discard, nil)))
		}()
		before, after, err := trust.Rotate(dir, nil, time.Now())
		if err != nil || before == after {
			t.Fatal(err)
		}
		time.Sleep(3*keysEvery + time.Second)
		synctest.Wait()
		s, err := keys.State()
		if err != nil || s.Issuer != after || len(s.Replaced) != 1 || s.Replaced[0] != before || !s.RootKey {
			t.Errorf("the keys are %+v, %v; want %s", s, err, after)
		}
		if now, err := own.get(nil); err != nil || now == first || !keys.Issued(now.Certificate[0]) {
			t.Errorf("the server certificate is below the keys of before: %v", err)
		}
		stop()
		<-done
		if tries != 2 {
			t.Errorf("the keys in force were kept %d times, want until it worked", tries)
		}
	})
}
