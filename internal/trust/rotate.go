package trust

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Rotate replaces the issuing key and the message key of the authority whose keys are in dir, below the same root, and says which
// issuer was replaced by which. Servers that run take the new pair over with Refresh; products and satellites take its word wherever
// they took that of the old one, and from then on that of the old one no more. The old private keys are removed. Whenever the process
// dies, one whole pair is in force. lost are issuers that the new one follows too, though this folder does not know them: they were in
// force before an older copy of the folder was put back. One caller at a time. Without the key of the root the error is ErrRootKeyAway.
func Rotate(dir string, lost []string, now time.Time) (before, after string, err error) {
	for _, issuer := range lost {
		if !ValidID(sitePrefix, issuer) {
			return "", "", fmt.Errorf("%q is not the name of an issuer", issuer)
		}
	}
	set := filepath.Join(dir, keySet)
	k, err := readKeys(set)
	if err != nil {
		return "", "", fmt.Errorf("open keys: %w", err)
	}
	root, err := k.rootSigner()
	if err != nil {
		return "", "", err
	}
	r := k.now()
	before = issuerID(r.issuing)
	follows := append(predecessors(r.issuing), Predecessor{Issuer: before})
	for _, issuer := range lost {
		follows = append(follows, Predecessor{Issuer: issuer})
	}
	files, after, err := newPair(k.root, root, follows, now)
	if err != nil {
		return "", "", fmt.Errorf("make keys: %w", err)
	}
	files[keptKeys] = r.kept()
	pair, err := makePair(set, after, files)
	if err != nil {
		return "", "", fmt.Errorf("make keys: %w", err)
	}
	if err := point(set, ringCurrent, pair); err != nil {
		return "", "", fmt.Errorf("put keys in force: %w", err)
	}
	return before, after, forget(set)
}

// PrepareSite makes the pair of keys that is to replace that of the satellite in dir, and says who the satellite is and will be. The
// pair waits for its certificate: until Promote the one before it is in force. Where one waits already, that is it.
func PrepareSite(dir string) (before, after string, err error) {
	set := filepath.Join(dir, siteSet)
	pair, err := inForce(set)
	if err != nil {
		return "", "", fmt.Errorf("open keys: %w", err)
	}
	root, err := readRoot(set)
	if err != nil {
		return "", "", fmt.Errorf("open keys: %w", err)
	}
	r, err := readPairOf(pair, root)
	if err != nil {
		return "", "", fmt.Errorf("open keys: %w", err)
	}
	next, err := nextSite(set)
	if err != nil {
		return "", "", err
	}
	if next != nil {
		return r.site, next.ID(), nil
	}
	files, after, err := newSitePair()
	if err != nil {
		return "", "", fmt.Errorf("make keys: %w", err)
	}
	files[keptKeys] = r.kept()
	if pair, err = makePair(set, after, files); err != nil {
		return "", "", fmt.Errorf("make keys: %w", err)
	}
	return r.site, after, point(set, ringNext, pair)
}

// NextSite is the pair of keys of a satellite that waits for its certificate, nil for none.
func (k *Keys) NextSite() (*Site, error) {
	if k.Site() == "" {
		return nil, nil
	}
	return nextSite(k.set)
}

func nextSite(set string) (*Site, error) {
	pair, err := pointed(set, ringNext)
	if err != nil || pair == "" {
		return nil, err
	}
	if current, err := inForce(set); err != nil || pair == current {
		return nil, err // it is in force already, and the process died before it said so
	}
	return openSite(set, pair)
}

// Promote puts the pair of keys that waits in force, once it is certified, and removes the private keys before it. The caller has
// seen to it that everybody who took the word of the old pair takes that of the new one.
func (k *Keys) Promote(next *Site) error {
	if _, err := readPairOf(next.pair, k.root); err != nil {
		return fmt.Errorf("put keys in force: %w", err)
	}
	if err := point(k.set, ringCurrent, next.pair); err != nil {
		return fmt.Errorf("put keys in force: %w", err)
	}
	if _, err := k.Refresh(); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(k.set, ringNext)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return forget(k.set)
}

// KeyState is what a key folder holds, for people.
type KeyState struct {
	Site    string // of a satellite, empty for an authority
	Issuer  string // made of the issuing key in force; of a satellite it is Site
	Root    Fingerprint
	RootKey bool // whether the root's key is in the folder
	// Since is when the issuing certificate in force was made, Ends when it ends, MessagesEnd when the message certificate does.
	Since, Ends, MessagesEnd time.Time
	Replaced                 []string // issuers that this one follows, the oldest first
	Waiting                  string   // of a satellite: who it will be, by the keys that wait for their certificate
}

// State says what the key folder holds.
func (k *Keys) State() (KeyState, error) {
	r := k.now()
	s := KeyState{
		Site: r.site, Issuer: issuerID(r.issuing), Root: k.Fingerprint(), Since: r.issuing.NotBefore.Add(clockSlack).UTC(), Ends: r.issuing.NotAfter.UTC(),
		MessagesEnd: r.signer.NotAfter.UTC(),
	}
	for _, p := range predecessors(r.issuing) {
		if !slices.Contains(s.Replaced, p.Issuer) {
			s.Replaced = append(s.Replaced, p.Issuer)
		}
	}
	if _, err := os.Lstat(filepath.Join(k.set, rootKey)); err == nil {
		s.RootKey = true
	}
	next, err := k.NextSite()
	if err != nil {
		return s, err
	}
	if next != nil {
		s.Waiting = next.ID()
	}
	return s, nil
}
