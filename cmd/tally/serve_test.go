package main

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/trust"
)

func TestOneServerOnAnEmbeddedDatabase(t *testing.T) {
	t.Parallel()
	database := filepath.Join(t.TempDir(), "tally.db")
	unlock, err := lockDatabase(database)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockDatabase(database); exitCode(err) != exitRefused {
		t.Errorf("a second server: %v, want a refusal", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	again, err := lockDatabase(database)
	if err != nil {
		t.Fatalf("after the first server ended: %v, want nil", err)
	}
	if err := again(); err != nil {
		t.Error(err)
	}
	if _, err := lockDatabase("postgres://a.example/tally"); err != nil {
		t.Errorf("on PostgreSQL: %v, want no lock", err)
	}
}

func TestServerCertificateIsRenewedAtTwoThirdsOfItsLife(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	keys, err := trust.OpenKeys(t.TempDir(), now)
	if err != nil {
		t.Fatal(err)
	}
	c := &serverCertificate{keys: keys, names: serverNames([]string{"licenses.example", "localhost"}, "host"), now: func() time.Time { return now }}
	first, err := c.get(nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"licenses.example", "localhost", "host"}; !slices.Equal(first.Leaf.DNSNames, want) || len(first.Leaf.IPAddresses) != 2 {
		t.Errorf("names %v and %v, want %v and two addresses", first.Leaf.DNSNames, first.Leaf.IPAddresses, want)
	}
	life := first.Leaf.NotAfter.Sub(first.Leaf.NotBefore)
	for _, step := range []struct {
		at   time.Time
		same bool
	}{{first.Leaf.NotBefore.Add(life*2/3 - time.Minute), true}, {first.Leaf.NotBefore.Add(life*2/3 + time.Minute), false}} {
		now = step.at
		got, err := c.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		if same := got == first; same != step.same {
			t.Errorf("at %s the certificate is the same: %v, want %v", step.at, same, step.same)
		}
	}
}
