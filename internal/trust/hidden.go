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
// seed of the message key.
const hiddenVersion = 1

// ErrHidden is the error of hidden text that these keys do not open: it was hidden with other keys, under another label, or is
// damaged.
var ErrHidden = errors.New("hidden text does not open with these keys")

// Hide encrypts a secret that this server has to use again, such as its password at another server: who has the database and not
// the key files cannot read it. The label says whose secret it is and must be given again, so that one cannot be put in the place of
// another. Every replica with the same keys opens it.
func (k *Keys) Hide(label string, text Secret) []byte {
	box := k.box()
	out := append([]byte{hiddenVersion}, Random(box.NonceSize())...)
	return box.Seal(out, out[1:], []byte(text.Reveal()), []byte(label))
}

// Unhide is the inverse of Hide. The error is ErrHidden.
func (k *Keys) Unhide(label string, hidden []byte) (Secret, error) {
	box := k.box()
	if len(hidden) < 1+box.NonceSize() || hidden[0] != hiddenVersion {
		return "", fmt.Errorf("%w: it has another form", ErrHidden)
	}
	nonce, sealed := hidden[1:1+box.NonceSize()], hidden[1+box.NonceSize():]
	text, err := box.Open(nil, nonce, sealed, []byte(label))
	if err != nil {
		return "", ErrHidden
	}
	return Secret(text), nil
}

// box is the cipher of hidden text.
func (k *Keys) box() cipher.AEAD {
	key, err := hkdf.Key(sha256.New, k.signerKey.Seed(), nil, "tallystick hidden text 1", 32)
	if err == nil {
		var block cipher.Block
		if block, err = aes.NewCipher(key); err == nil {
			var box cipher.AEAD
			if box, err = cipher.NewGCM(block); err == nil {
				return box
			}
		}
	}
	panic("trust: the cipher of hidden text cannot be made: " + err.Error()) // its sizes are constants
}
