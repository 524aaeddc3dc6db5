package trust

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha256"
	"testing"
)

// benchPayload has the size of an ordinary authorization.
func benchPayload() []byte { return bytes.Repeat([]byte("0123456789"), 60) }

func BenchmarkSeal(b *testing.B) {
	k := openKeys(b)
	h, payload := productHeader(), benchPayload()
	for b.Loop() {
		k.Seal(h, payload)
	}
}

// BenchmarkSealBare is the part of BenchmarkSeal that no design can avoid.
func BenchmarkSealBare(b *testing.B) {
	k := openKeys(b)
	signed := k.Seal(productHeader(), benchPayload())
	for b.Loop() {
		ed25519.Sign(k.now().signerKey, signed)
	}
}

func BenchmarkOpenProduct(b *testing.B) {
	key := NewProductKey()
	h := productHeader()
	envelope := sealProduct(b, key, h, false, benchPayload())
	for b.Loop() {
		if _, err := OpenProduct(envelope, h.Kind, h.Audience, &key.PublicKey); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkVerifyBare is the part of BenchmarkOpenProduct that no design can avoid.
func BenchmarkVerifyBare(b *testing.B) {
	key := NewProductKey()
	signed := sealProduct(b, key, productHeader(), false, benchPayload())
	digest := sha256.Sum256(signed)
	sig, err := ecdsa.SignASN1(nil, key, digest[:])
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		digest := sha256.Sum256(signed)
		if !ecdsa.VerifyASN1(&key.PublicKey, digest[:], sig) {
			b.Fatal("bad signature")
		}
	}
}

func BenchmarkSealProduct(b *testing.B) {
	key := NewProductKey()
	h, payload := productHeader(), benchPayload()
	for b.Loop() {
		sealProduct(b, key, h, false, payload)
	}
}

func BenchmarkOpenAuthority(b *testing.B) {
	k := openKeys(b)
	h := productHeader()
	envelope := k.Seal(h, benchPayload())
	pins := Pins{Root: k.Fingerprint(), Signers: [][][]byte{k.SignerChain()}}
	for b.Loop() {
		if _, err := OpenAuthority(envelope, []string{h.Kind}, h.Audience, pins, testNow()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSignInstance(b *testing.B) {
	k := openKeys(b)
	_, p, _ := instance(b, k)
	for b.Loop() {
		if _, err := k.SignInstance(p); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParsePublicKey(b *testing.B) {
	key := NewProductKey()
	der, err := MarshalPublicKey(&key.PublicKey)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := ParsePublicKey(der); err != nil {
			b.Fatal(err)
		}
	}
}

// forgerOf is somebody who signs with a key under the name of another one.
func forgerOf(key ed25519.PrivateKey, thumbprint string) *Keys {
	k := &Keys{}
	k.ring.Store(&ring{signerKey: key, thumbprint: thumbprint})
	return k
}
