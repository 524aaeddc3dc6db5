package trust

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// sampleCodes are codes of every kind, with sequences and versions at their bounds.
func sampleCodes(t testing.TB, udi string) []Code {
	t.Helper()
	var out []Code
	key := NewCodeKey()
	for _, seq := range []int{1, 2, 17, MaxCodeSequence} {
		q, err := NewRequestCode(udi, seq)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, q)
		for _, kind := range []CodeKind{CodeConfirmation, CodeReturn, CodeDiscard} {
			for _, version := range []int{1, 2, MaxCodeVersion} {
				c, err := key.Sign(kind, udi, seq, version)
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, c)
			}
		}
	}
	return out
}

func TestCodesComeBack(t *testing.T) {
	for _, c := range sampleCodes(t, "PID:CMS-1000,SN:A1") {
		text := c.String()
		for _, typed := range []string{text, " " + strings.ReplaceAll(text, "-", "") + "\n", strings.ReplaceAll(text, "-", " ")} {
			if c.Kind == CodeRequest && typed != text {
				continue // the UDI has hyphens of its own
			}
			if got, err := ParseCode(typed); err != nil || got != c {
				t.Fatalf("%q: got %+v, %v", typed, got, err)
			}
		}
		if got, err := ParseCode(strings.ToLower(text)); err != nil || got != c {
			t.Fatalf("%q in small letters: got %+v, %v", text, got, err)
		}
		lookalikes := strings.NewReplacer("0", "o", "1", "l").Replace(strings.SplitN(text, "@", 2)[0])
		if c.UDI != "" {
			lookalikes += "@" + c.UDI
		}
		if got, err := ParseCode(lookalikes); err != nil || got != c {
			t.Fatalf("%q: got %+v, %v", lookalikes, got, err)
		}
	}
}

// TestRule40EveryMistypedCharacter changes every character of codes into every other one that can be typed, and exchanges
// every two neighbors: each time the code is refused, or is still the same code because the change does not matter.
func TestRule40EveryMistypedCharacter(t *testing.T) {
	tried, refused := 0, 0
	check := func(c Code, text string) {
		tried++
		got, err := ParseCode(text)
		switch {
		case err != nil:
			refused++
		case got != c:
			t.Fatalf("%q was taken for %q", c, text)
		}
	}
	for _, udi := range []string{"PID:CMS-1000,SN:A1", "PID:x,SN:6f9619ff-8b86-d011-b42d-00c04fc964ff", "PID:Ünïcode,SN:1@2"} {
		for _, c := range sampleCodes(t, udi) {
			text := c.String()
			for i := range len(text) {
				for b := byte(' '); b < 0x7f; b++ {
					if text[i] != b {
						check(c, text[:i]+string(rune(b))+text[i+1:])
					}
				}
				check(c, text[:i]+text[i+1:]) // left out
				if i+1 < len(text) && text[i] != text[i+1] {
					check(c, text[:i]+text[i+1:i+2]+text[i:i+1]+text[i+2:])
				}
			}
		}
	}
	t.Logf("%d changes, %d refused, the rest are the same code", tried, refused)
}

// TestAnyTwoWrongCharacters is what the check promises beyond the rule, inside the code itself. The check is linear over
// GF(32), so one value for the first of the two errors stands for all.
func TestAnyTwoWrongCharacters(t *testing.T) {
	c, err := NewCodeKey().Sign(CodeReturn, "PID:CMS-1000,SN:A1", 3, 2)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(c.String(), "-", "")
	wrong := func(i, by int) byte { return codeAlphabet[strings.IndexByte(codeAlphabet, text[i])^by] }
	for i := range text {
		for j := range i {
			for e := range 32 {
				b := []byte(text)
				b[i], b[j] = wrong(i, 1), wrong(j, e)
				if _, err := ParseCode(string(b)); !errors.Is(err, ErrCodeMistyped) {
					t.Fatalf("%s was not noticed to differ from %s: %v", b, text, err)
				}
			}
		}
	}
}

func TestCodesAreAuthenticated(t *testing.T) {
	const udi = "PID:CMS-1000,SN:A1"
	key := NewCodeKey()
	c, err := key.Sign(CodeConfirmation, udi, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	if !key.Signed(c, udi) {
		t.Fatal("the right code was refused")
	}
	other := c
	for name, bad := range map[string]func(*Code){
		"another tag":      func(c *Code) { c.tag ^= 1 },
		"another version":  func(c *Code) { c.Version++ },
		"another sequence": func(c *Code) { c.Sequence++ },
		"another kind":     func(c *Code) { c.Kind = CodeReturn },
	} {
		other = c
		bad(&other)
		if key.Signed(other, udi) {
			t.Errorf("%s was accepted", name)
		}
	}
	if key.Signed(c, "PID:CMS-1000,SN:A2") || NewCodeKey().Signed(c, udi) {
		t.Error("the code of another product, or of another key, was accepted")
	}
	one, _ := key.Sign(CodeReturn, udi, 1, 1)
	two, _ := key.Sign(CodeReturn, udi, 1, 1)
	if one == two || !key.Signed(one, udi) || !key.Signed(two, udi) {
		t.Errorf("giving up twice must make two codes: %s, %s", one, two)
	}
	if s := fmt.Sprintf("%v %+v %#v", key, key, key); strings.Contains(s, fmt.Sprintf("%x", key.Reveal()[:4])) || !strings.Contains(s, redacted) {
		t.Errorf("a code key prints itself: %s", s)
	}
}

func TestCodeErrorsSayWhat(t *testing.T) {
	c, err := NewRequestCode("PID:CMS-1000,SN:A1", 1)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]error{
		"":                                    ErrCodeForm,
		"hello":                               ErrCodeForm,
		strings.Repeat("A", 5000):             ErrCodeForm,
		c.String() + "X":                      ErrCodeMistyped,
		strings.SplitN(c.String(), "@", 2)[0]: ErrCodeMistyped,
		"Ü" + c.String():                      ErrCodeForm,
	} {
		if _, err := ParseCode(text); !errors.Is(err, want) {
			t.Errorf("%.40q: got %v, want %v", text, err, want)
		}
	}
}

func FuzzParseCode(f *testing.F) {
	for _, c := range sampleCodes(f, "PID:CMS-1000,SN:A1") {
		f.Add(c.String())
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseCode(text)
		if err != nil {
			return
		}
		again, err := ParseCode(c.String())
		if err != nil || again != c {
			t.Fatalf("%q was read as %+v, which is written %q and read as %+v, %v", text, c, c, again, err)
		}
	})
}
