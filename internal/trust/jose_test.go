package trust

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// What we seal opens with go-jose.
func TestJOSEOpensOurs(t *testing.T) {
	t.Parallel()
	k, key := openKeys(t), NewProductKey()
	h := productHeader()
	for _, payload := range [][]byte{{}, []byte("x"), bytes.Repeat([]byte{0, 255, '.'}, 1000)} {
		for _, embed := range []bool{false, true} {
			jws, err := jose.ParseSignedCompact(string(sealProduct(t, key, h, embed, payload)), []jose.SignatureAlgorithm{jose.ES256})
			if err != nil {
				t.Fatal(err)
			}
			got, err := jws.Verify(key.Public())
			if err != nil || !bytes.Equal(got, payload) {
				t.Fatalf("go-jose opens ES256 as %q, %v", got, err)
			}
			p := jws.Signatures[0].Protected
			if p.KeyID != h.KeyID || p.ExtraHeaders["typ"] != h.Kind || p.ExtraHeaders["aud"] != h.Audience || p.ExtraHeaders["n"] != 42.0 {
				t.Errorf("go-jose reads the header as %+v", p)
			}
			if embed != (p.JSONWebKey != nil) || (embed && !key.PublicKey.Equal(p.JSONWebKey.Key)) {
				t.Errorf("go-jose reads the embedded key as %+v", p.JSONWebKey)
			}
		}
		h := h
		h.Chain = k.SignerChain()
		jws, err := jose.ParseSignedCompact(string(k.Seal(h, payload)), []jose.SignatureAlgorithm{jose.EdDSA})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := jws.Verify(k.now().signer.PublicKey); err != nil || !bytes.Equal(got, payload) {
			t.Fatalf("go-jose opens EdDSA as %q, %v", got, err)
		}
	}
}

// joseSeal seals with go-jose.
func joseSeal(t testing.TB, alg jose.SignatureAlgorithm, key any, opts *jose.SignerOptions, payload []byte) []byte {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, opts)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return []byte(text)
}

// What go-jose seals opens with ours, as long as it has the form that we want.
func TestOursOpensJOSE(t *testing.T) {
	t.Parallel()
	k, key := openKeys(t), NewProductKey()
	h := productHeader()
	options := func() *jose.SignerOptions {
		return new(jose.SignerOptions).WithType(jose.ContentType(h.Kind)).WithHeader("aud", h.Audience).WithHeader("n", h.Number)
	}
	for _, payload := range [][]byte{{}, []byte("x"), bytes.Repeat([]byte{0, 255, '.'}, 1000)} {
		b := joseSeal(t, jose.ES256, key, options().WithHeader("kid", h.KeyID), payload)
		if e, err := OpenProduct(b, h.Kind, h.Audience, &key.PublicKey); err != nil || !bytes.Equal(e.Payload, payload) || e.Header.KeyID != h.KeyID || e.Header.Number != 42 {
			t.Fatalf("OpenProduct = %+v, %v", e, err)
		}
		embedding := options()
		embedding.EmbedJWK = true
		b = joseSeal(t, jose.ES256, key, embedding, payload)
		if e, err := OpenProduct(b, h.Kind, h.Audience, nil); err != nil || !e.EmbeddedKey().Equal(key.Public()) {
			t.Fatalf("OpenProduct, key embedded = %+v, %v", e, err)
		}
		var x5c []string
		for _, der := range k.SignerChain() {
			x5c = append(x5c, base64.StdEncoding.EncodeToString(der))
		}
		b = joseSeal(t, jose.EdDSA, k.now().signerKey, options().WithHeader("kid", k.now().thumbprint).WithHeader("x5c", x5c), payload)
		if e, err := OpenAuthority(b, []string{h.Kind}, h.Audience, Pins{Root: k.Fingerprint()}, testNow()); err != nil || !bytes.Equal(e.Payload, payload) {
			t.Fatalf("OpenAuthority = %+v, %v", e, err)
		}
	}
}

