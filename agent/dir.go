//go:build unix

package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/tallystick/tallystick/internal/trust"
)

// The files of a state folder.
const (
	fileState = "state.json"
	fileLock  = "lock"
	fileTurn  = "exchange.lock"
	fileCert  = "id-cert.pem"
	fileChain = "chain.pem"
)

// lockAgain is how often a taken lock is tried.
const lockAgain = 5 * time.Millisecond

// FileKeeper keeps the state in a folder that only its owner can read: state.json, and beside it, for other programs, the ID
// certificate in id-cert.pem and the chain from it to the root (issuing certificate and root) in chain.pem. Any number of
// processes may use one folder.
type FileKeeper struct {
	dir string
}

// OpenDir opens a state folder and makes it when it is not there.
func OpenDir(dir string) (*FileKeeper, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil { //nolint:gosec // the operator names the folder
		return nil, fmt.Errorf("open state folder: %w", err)
	}
	return &FileKeeper{dir: dir}, nil
}

// Load implements Keeper. Leftovers of a write that was cut off are not looked at.
func (k *FileKeeper) Load(context.Context) ([]byte, error) {
	raw, err := os.ReadFile(filepath.Join(k.dir, fileState))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return raw, err
}

// Save implements Keeper. The certificates beside the state are written first: a state that says registered has them.
func (k *FileKeeper) Save(_ context.Context, raw []byte) error {
	st, err := decodeState(raw)
	if err != nil {
		return err
	}
	if id := st.Identity; id != nil {
		if err := k.publish(fileChain, trust.CertificatePEM(id.issuers()...)); err != nil {
			return err
		}
		if err := k.publish(fileCert, trust.CertificatePEM(id.Certificate)); err != nil {
			return err
		}
	}
	if err := trust.WriteFile(filepath.Join(k.dir, fileState), raw, 0o600); err != nil {
		return err
	}
	if st.Identity != nil {
		return nil
	}
	for _, name := range []string{fileCert, fileChain} {
		if err := os.Remove(filepath.Join(k.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// publish writes a file unless it is as it should be.
func (k *FileKeeper) publish(name string, data []byte) error {
	path := filepath.Join(k.dir, name)
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, data) {
		return nil
	}
	return trust.WriteFile(path, data, 0o644)
}

// Lock implements Keeper.
func (k *FileKeeper) Lock(ctx context.Context) (func(), error) { return k.flock(ctx, fileLock) }

// takeTurn lets one process at a time talk to the authority. Without it a slow process could send a request that another one
// has long had answered, and the authority would take the two for copies of the product.
func (k *FileKeeper) takeTurn(ctx context.Context) (func(), error) { return k.flock(ctx, fileTurn) }

// flock takes a lock with flock(2), which the system gives back when a process dies.
func (k *FileKeeper) flock(ctx context.Context, name string) (func(), error) {
	f, err := os.OpenFile(filepath.Join(k.dir, name), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(err, f.Close())
		}
		timer := time.NewTimer(lockAgain)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, errors.Join(ctx.Err(), f.Close())
		case <-timer.C:
		}
	}
}
