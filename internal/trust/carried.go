package trust

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// A carried file is a message on paper's terms: text that people can read, followed by a detached signature (RFC 7515,
// appendix F) over exactly the bytes of that text. It is the same envelope as any other with its payload written out, so
// it is verified by the same code, and there is one way only to write the file of an envelope.
const (
	signatureBegin = "-----BEGIN TALLYSTICK SIGNATURE-----\n"
	signatureEnd   = "-----END TALLYSTICK SIGNATURE-----\n"
	signatureWidth = 76
)

// ErrCutOff is the error of a carried file whose end is missing.
var ErrCutOff = errors.New("the file is cut off")

// ErrLineEnds is the error of a carried file whose line ends were changed on its way, as some mail programs do.
var ErrLineEnds = errors.New("the line ends of the file were changed on its way")

// SealFile signs a text with the message key as a file that people carry. The text is UTF-8 without control characters
// but tab and line feed, and ends in a line feed. The same input gives the same bytes. h.KeyID is set here.
func (k *Keys) SealFile(h Header, text []byte) ([]byte, error) {
	if err := checkCarried(text); err != nil {
		return nil, fmt.Errorf("seal file: %w", err)
	}
	return carry(k.Seal(h, text), text)
}

// SealProductFile is SealFile with a product's key; see SealProduct.
func SealProductFile(key crypto.Signer, h Header, embedKey bool, text []byte) ([]byte, error) {
	if err := checkCarried(text); err != nil {
		return nil, fmt.Errorf("seal file: %w", err)
	}
	envelope, err := SealProduct(key, h, embedKey, text)
	if err != nil {
		return nil, err
	}
	return carry(envelope, text)
}

// PeekFile reads the protected header of a carried file of at most limit bytes before anything is verified; see Peek.
func PeekFile(file []byte, limit int) (Header, error) {
	envelope, err := envelopeOf(file, limit)
	if err != nil {
		return Header{}, err
	}
	return Peek(envelope)
}

// OpenAuthorityFile is OpenAuthority for a carried file of at most pins.MaxBytes bytes (zero means MaxEnvelope). The
// payload is the text. Further errors are ErrCutOff and ErrLineEnds.
func OpenAuthorityFile(file []byte, kinds []string, audience string, pins Pins, now time.Time) (Envelope, error) {
	limit := pins.MaxBytes
	if limit == 0 {
		limit = MaxEnvelope
	}
	envelope, err := envelopeOf(file, limit)
	if err != nil {
		return Envelope{}, err
	}
	pins.MaxBytes = len(envelope)
	return OpenAuthority(envelope, kinds, audience, pins, now)
}

// OpenProductFile is OpenProduct for a carried file of at most limit bytes. The payload is the text. Further errors are
// ErrCutOff and ErrLineEnds.
func OpenProductFile(file []byte, kind, audience string, key *ecdsa.PublicKey, limit int) (Envelope, error) {
	envelope, err := envelopeOf(file, limit)
	if err != nil {
		return Envelope{}, err
	}
	return openProduct(envelope, kind, audience, key, len(envelope))
}

// carry writes the envelope of a text as a file.
func carry(envelope, text []byte) ([]byte, error) {
	dot := bytes.IndexByte(envelope, '.')
	detached := append(bytes.Clone(envelope[:dot+1]), envelope[len(envelope)-signatureLen-1:]...)
	b := make([]byte, 0, len(text)+len(detached)*78/signatureWidth+len(signatureBegin)+len(signatureEnd)+2)
	b = append(append(b, text...), signatureBegin...)
	for len(detached) > 0 {
		n := min(signatureWidth, len(detached))
		b = append(append(b, detached[:n]...), '\n')
		detached = detached[n:]
	}
	return append(b, signatureEnd...), nil
}

// envelopeOf reads a carried file back into the one envelope that it was made from. Nothing is verified but the form.
func envelopeOf(file []byte, limit int) ([]byte, error) {
	if len(file) > limit {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(file), limit)
	}
	if bytes.IndexByte(file, '\r') >= 0 && bytes.Contains(file, []byte(strings.TrimSpace(signatureBegin))) {
		return nil, ErrLineEnds
	}
	at := bytes.Index(file, []byte("\n"+signatureBegin))
	if at < 0 {
		whole := file[:max(0, len(file)-utf8.UTFMax+1)] // the cut may have gone through a letter
		if len(file) == 0 || !utf8.Valid(whole[:bytes.LastIndexByte(whole, '\n')+1]) || bytes.IndexByte(file, 0) >= 0 {
			return nil, fmt.Errorf("%w: not a file of ours", ErrMalformed)
		}
		return nil, fmt.Errorf("%w: it has no signature", ErrCutOff)
	}
	text, tail := file[:at+1], file[at+1+len(signatureBegin):]
	if err := checkCarried(text); err != nil {
		return nil, err
	}
	lines, ok := bytes.CutSuffix(tail, []byte(signatureEnd))
	if !ok {
		if bytes.Contains(tail, []byte(signatureEnd)) {
			return nil, fmt.Errorf("%w: something follows after the signature", ErrMalformed)
		}
		return nil, fmt.Errorf("%w: its signature does not end", ErrCutOff)
	}
	var detached []byte
	for len(lines) > 0 {
		line, rest, found := bytes.Cut(lines, []byte{'\n'})
		if full := len(line) == signatureWidth; !found || len(line) == 0 || len(line) > signatureWidth || !full && len(rest) > 0 {
			return nil, fmt.Errorf("%w: the lines of the signature are not as they were written", ErrMalformed)
		}
		detached, lines = append(detached, line...), rest
	}
	header, signature, ok := bytes.Cut(detached, []byte(".."))
	if !ok {
		return nil, fmt.Errorf("%w: the signature is not a detached one", ErrMalformed)
	}
	enc := base64.RawURLEncoding
	b := make([]byte, 0, len(header)+1+enc.EncodedLen(len(text))+1+len(signature))
	b = append(append(b, header...), '.')
	b = enc.AppendEncode(b, text)
	return append(append(b, '.'), signature...), nil
}

// checkCarried refuses text that could not be read by people or would not come back as it went.
func checkCarried(text []byte) error {
	switch {
	case len(text) == 0 || text[len(text)-1] != '\n':
		return fmt.Errorf("%w: the text does not end in a line feed", ErrMalformed)
	case !utf8.Valid(text):
		return fmt.Errorf("%w: the text is not UTF-8", ErrMalformed)
	case bytes.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r == 0x7f }):
		return fmt.Errorf("%w: the text has control characters", ErrMalformed)
	case bytes.HasPrefix(text, []byte(signatureBegin)) || bytes.Contains(text, []byte("\n"+signatureBegin)):
		return fmt.Errorf("%w: the text has a line that begins a signature", ErrMalformed)
	}
	return nil
}
