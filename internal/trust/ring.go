package trust

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// The folder of a set holds the first pair of keys itself, and each later one in a folder of its own, which is named after its
// issuing key. The file current names the pair in force; without it, that is the first. It is written last and replaced at once, so
// whenever a process dies, one whole pair is in force. At a satellite the file next names the pair that waits for its certificate.
const (
	ringCurrent = "current"
	ringNext    = "next"
	ringPrefix  = "keys-"
	keptKeys    = "kept.key"

	hidingBlock    = "TALLYSTICK HIDING KEY"
	pseudonymBlock = "TALLYSTICK PSEUDONYM KEY"
	maxKept        = 100 // keys of hidden text, the newest first
)

// ring is an issuing certificate with its key, and the message key below it: what is replaced together.
type ring struct {
	set             string // folder of its files
	issuing, signer *x509.Certificate
	issuingKey      fixedSigner
	signerKey       ed25519.PrivateKey
	thumbprint      string // of the message certificate
	site            string // of a satellite: who it is; empty for an authority

	hiding    [][]byte // keys of hidden text: the message key's own, then those before it
	pseudonym []byte   // it outlives the message keys, so that a pseudonym stays

	before *ring // the pair before this one, for what was begun with it
}

// of is the pair of keys whose message certificate begins a chain: the one before this, or else this one.
func (r *ring) of(chain [][]byte) *ring {
	if b := r.before; b != nil && len(chain) > 0 && bytes.Equal(chain[0], b.signer.Raw) {
		return b
	}
	return r
}

// pointed reads a file that names a pair of keys; empty when there is none.
func pointed(set, file string) (string, error) {
	path := filepath.Join(set, file)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	name := strings.TrimSuffix(string(text), "\n")
	if id, ok := strings.CutPrefix(name, ringPrefix); !ok || !ValidID(sitePrefix, id) {
		return "", fmt.Errorf("%s is damaged", path)
	}
	return filepath.Join(set, name), nil
}

// point makes a file name a pair of keys.
func point(set, file, pair string) error {
	return WriteFile(filepath.Join(set, file), []byte(filepath.Base(pair)+"\n"), 0o600)
}

// inForce is the folder of the pair of keys in force.
func inForce(set string) (string, error) {
	pair, err := pointed(set, ringCurrent)
	if pair == "" {
		pair = set
	}
	return pair, err
}

// readRing reads the pair of keys in force and checks that it stands below the root.
func (k *Keys) readRing() (*ring, error) {
	pair, err := inForce(k.set)
	if err != nil {
		return nil, err
	}
	return readPairOf(pair, k.root)
}

// readPairOf reads what stands below the root in a folder: the issuing certificate and the message key.
func readPairOf(pair string, root *x509.Certificate) (*ring, error) {
	issuing, issuingSigner, err := readPair(pair, issuingCert, issuingKey, root)
	if err != nil {
		return nil, err
	}
	signer, messageSigner, err := readPair(pair, signerCert, signerKey, issuing)
	if err != nil {
		return nil, err
	}
	issuingEC, ok := issuingSigner.(*ecdsa.PrivateKey)
	if !ok || issuingEC.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%s: not a P-256 key", filepath.Join(pair, issuingKey))
	}
	message, ok := messageSigner.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s: not an Ed25519 key", filepath.Join(pair, signerKey))
	}
	r := &ring{
		set: pair, issuing: issuing, signer: signer, issuingKey: fixedSigner{issuingEC}, signerKey: message, thumbprint: thumbprint(signer.Raw),
		site: siteOfIssuer(issuing),
	}
	want := purposeSigner
	if r.site != "" {
		want = purposeSatellite
	}
	if !hasPurpose(signer, want) {
		return nil, fmt.Errorf("%s: not the certificate of a message key", filepath.Join(pair, signerCert))
	}
	return r, r.readKept()
}

// readKept reads the keys that outlive a message key.
func (r *ring) readKept() error {
	r.hiding, r.pseudonym = [][]byte{hidingKey(r.signerKey.Seed())}, pseudonymKey(r.signerKey.Seed())
	path := filepath.Join(r.set, keptKeys)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for len(text) > 0 {
		block, rest := pem.Decode(text)
		if block == nil || len(block.Bytes) != 32 || len(r.hiding) > maxKept {
			return fmt.Errorf("%s is damaged", path)
		}
		switch block.Type {
		case hidingBlock:
			r.hiding = append(r.hiding, block.Bytes)
		case pseudonymBlock:
			r.pseudonym = block.Bytes
		default:
			return fmt.Errorf("%s is damaged", path)
		}
		text = rest
	}
	return nil
}

// kept is what the pair of keys after this one keeps of it.
func (r *ring) kept() []byte {
	var b bytes.Buffer
	for _, key := range r.hiding[:min(len(r.hiding), maxKept)] {
		_ = pem.Encode(&b, &pem.Block{Type: hidingBlock, Bytes: key}) // a buffer does not fail
	}
	_ = pem.Encode(&b, &pem.Block{Type: pseudonymBlock, Bytes: r.pseudonym})
	return b.Bytes()
}

// Refresh takes over what another process has put in force in the key folder: a pair of keys, or a renewed certificate. It says
// whether something did. Where nothing changed it costs the reading of two small files.
func (k *Keys) Refresh() (bool, error) {
	k.turn.Lock()
	defer k.turn.Unlock()
	now := k.now()
	pair, err := inForce(k.set)
	if err != nil {
		return false, fmt.Errorf("refresh keys: %w", err)
	}
	if pair == now.set {
		der, err := readPEM(filepath.Join(pair, issuingCert), certBlock)
		if err != nil || bytes.Equal(der, now.issuing.Raw) {
			return false, err
		}
	}
	next, err := readPairOf(pair, k.root)
	if err != nil {
		return false, fmt.Errorf("refresh keys: %w", err)
	}
	if (next.site == "") != (now.site == "") {
		return false, fmt.Errorf("refresh keys: %s holds the keys of another kind of server", pair)
	}
	if next.before = now; pair == now.set {
		next.before = now.before
	}
	if b := next.before; b != nil {
		short := *b
		short.before = nil
		next.before = &short
	}
	k.ring.Store(next)
	return true, nil
}

// makePair writes the files of a pair into a folder that gets its name when they are whole.
func makePair(set, id string, files map[string][]byte) (string, error) {
	temp, err := os.MkdirTemp(set, ".new-*") // mode 0700
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(temp) }() // nothing there after the rename
	for name, text := range files {
		if err := WriteFile(filepath.Join(temp, name), text, 0o600); err != nil {
			return "", err
		}
	}
	pair := filepath.Join(set, ringPrefix+id)
	if err := os.Rename(temp, pair); err != nil {
		return "", err
	}
	return pair, syncDir(set)
}

// forget removes the private keys of all pairs but the one in force and the one that waits. Their certificates stay.
func forget(set string) error {
	current, err := pointed(set, ringCurrent)
	if err != nil || current == "" {
		return err
	}
	waiting, err := pointed(set, ringNext)
	if err != nil {
		return err
	}
	pairs, err := filepath.Glob(filepath.Join(set, ringPrefix+"*"))
	if err != nil {
		return err
	}
	for _, pair := range append(pairs, set) {
		if pair == current || pair == waiting {
			continue
		}
		for _, name := range []string{issuingKey, signerKey, keptKeys} {
			if err := os.Remove(filepath.Join(pair, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}
