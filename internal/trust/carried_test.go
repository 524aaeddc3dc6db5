package trust

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

const carriedText = "# A file that people carry.\nstock {\"tag\":\"cms-smp-plus\",\"quantity\":3}\nname \"Zürich\"\n"

func carriedFile(t testing.TB, k *Keys) []byte {
	t.Helper()
	file, err := k.SealFile(Header{Kind: "k", Audience: "site", Number: 7, Chain: k.SignerChain()}, []byte(carriedText))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// A carried file is its text followed by the signature, and gives the text back to whoever knows the root.
func TestCarriedFile(t *testing.T) {
	t.Parallel()
	k := openKeys(t)
	file := carriedFile(t, k)
	if !strings.HasPrefix(string(file), carriedText+signatureBegin) || !bytes.Equal(file, carriedFile(t, k)) {
		t.Fatalf("the file is\n%s", file)
	}
	pins := Pins{Root: k.Fingerprint()}
	e, err := OpenAuthorityFile(file, []string{"k"}, "site", pins, testNow())
	if err != nil || string(e.Payload) != carriedText || e.Header.Number != 7 {
		t.Fatalf("opened %q of exchange %d: %v", e.Payload, e.Header.Number, err)
	}
	if h, err := PeekFile(file, MaxEnvelope); err != nil || h.Audience != "site" || h.Number != 7 {
		t.Errorf("peeked %+v: %v", h, err)
	}
	if _, err := OpenAuthorityFile(file, []string{"k"}, "another site", pins, testNow()); !errors.Is(err, ErrAudience) {
		t.Errorf("for another site: %v", err)
	}
	key := fixedKey(t)
	file, err = SealProductFile(key, Header{Kind: "k", Audience: "site"}, true, []byte(carriedText))
	if err != nil {
		t.Fatal(err)
	}
	if e, err = OpenProductFile(file, "k", "site", nil, MaxEnvelope); err != nil || string(e.Payload) != carriedText || !e.EmbeddedKey().Equal(&key.PublicKey) {
		t.Errorf("a product's file: %q, %v", e.Payload, err)
	}
	if _, err := OpenProductFile(file, "k", "site", nil, len(file)-1); !errors.Is(err, ErrTooLarge) {
		t.Errorf("above the bound: %v", err)
	}
}

// No changed byte, missing end, changed line end or addition is accepted, and each says what it is.
func TestCarriedFileAltered(t *testing.T) {
	t.Parallel()
	k := openKeys(t)
	file := carriedFile(t, k)
	open := func(b []byte) error {
		_, err := OpenAuthorityFile(b, []string{"k"}, "site", Pins{Root: k.Fingerprint()}, testNow())
		return err
	}
	for i := range file {
		for _, bit := range []byte{1, 0x20, 0x80} {
			b := bytes.Clone(file)
			if b[i] ^= bit; open(b) == nil {
				t.Fatalf("byte %d with bit %#x changed is accepted", i, bit)
			}
		}
		if err := open(file[:i]); i > 0 && !errors.Is(err, ErrCutOff) {
			t.Fatalf("cut off at %d: %v", i, err)
		}
	}
	altered := bytes.Replace(file, []byte(`"quantity":3`), []byte(`"quantity":9`), 1)
	for _, c := range []struct {
		name string
		file []byte
		want error
	}{
		{"another quantity", altered, ErrSignature},
		{"other line ends", bytes.ReplaceAll(file, []byte("\n"), []byte("\r\n")), ErrLineEnds},
		{"something behind", append(bytes.Clone(file), "more\n"...), ErrMalformed},
		{"an empty line in the signature", bytes.Replace(file, []byte(signatureEnd), []byte("\n"+signatureEnd), 1), ErrMalformed},
		{"another text", []byte("PK\x03\x04\x00\x00"), ErrMalformed},
		{"two signatures", append(bytes.Clone(file), file[len(carriedText):]...), ErrMalformed},
	} {
		if err := open(c.file); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	for _, text := range []string{"", "no line feed", "bell\a\n", "\xff\n", signatureBegin, "a\n" + signatureBegin, "a\r\n"} {
		if _, err := k.SealFile(Header{Kind: "k"}, []byte(text)); err == nil {
			t.Errorf("%q can be sealed", text)
		}
	}
}

func FuzzOpenFile(f *testing.F) {
	key := fixedKey(f)
	file, err := SealProductFile(key, Header{Kind: "k", Audience: "site"}, true, []byte(carriedText))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(file)
	f.Add(file[:len(file)/2])
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := OpenProductFile(b, "k", "site", &key.PublicKey, MaxEnvelope)
		if err == nil && string(e.Payload) != carriedText {
			t.Fatalf("accepted %q", b)
		}
	})
}
