package trust

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
)

// hiddenVersion is the first byte of hidden text: AES-256-GCM with a nonce of 12 bytes, under a key that HKDF-SHA256 makes of the
// seed of the message key. When the message key is replaced, the keys of what was hidden before are kept beside the new one.
const hiddenVersion = 1

// ErrHidden is the error of hidden text that these keys do not open: it was hidden with other keys, under another label, or is
// damaged.
var ErrHidden = errors.New("hidden text does not open with these keys")

// Hide encrypts a secret that this server has to use again, such as its password at another server: who has the database and not
// the key files cannot read it. The label says whose secret it is and must be given again, so that one cannot be put in the place of
// another. Every replica with the same keys opens it.
func (k *Keys) Hide(label string, text Secret) []byte {
	box := boxOf(k.now().hiding[0])
	out := append([]byte{hiddenVersion}, Random(box.NonceSize())...)
	return box.Seal(out, out[1:], []byte(text.Reveal()), []byte(label))
}

// Unhide is the inverse of Hide, also for what was hidden before the message key was replaced. The error is ErrHidden.
func (k *Keys) Unhide(label string, hidden []byte) (Secret, error) {
	for _, key := range k.now().hiding {
		box := boxOf(key)
		if len(hidden) < 1+box.NonceSize() || hidden[0] != hiddenVersion {
			return "", fmt.Errorf("%w: it has another form", ErrHidden)
		}
		nonce, sealed := hidden[1:1+box.NonceSize()], hidden[1+box.NonceSize():]
		if text, err := box.Open(nil, nonce, sealed, []byte(label)); err == nil {
			return Secret(text), nil
		}
	}
	return "", ErrHidden
}

// hidingKey is the key of hidden text that a message key makes.
func hidingKey(seed []byte) []byte { return derived(seed, "tallystick hidden text 1") }

// derived is a key of 32 bytes for one use, made of a seed.
func derived(seed []byte, use string) []byte {
	key, err := hkdf.Key(sha256.New, seed, nil, use, 32)
	if err != nil {
		panic("trust: a key cannot be derived: " + err.Error()) // its sizes are constants
	}
	return key
}

// boxOf is the cipher of hidden text.
func boxOf(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err == nil {
		var box cipher.AEAD
		if box, err = cipher.NewGCM(block); err == nil {
			return box
		}
	}
	panic("trust: the cipher of hidden text cannot be made: " + err.Error()) // its sizes are constants
}
