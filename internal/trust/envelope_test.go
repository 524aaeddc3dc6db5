package trust

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"testing"
	"time"
)

func productHeader() Header {
	return Header{Kind: "tallystick-authorize", KeyID: "acc_01/ins_02", Audience: "authority", Number: 42}
}

func sealProduct(t testing.TB, key *ecdsa.PrivateKey, h Header, embed bool, payload []byte) []byte {
	t.Helper()
	b, err := SealProduct(key, h, embed, payload)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestProductEnvelope(t *testing.T) {
	t.Parallel()
	key, other := NewProductKey(), NewProductKey()
	h, payload := productHeader(), []byte(`{"usage":1}`)
	for _, embed := range []bool{false, true} {
		b := sealProduct(t, key, h, embed, payload)
		peeked, err := Peek(b)
		if err != nil || fmt.Sprint(peeked) != fmt.Sprint(h) {
			t.Errorf("Peek = %+v, %v, want %+v", peeked, err, h)
		}
		e, err := OpenProduct(b, h.Kind, h.Audience, &key.PublicKey)
		if err != nil || !bytes.Equal(e.Payload, payload) || fmt.Sprint(e.Header) != fmt.Sprint(h) || e.Signer != nil {
			t.Errorf("OpenProduct = %+v, %v", e, err)
		}
		if (e.EmbeddedKey() != nil) != embed || (embed && !e.EmbeddedKey().Equal(key.Public())) {
			t.Errorf("EmbeddedKey = %v, embedded: %t", e.EmbeddedKey(), embed)
		}
		if again, err := OpenProduct(sealProduct(t, key, h, embed, payload), h.Kind, h.Audience, &key.PublicKey); err != nil || again.Digest() != e.Digest() {
			t.Errorf("signed again: another digest, %v", err)
		}
	}
	plain, embedded := sealProduct(t, key, h, false, payload), sealProduct(t, key, h, true, payload)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		envelope       []byte
		kind, audience string
		key            *ecdsa.PublicKey
		want           error
	}{
		"registration":      {embedded, h.Kind, h.Audience, nil, nil},
		"other kind":        {plain, "tallystick-renew", h.Audience, &key.PublicKey, ErrKind},
		"other audience":    {plain, h.Kind, "satellite", &key.PublicKey, ErrAudience},
		"other key":         {plain, h.Kind, h.Audience, &other.PublicKey, ErrSignature},
		"no key":            {plain, h.Kind, h.Audience, nil, ErrKey},
		"carries other key": {embedded, h.Kind, h.Audience, &other.PublicKey, ErrKey},
		"P-384":             {plain, h.Kind, h.Audience, &p384.PublicKey, ErrKey},
		"zero key":          {plain, h.Kind, h.Audience, &ecdsa.PublicKey{}, ErrKey},
		"too large":         {append(bytes.Clone(plain), make([]byte, MaxEnvelope)...), h.Kind, h.Audience, &key.PublicKey, ErrTooLarge},
		"trailing byte":     {append(bytes.Clone(plain), 'A'), h.Kind, h.Audience, &key.PublicKey, ErrMalformed},
		"trailing line end": {append(bytes.Clone(plain), '\n'), h.Kind, h.Audience, &key.PublicKey, ErrMalformed},
		"trailing part":     {append(bytes.Clone(plain), ".AAAA"...), h.Kind, h.Audience, &key.PublicKey, ErrMalformed},
		"cut off":           {plain[:len(plain)-1], h.Kind, h.Audience, &key.PublicKey, ErrMalformed},
		"empty":             {nil, h.Kind, h.Audience, &key.PublicKey, ErrMalformed},
		"certificates":      {sealProduct(t, key, Header{Kind: h.Kind, Audience: h.Audience, Chain: [][]byte{{1}}}, false, nil), h.Kind, h.Audience, &key.PublicKey, ErrMalformed},
	} {
		e, err := OpenProduct(c.envelope, c.kind, c.audience, c.key)
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) || (err != nil && e.Payload != nil) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	e, err := OpenProduct(plain, h.Kind, h.Audience, &key.PublicKey)
	if err != nil || e.CheckNumber(42) != nil || !errors.Is(e.CheckNumber(41), ErrNumber) {
		t.Errorf("CheckNumber: %v, %v", e.CheckNumber(42), e.CheckNumber(41))
	}
	_, ed, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := SealProduct(ed, h, false, nil); !errors.Is(err, ErrKey) {
		t.Errorf("SealProduct with Ed25519: %v", err)
	}
	for _, bad := range []Header{{}, {Kind: "k", Number: -1}, {Kind: "k", KeyID: `"`}, {Kind: "k", Audience: "é"}, {Kind: "k\n"}, {Kind: `\`}} {
		if _, err := SealProduct(key, bad, false, nil); !errors.Is(err, ErrMalformed) {
			t.Errorf("SealProduct with header %+v: %v", bad, err)
		}
	}
}

func TestAuthorityEnvelope(t *testing.T) {
	t.Parallel()
	k, other := openKeys(t), openKeys(t)
	h := Header{Kind: "tallystick-answer", Audience: "acc_01/ins_02", Number: 7, Chain: k.SignerChain()}
	payload := []byte("answer")
	first := k.Seal(h, payload)
	if !bytes.Equal(first, k.Seal(h, payload)) {
		t.Error("Seal is not deterministic")
	}
	kinds := []string{"tallystick-refusal", h.Kind}
	pins := Pins{Root: k.Fingerprint()}
	e, err := OpenAuthority(first, kinds, h.Audience, pins, testNow())
	if err != nil || string(e.Payload) != "answer" || e.Header.Number != 7 || e.Header.KeyID != k.SignerThumbprint() || len(e.Signer) != 3 {
		t.Fatalf("OpenAuthority = %+v, %v", e, err)
	}
	h.Chain = nil
	later := k.Seal(h, payload)
	known := Pins{Root: k.Fingerprint(), Signers: [][][]byte{{}, other.SignerChain(), e.Signer}}
	mixed := append(bytes.Clone(other.SignerChain()[0]), 0)
	forged := forgerOf(other.now().signerKey, k.now().thumbprint)
	big := k.Seal(h, make([]byte, MaxEnvelope))
	for name, c := range map[string]struct {
		envelope []byte
		pins     Pins
		now      time.Time
		want     error
	}{
		"known signer":           {later, known, testNow(), nil},
		"unknown signer":         {later, pins, testNow(), ErrKey},
		"clock ten years behind": {later, known, testNow().Add(-10 * year), nil},
		"clock before the epoch": {later, known, time.Time{}, nil},
		"expired":                {later, known, testNow().Add(6 * year), ErrExpired},
		"expired, with chain":    {first, pins, testNow().Add(40 * year), ErrExpired},
		"other root":             {first, Pins{Root: other.Fingerprint()}, testNow(), ErrChain},
		"known of other root":    {later, Pins{Root: other.Fingerprint(), Signers: known.Signers}, testNow(), ErrChain},
		"other authority":        {other.Seal(Header{Kind: h.Kind, Audience: h.Audience, Chain: other.SignerChain()}, nil), pins, testNow(), ErrChain},
		"chain of another root":  {other.Seal(Header{Kind: h.Kind, Chain: [][]byte{other.now().signer.Raw, k.now().issuing.Raw, k.root.Raw}}, nil), pins, testNow(), ErrChain},
		"chain of another key":   {other.Seal(Header{Kind: h.Kind, Chain: k.SignerChain()}, nil), pins, testNow(), ErrKey},
		"stolen certificate":     {forged.Seal(Header{Kind: h.Kind, Chain: k.SignerChain()}, nil), pins, testNow(), ErrSignature},
		"damaged certificate":    {k.Seal(Header{Kind: h.Kind, Chain: [][]byte{mixed, k.now().issuing.Raw, k.root.Raw}}, nil), pins, testNow(), ErrKey},
		"other kind":             {k.Seal(Header{Kind: "other", Audience: h.Audience}, nil), known, testNow(), ErrKind},
		"other audience":         {k.Seal(Header{Kind: h.Kind, Audience: "acc_01/ins_03"}, nil), known, testNow(), ErrAudience},
		"expired, other kind":    {k.Seal(Header{Kind: "other", Audience: h.Audience}, nil), known, testNow().Add(6 * year), ErrKind},
		"too large":              {big, known, testNow(), ErrTooLarge},
		"large where told so":    {big, Pins{Root: known.Root, Signers: known.Signers, MaxBytes: 1 << 20}, testNow(), nil},
		"of a product":           {sealProduct(t, NewProductKey(), h, true, nil), known, testNow(), ErrAlgorithm},
	} {
		e, err := OpenAuthority(c.envelope, kinds, h.Audience, c.pins, c.now)
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if whole := e.Payload != nil; whole != (c.want == nil || errors.Is(c.want, ErrExpired)) {
			t.Errorf("%s: result %+v with %v", name, e, err)
		}
	}
	if _, err := OpenProduct(later, h.Kind, h.Audience, &NewProductKey().PublicKey); !errors.Is(err, ErrAlgorithm) {
		t.Errorf("an authority's envelope as a product's: %v", err)
	}
	defer func() {
		if recover() == nil {
			t.Error("Seal writes a header that nobody can open")
		}
	}()
	k.Seal(Header{Kind: "k", Audience: `","alg":"none`}, nil)
}

// No byte of an envelope may change, wherever it stands.
func TestEveryFlippedByteIsRefused(t *testing.T) {
	t.Parallel()
	k, key := openKeys(t), NewProductKey()
	h := productHeader()
	product := sealProduct(t, key, h, true, []byte(`{"usage":{"cms-smp-plus":2}}`))
	answer := k.Seal(h, []byte("answer"))
	pins := Pins{Root: k.Fingerprint(), Signers: [][][]byte{k.SignerChain()}}
	for i := range product {
		for _, mask := range []byte{1, 2, 4, 8, 16, 32, 64, 128} {
			product[i] ^= mask
			if e, err := OpenProduct(product, h.Kind, h.Audience, &key.PublicKey); err == nil || e.Payload != nil {
				t.Fatalf("product's envelope: byte %d ^ %d accepted", i, mask)
			}
			product[i] ^= mask
		}
	}
	for i := range answer {
		for _, mask := range []byte{1, 4, 32, 128} {
			answer[i] ^= mask
			if e, err := OpenAuthority(answer, []string{h.Kind}, h.Audience, pins, testNow()); err == nil || e.Payload != nil {
				t.Fatalf("authority's envelope: byte %d ^ %d accepted", i, mask)
			}
			answer[i] ^= mask
		}
	}
	if _, err := OpenProduct(product, h.Kind, h.Audience, &key.PublicKey); err != nil {
		t.Errorf("restored: %v", err)
	}
	if _, err := OpenAuthority(answer, []string{h.Kind}, h.Audience, pins, testNow()); err != nil {
		t.Errorf("restored: %v", err)
	}
}