// signHeader signs a header text as it stands, as a foreign or hostile product could.
func signHeader(t testing.TB, key *ecdsa.PrivateKey, header string) []byte {
	t.Helper()
	b := signingInput([]byte(header), []byte("p"))
	sig, err := signES256(key, b)
	if err != nil {
		t.Fatal(err)
	}
	return appendSignature(b, sig)
}

// A good signature does not save a header that is not in its form.
func TestHostileHeaders(t *testing.T) {
	t.Parallel()
	key := NewProductKey()
	jwkText := func() string {
		b, err := appendHeader(nil, algProduct, Header{Kind: "k"}, &key.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[bytes.Index(b, []byte(`{"kty"`)) : len(b)-1])
	}()
	for header, want := range map[string]error{
		`{"alg":"ES256","typ":"k"}`:                             nil,
		" {\t\"typ\" : \"k\" ,\r\n \"alg\" : \"ES256\" } ":      nil,
		`{"alg":"ES256","typ":"k","n":0,"jwk":` + jwkText + `}`: nil,

		`{"alg":"none","typ":"k"}`:  ErrAlgorithm,
		`{"alg":"HS256","typ":"k"}`: ErrAlgorithm,
		`{"alg":"RS256","typ":"k"}`: ErrAlgorithm,
		`{"alg":"ES384","typ":"k"}`: ErrAlgorithm,
		`{"alg":"EdDSA","typ":"k"}`: ErrAlgorithm,
		`{"alg":"es256","typ":"k"}`: ErrAlgorithm,
		`{"alg":"","typ":"k"}`:      ErrAlgorithm,
		`{"typ":"k"}`:               ErrAlgorithm,

		`{"alg":"ES256"}`:                                                        ErrMalformed,
		`{"alg":"ES256","typ":""}`:                                               ErrMalformed,
		`{"alg":"ES256","typ":"k","crit":["exp"],"exp":1}`:                       ErrMalformed,
		`{"alg":"ES256","typ":"k","crit":[]}`:                                    ErrMalformed,
		`{"alg":"ES256","typ":"k","b64":false}`:                                  ErrMalformed,
		`{"alg":"ES256","typ":"k","jku":"https://evil.example/keys"}`:            ErrMalformed,
		`{"alg":"ES256","typ":"k","alg":"ES256"}`:                                ErrMalformed,
		`{"alg":"ES256","typ":"k","typ":"other"}`:                                ErrMalformed,
		`{"alg":"ES256","typ":"k","\u0074yp":"other"}`:                           ErrMalformed,
		`{"alg":"ES256","typ":"\u006b"}`:                                         ErrMalformed,
		`{"alg":"ES256","TYP":"k"}`:                                              ErrMalformed,
		`{"alg":"ES256","typ":"k","n":-1}`:                                       ErrMalformed,
		`{"alg":"ES256","typ":"k","n":01}`:                                       ErrMalformed,
		`{"alg":"ES256","typ":"k","n":1.0}`:                                      ErrMalformed,
		`{"alg":"ES256","typ":"k","n":1e3}`:                                      ErrMalformed,
		`{"alg":"ES256","typ":"k","n":"1"}`:                                      ErrMalformed,
		`{"alg":"ES256","typ":"k","n":9999999999999999999}`:                      ErrMalformed,
		`{"alg":"ES256","typ":"k","aud":["a","b"]}`:                              ErrMalformed,
		`{"alg":"ES256","typ":"k","aud":null}`:                                   ErrMalformed,
		`{"alg":"ES256","typ":"k","kid":"é"}`:                                    ErrMalformed,
		`{"alg":"ES256","typ":"k",}`:                                             ErrMalformed,
		`{"alg":"ES256","typ":"k"`:                                               ErrMalformed,
		`{"alg":"ES256","typ":"k`:                                                ErrMalformed,
		`{"alg":"ES256" "typ":"k"}`:                                              ErrMalformed,
		`{"alg":"ES256","typ":"k"}{}`:                                            ErrMalformed,
		`{"alg":"ES256","typ":"k"}x`:                                             ErrMalformed,
		`["alg","ES256"]`:                                                        ErrMalformed,
		`{}`:                                                                     ErrMalformed,
		``:                                                                       ErrMalformed,
		`{"alg":"ES256","typ":"k","x5c":[]}`:                                     ErrMalformed,
		`{"alg":"ES256","typ":"k","x5c":"AA=="}`:                                 ErrMalformed,
		`{"alg":"ES256","typ":"k","x5c":["AB=="]}`:                               ErrMalformed,
		`{"alg":"ES256","typ":"k","x5c":["A",]}`:                                 ErrMalformed,
		`{"alg":"ES256","typ":"k","x5c":["AA==","AA==","AA==","AA==","AA=="]}`:   ErrMalformed,
		`{"alg":"ES256","typ":"k","x5c":["` + strings.Repeat("A", 12000) + `"]}`: ErrMalformed,
		`{"alg":"ES256","typ":"k","jwk":` + strings.Replace(jwkText, `"kty"`, `"d":"AA","kty"`, 1) + `}`:                                         ErrMalformed,
		`{"alg":"ES256","typ":"k","jwk":` + strings.Replace(jwkText, "P-256", "P-384", 1) + `}`:                                                  ErrMalformed,
		`{"alg":"ES256","typ":"k","jwk":` + strings.Replace(jwkText, `"x"`, `"z"`, 1) + `}`:                                                      ErrMalformed,
		`{"alg":"ES256","typ":"k","jwk":{"kty":"EC","crv":"P-256","x":"` + strings.Repeat("A", 43) + `","y":"` + strings.Repeat("A", 43) + `"}}`: ErrMalformed,
		`{"alg":"ES256","typ":"k","jwk":{}}`:                                           ErrMalformed,
		`{"alg":"ES256","typ":"k","kid":"` + strings.Repeat("a", maxHeader*3/4) + `"}`: ErrMalformed,
	} {
		_, err := OpenProduct(signHeader(t, key, header), "k", "", &key.PublicKey)
		if !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("%.120s: %v, want %v", header, err, want)
		}
		if _, err := Peek(signHeader(t, key, header)); errors.Is(want, ErrMalformed) && !errors.Is(err, want) {
			t.Errorf("Peek %.120s: %v, want %v", header, err, want)
		}
	}
}

