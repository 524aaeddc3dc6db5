package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/tallystick/tallystick/internal/license"
)

// lockDatabase keeps a second server away from an SQLite file: its lanes expect to be the only ones. Verbs on the host do
// not ask for the lock. The system gives it back when the process dies. PostgreSQL needs none.
func lockDatabase(database string) (unlock func() error, err error) {
	if strings.Contains(database, "://") {
		return func() error { return nil }, nil
	}
	return lockFile(strings.TrimPrefix(database, "file:")+".lock", license.Refuse(license.KindRefused, "in-use",
		"stop the other server, choose another --data, or use PostgreSQL for several servers", "another `tally serve` is at work on %s", database))
}

// lockFile takes a lock that the system gives back when the process dies; taken is the error when another one has it.
func lockFile(path string, taken error) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		err = errors.Join(err, f.Close())
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, taken
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f.Close, nil
}
