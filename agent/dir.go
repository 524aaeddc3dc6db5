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
	fileCopy  = "state.copy.json"
	fileBad   = "state.damaged.json"
	fileKey   = "id-key.pem"
	fileLock  = "lock"
	fileTurn  = "exchange.lock"
	fileCert  = "id-cert.pem"
	fileChain = "chain.pem"
)

// lockAgain is how often a taken lock is tried.
const lockAgain = 5 * time.Millisecond

// suffixAnchor, behind the name of the state folder, is the file that remembers what must outlive it.
const suffixAnchor = ".anchor"

// FileKeeper keeps the state in a folder that only its owner can read: state.json, its second copy state.copy.json, and
// beside them the ID certificate in id-cert.pem with its key in id-key.pem and the chain from it to the root (issuing
// certificate and root) in chain.pem. Beside the folder, under its name with .anchor behind it, stands what must outlive the
// folder. Any number of processes may use one folder.
type FileKeeper struct {
	dir    string
	copies []string // files
}

// OpenDir opens a state folder and makes it when it is not there. The second copy of the state goes into each of the folders
// given in copies, else into the state folder itself.
func OpenDir(dir string, copies ...string) (*FileKeeper, error) {
	k := &FileKeeper{}
	var err error
	if k.dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("open state folder: %w", err)
	}
	if len(copies) == 0 {
		copies = []string{dir}
	}
	for _, folder := range append([]string{dir}, copies...) {
		if err := os.MkdirAll(folder, 0o700); err != nil { //nolint:gosec // the operator names the folder
			return nil, fmt.Errorf("open state folder: %w", err)
		}
	}
	for _, folder := range copies {
		k.copies = append(k.copies, filepath.Join(folder, fileCopy))
	}
	return k, nil
}

// Load implements Keeper. Leftovers of a write that was cut off are not looked at.
func (k *FileKeeper) Load(context.Context) ([]byte, error) { return readFile(k.path(fileState)) }

func (k *FileKeeper) path(name string) string { return filepath.Join(k.dir, name) }

// readFile reads a file; none is nil.
func readFile(path string) ([]byte, error) {
	raw, err := os.ReadFile(path) //nolint:gosec // a file of the state folder
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return raw, err
}

// Save implements Keeper. The certificates beside the state are written first: a state that says registered has them. The
// second copy comes before the state, so that it is never the older of the two. A state that is damaged is put aside.
func (k *FileKeeper) Save(_ context.Context, raw []byte) error {
	st, err := decodeState(raw)
	if err != nil {
		return err
	}
	if id := st.Identity; id != nil {
		if err := k.publish(fileKey, id.Key, 0o600); err != nil {
			return err
		}
		if err := k.publish(fileChain, trust.CertificatePEM(id.issuers()...), 0o644); err != nil {
			return err
		}
		if err := k.publish(fileCert, trust.CertificatePEM(id.Certificate), 0o644); err != nil {
			return err
		}
	}
	if old, err := readFile(k.path(fileState)); err == nil && old != nil {
		if _, err := decodeState(old); err != nil {
			if err := trust.WriteFile(k.path(fileBad), old, 0o600); err != nil {
				return err
			}
		}
	}
	for _, path := range k.copies {
		if err := trust.WriteFile(path, raw, 0o600); err != nil {
			return fmt.Errorf("second copy: %w", err)
		}
	}
	if err := trust.WriteFile(k.path(fileState), raw, 0o600); err != nil {
		return err
	}
	if st.Identity != nil {
		return nil
	}
	for _, name := range []string{fileCert, fileChain, fileKey} {
		if err := os.Remove(k.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) { //nolint:gosec // the operator names the folder
			return err
		}
	}
	return nil
}

// rebuild is the state from its second copy, else from the files of the identity; nil when neither is there.
func (k *FileKeeper) rebuild(context.Context) *state {
	for _, path := range k.copies {
		if raw, err := readFile(path); err == nil && raw != nil {
			if st, err := decodeState(raw); err == nil {
				return st
			}
		}
	}
	var files [3][]byte
	for i, name := range []string{fileKey, fileCert, fileChain} {
		raw, err := readFile(k.path(name))
		if err != nil || raw == nil {
			return nil
		}
		files[i] = raw
	}
	return stateOf(files[0], files[1], files[2])
}

// stamp changes whenever the state was saved.
func (k *FileKeeper) stamp() (time.Time, int64) {
	info, err := os.Stat(k.path(fileState))
	if err != nil {
		return time.Time{}, 0
	}
	return info.ModTime(), info.Size()
}

// anchors are the files outside the folder that remember what must outlive it.
func (k *FileKeeper) anchors() []Anchor { return []Anchor{fileAnchor(k.dir + suffixAnchor)} }

// fileAnchor is an Anchor in one file.
type fileAnchor string

// Load implements Anchor.
func (f fileAnchor) Load(context.Context) ([]byte, error) { return readFile(string(f)) }

// Save implements Anchor.
func (f fileAnchor) Save(_ context.Context, raw []byte) error {
	return trust.WriteFile(string(f), raw, 0o600)
}

// publish writes a file unless it is as it should be.
func (k *FileKeeper) publish(name string, data []byte, mode os.FileMode) error {
	path := k.path(name)
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, data) { //nolint:gosec // the operator names the folder
		return nil
	}
	return trust.WriteFile(path, data, mode)
}

// Lock implements Keeper.
func (k *FileKeeper) Lock(ctx context.Context) (func(), error) { return k.flock(ctx, fileLock) }

// takeTurn lets one process at a time talk to the authority. Without it a slow process could send a request that another one
// has long had answered, and the authority would take the two for copies of the product.
func (k *FileKeeper) takeTurn(ctx context.Context) (func(), error) { return k.flock(ctx, fileTurn) }

// flock takes a lock with flock(2), which the system gives back when a process dies.
func (k *FileKeeper) flock(ctx context.Context, name string) (func(), error) {
	f, err := os.OpenFile(k.path(name), os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the operator names the folder
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