// The classic forgeries: no signature, and a MAC keyed with what everybody knows.
func TestClassicForgeries(t *testing.T) {
	t.Parallel()
	k, key := openKeys(t), NewProductKey()
	spki, err := MarshalPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	mac := func(header string, secret []byte) []byte {
		b := signingInput([]byte(header), []byte("p"))
		h := hmac.New(sha256.New, secret)
		h.Write(b)
		return appendSignature(b, h.Sum(nil))
	}
	zero := signingInput([]byte(`{"alg":"ES256","typ":"k"}`), []byte("p"))
	for name, b := range map[string][]byte{
		"none":              append(signingInput([]byte(`{"alg":"none","typ":"k"}`), []byte("p")), '.'),
		"no signature":      append(bytes.Clone(zero), '.'),
		"all zero":          appendSignature(bytes.Clone(zero), make([]byte, 64)),
		"HS256, public key": mac(`{"alg":"HS256","typ":"k"}`, spki),
		"HS256, as ES256":   mac(`{"alg":"ES256","typ":"k"}`, spki),
		"HS256, root":       mac(`{"alg":"HS256","typ":"k"}`, k.root.Raw),
		"JSON form":         []byte(`{"payload":"cA","protected":"e30","signature":""}`),
	} {
		if e, err := OpenProduct(b, "k", "", &key.PublicKey); err == nil || e.Payload != nil {
			t.Errorf("%s: accepted as a product's", name)
		}
		if e, err := OpenAuthority(b, []string{"k"}, "", Pins{Root: k.Fingerprint(), Signers: [][][]byte{k.SignerChain()}}, testNow()); err == nil || e.Payload != nil {
			t.Errorf("%s: accepted as an authority's", name)
		}
	}
}
