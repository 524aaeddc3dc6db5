package trust

import (
	"encoding/base64"
	"errors"
	"regexp"
	"strings"
	"testing"
)

func newToken(t testing.TB) Token {
	t.Helper()
	token, err := NewToken(NewID("acc", testNow()), NewID("tok", testNow()), Fingerprint(Random(32)))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// Domain rule 17: every consumer's pattern accepts our tokens.
func TestRule17TokensFitEveryConsumer(t *testing.T) {
	t.Parallel()
	patterns := []*regexp.Regexp{
		regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9+/%=-]{0,139}$`),
		regexp.MustCompile(`^[^;]{1,140}$`),
		regexp.MustCompile(`^[a-zA-Z\d+/%=-]{1,256}$`),
	}
	seen := map[[32]byte]bool{}
	for range 10_000 {
		token := newToken(t)
		text := token.Text().Reveal()
		for _, p := range patterns {
			if !p.MatchString(text) {
				t.Fatalf("%q does not match %s", text, p)
			}
		}
		got, err := ParseToken(text)
		if err != nil || got.Account != token.Account || got.ID != token.ID || got.Root != token.Root || got.Digest() != token.Digest() {
			t.Fatalf("ParseToken(%q) = %+v, %v", text, got, err)
		}
		if seen[got.Digest()] {
			t.Fatal("two tokens have one digest")
		}
		seen[got.Digest()] = true
	}
}

func TestParseTokenRefuses(t *testing.T) {
	t.Parallel()
	text := newToken(t).Text().Reveal()
	if got, err := ParseToken(" \t" + text + "\r\n"); err != nil || got.Text() != Secret(text) {
		t.Errorf("white space around a token: %v", err)
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	newer := append([]byte{9}, raw[1:tokenBody]...)
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"empty":          {"", ErrTokenMalformed},
		"other alphabet": {strings.Repeat("!", 136), ErrTokenMalformed},
		"URL alphabet":   {text[:50] + "-" + text[51:], ErrTokenMalformed},
		"line inside":    {text[:60] + "\n" + text[60:], ErrTokenMalformed},
		"too long":       {text + "A", ErrTokenMalformed},
		"newer version":  {base64.StdEncoding.EncodeToString(withChecksum(newer)), ErrTokenMalformed},
		"cut off":        {text[:100], ErrTokenDamaged},
		"last cut off":   {text[:135], ErrTokenDamaged},
		"padding moved":  {text[:134] + "==", ErrTokenDamaged},
	} {
		if _, err := ParseToken(c.text); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		} else if len(c.text) > 20 && strings.Contains(err.Error(), c.text[:20]) {
			t.Errorf("%s: the error quotes the token", name)
		}
	}
	for i := range text {
		for _, c := range "AZaz09+/=" {
			if mutant := text[:i] + string(c) + text[i+1:]; mutant != text {
				if _, err := ParseToken(mutant); err == nil {
					t.Fatalf("character %d mistyped as %c is accepted", i, c)
				}
			}
		}
	}
}

func TestTokenIDs(t *testing.T) {
	t.Parallel()
	account, id := NewID("acc", testNow()), NewID("tok", testNow())
	for _, c := range [][2]string{{"", id}, {account, ""}, {id, id}, {account, account}} {
		if _, err := NewToken(c[0], c[1], Fingerprint{}); !errors.Is(err, ErrID) {
			t.Errorf("NewToken(%q, %q): %v, want ErrID", c[0], c[1], err)
		}
	}
}

func TestCredential(t *testing.T) {
	t.Parallel()
	kinds := map[CredentialKind]*regexp.Regexp{
		APIKey:   regexp.MustCompile(`^tally_([0-9a-z]{84}|[0-9a-z]{109})$`),
		Receiver: regexp.MustCompile(`^([0-9a-z]{84}|[0-9a-z]{109})$`),
		SignIn:   regexp.MustCompile(`^si_([0-9a-z]{84}|[0-9a-z]{109})$`),
		Session:  regexp.MustCompile(`^se_([0-9a-z]{84}|[0-9a-z]{109})$`),
	}
	for kind, form := range kinds {
		for _, account := range []string{"", NewID("acc", testNow())} {
			c, err := NewCredential(kind, account, NewID(kind.IDPrefix(), testNow()))
			if err != nil {
				t.Fatal(err)
			}
			text := c.Text().Reveal()
			if !form.MatchString(text) {
				t.Errorf("kind %d: %q does not match %s", kind, text, form)
			}
			got, err := ParseCredential(kind, text)
			if err != nil || got.Account != account || got.ID != c.ID || got.Kind != kind || got.Digest() != c.Digest() {
				t.Errorf("ParseCredential(%q) = %+v, %v", text, got, err)
			}
			for other := range kinds {
				if read, err := ParseCredential(other, text); other != kind && err == nil {
					t.Errorf("kind %d reads as kind %d: %+v", kind, other, read)
				}
				bare := text[len(kind.textPrefix()):]
				if moved, err := ParseCredential(other, other.textPrefix()+bare); other != kind && err == nil && moved.Digest() == c.Digest() {
					t.Errorf("kinds %d and %d share a digest", kind, other)
				}
			}
			for i := range text {
				mutant := text[:i] + string(text[i]^1) + text[i+1:]
				if _, err := ParseCredential(kind, mutant); !errors.Is(err, ErrCredential) {
					t.Fatalf("kind %d: a wrong character at %d: %v", kind, i, err)
				}
			}
			for _, bad := range []string{"", text[1:], text + "0", text[:60] + "\n" + text[61:], strings.ToUpper(text)} {
				if _, err := ParseCredential(kind, bad); !errors.Is(err, ErrCredential) {
					t.Errorf("kind %d: %q: %v, want ErrCredential", kind, bad, err)
				}
			}
		}
	}
	if _, err := NewCredential(APIKey, "", NewID("ses", testNow())); !errors.Is(err, ErrID) {
		t.Errorf("id of another kind: %v", err)
	}
	if _, err := NewCredential(APIKey, "acc_1", NewID("key", testNow())); !errors.Is(err, ErrID) {
		t.Errorf("bad account: %v", err)
	}
	if _, err := NewCredential(CredentialKind(9), "", NewID("key", testNow())); !errors.Is(err, ErrID) {
		t.Errorf("unknown kind: %v", err)
	}
}
