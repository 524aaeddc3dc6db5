package trust

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
)

// fixedKey is the same product key in every run, so that what fuzzing finds can be run again.
func fixedKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	scalar := sha256.Sum256([]byte("a product key for tests"))
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar[:])
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func FuzzPeek(f *testing.F) {
	key := fixedKey(f)
	f.Add(sealProduct(f, key, productHeader(), true, []byte("p")))
	for _, header := range []string{`{"alg":"ES256","typ":"k","n":1,"x5c":["AA=="]}`, `{"alg":"none","typ":"k"}`, `{"alg":"ES256","typ":"k","crit":[]}`, `{`} {
		f.Add(signHeader(f, key, header))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := Peek(b)
		if err != nil {
			return
		}
		// What we read, the standard library reads too, and to the same values.
		text, err := base64.RawURLEncoding.DecodeString(string(b[:strings.IndexByte(string(b), '.')]))
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Typ, Kid, Aud string
			N             int64
			X5c           [][]byte
		}
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if got.Typ != h.Kind || got.Kid != h.KeyID || got.Aud != h.Audience || got.N != h.Number || len(got.X5c) != len(h.Chain) {
			t.Fatalf("%s: read as %+v", text, h)
		}
	})
}

func FuzzOpenProduct(f *testing.F) {
	key := fixedKey(f)
	h := productHeader()
	good := sealProduct(f, key, h, true, []byte("payload"))
	f.Add(good)
	f.Add(sealProduct(f, key, h, false, nil))
	f.Add(good[:len(good)-1])
	f.Add([]byte(strings.Replace(string(good), ".", "..", 1)))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := OpenProduct(b, h.Kind, h.Audience, &key.PublicKey)
		if err != nil {
			if e.Payload != nil {
				t.Fatalf("a payload with %v", err)
			}
			return
		}
		// Fuzzing has no key: only messages of the corpus, with whatever valid signature, may be accepted.
		if p := string(e.Payload); p != "payload" && p != "" {
			t.Fatalf("forged: %q", b)
		}
	})
}

func FuzzParseToken(f *testing.F) {
	f.Add(newToken(f).Text().Reveal())
	f.Add(" " + newToken(f).Text().Reveal() + "\n")
	f.Add(strings.Repeat("A", 136))
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		token, err := ParseToken(s)
		if err == nil && token.Text().Reveal() != strings.TrimSpace(s) {
			t.Fatalf("%q reads as another token", s)
		}
	})
}

func FuzzParseCSR(f *testing.F) {
	good, err := NewCSR(fixedKey(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:40])
	f.Fuzz(func(t *testing.T, der []byte) {
		csr, err := ParseCSR(der)
		if (err == nil) != (csr.PublicKey() != nil) {
			t.Fatalf("key %v with %v", csr.PublicKey(), err)
		}
		if err == nil {
			if _, err := x509.ParsePKIXPublicKey(csr.spki); err != nil {
				t.Fatal(err)
			}
		}
	})
}
