package trust

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// testNow is the instant of all tests.
func testNow() time.Time { return time.Date(2027, 3, 1, 12, 0, 0, 123456789, time.UTC) }

// openKeys makes a key set for one test.
func openKeys(t testing.TB) *Keys {
	t.Helper()
	k, err := OpenKeys(t.TempDir(), testNow())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSecretsNeverPrint(t *testing.T) {
	t.Parallel()
	const canary = "canary-5f2e"
	token, err := NewToken(NewID("acc", testNow()), NewID("tok", testNow()), Fingerprint{})
	if err != nil {
		t.Fatal(err)
	}
	key, err := NewCredential(APIKey, "", NewID("key", testNow()))
	if err != nil {
		t.Fatal(err)
	}
	type around struct {
		Secret Secret
		Token  Token
		Key    Credential
		token  Token
		key    Credential
	}
	value := around{Secret: canary, Token: token, Key: key, token: token, key: key}
	forbidden := []string{canary, fmt.Sprintf("%x", canary), token.Text().Reveal(), key.Text().Reveal()}
	for _, array := range [][32]byte{token.secret(), key.secret()} {
		secret := array[:]
		forbidden = append(forbidden, fmt.Sprintf("%x", secret), strings.Trim(fmt.Sprint(secret), "[]"), string(secret),
			strings.Trim(fmt.Sprintf("%#v", secret), "[]byte{}"))
	}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{value, &value, Secret(canary), token, &token, key, []Secret{canary}} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
	}
	for _, h := range []slog.Handler{slog.NewJSONHandler(&out, nil), slog.NewTextHandler(&out, nil)} {
		slog.New(h).Info("x", "value", value, "secret", Secret(canary), "token", token, "key", key)
	}
	if err := json.NewEncoder(&out).Encode(value); err != nil {
		t.Fatal(err)
	}
	for _, f := range forbidden {
		if strings.Contains(out.String(), f) {
			t.Errorf("printed a secret: %q", f)
		}
	}
	if got := Secret(canary).Reveal(); got != canary {
		t.Errorf("Reveal = %q", got)
	}
	if got := Secret(canary).String() + token.String() + key.String(); got != strings.Repeat(redacted, 3) {
		t.Errorf("String = %q", got)
	}
}

func TestNewID(t *testing.T) {
	t.Parallel()
	// The example of the ULID specification: 01ARZ3NDEKTSV4RRFFQ69G5FAV is of this millisecond.
	at := time.UnixMilli(1469922850259)
	id := NewID("ins", at)
	if len(id) != 30 || !strings.HasPrefix(id, "ins_01arz3ndek") {
		t.Errorf("NewID = %q, want ins_01arz3ndek and 16 more", id)
	}
	if other := NewID("ins", at); other == id {
		t.Errorf("two identifiers are equal: %s", id)
	}
	if later := NewID("ins", at.Add(time.Millisecond)); later <= id {
		t.Errorf("%s made a millisecond after %s sorts before it", later, id)
	}
	for range 1000 {
		b := [16]byte(Random(16))
		if got, err := idBytes("x", idText("x", b)); err != nil || got != b {
			t.Fatalf("idBytes(idText(%x)) = %x, %v", b, got, err)
		}
	}
	for _, bad := range []string{"", "ins_", id[:29], id + "0", "acc" + id[3:], strings.ToUpper(id), id[:29] + "u", "ins_8" + id[5:], "ins-" + id[4:]} {
		if ValidID("ins", bad) {
			t.Errorf("ValidID accepts %q", bad)
		}
	}
	if !ValidID("ins", id) {
		t.Errorf("ValidID refuses %q", id)
	}
}

func TestFingerprint(t *testing.T) {
	t.Parallel()
	f := Of([]byte("certificate"))
	if f != sha256.Sum256([]byte("certificate")) {
		t.Errorf("Of = %s", f)
	}
	var pairs []string
	for i := range f {
		pairs = append(pairs, fmt.Sprintf("%02X", f[i]))
	}
	for _, s := range []string{f.String(), strings.ToUpper(f.String()), strings.Join(pairs, ":")} {
		if got, err := ParseFingerprint(s); err != nil || got != f {
			t.Errorf("ParseFingerprint(%q) = %s, %v", s, got, err)
		}
	}
	colons := strings.Join(pairs, ":")
	for _, s := range []string{"", f.String()[1:], f.String() + "0", "g" + f.String()[1:], strings.Replace(colons, ":", "-", 1),
		colons[:2] + colons[1:2] + colons[3:], strings.Repeat(":", 95)} {
		if _, err := ParseFingerprint(s); !errors.Is(err, ErrFingerprint) {
			t.Errorf("ParseFingerprint(%q) = %v, want ErrFingerprint", s, err)
		}
	}
	text, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	var back Fingerprint
	if err := json.Unmarshal(text, &back); err != nil || back != f {
		t.Errorf("JSON %s reads as %s, %v", text, back, err)
	}
	if err := json.Unmarshal([]byte(`"12"`), &back); !errors.Is(err, ErrFingerprint) {
		t.Errorf("short JSON fingerprint: %v, want ErrFingerprint", err)
	}
}

func TestDigestSeparates(t *testing.T) {
	t.Parallel()
	seen := map[[32]byte]string{}
	for name, d := range map[string][32]byte{
		"a|bc":  Digest("d", []byte("a"), []byte("bc")),
		"ab|c":  Digest("d", []byte("ab"), []byte("c")),
		"abc":   Digest("d", []byte("abc")),
		"abc|":  Digest("d", []byte("abc"), nil),
		"other": Digest("e", []byte("abc")),
		"da|bc": Digest("da", []byte("bc")),
		"chain": ChainHash([]byte("a"), []byte("bc")),
		"first": ChainHash(nil, []byte("abc")),
		"split": ChainHash([]byte("ab"), []byte("c")),
	} {
		if other, twice := seen[d]; twice {
			t.Errorf("%s and %s have one digest", name, other)
		}
		seen[d] = name
	}
	// Stored chains depend on these bytes: they never change.
	if got, want := fmt.Sprintf("%x", ChainHash(nil, []byte("event"))), "1799a4c31d97a775"; !strings.HasPrefix(got, want) {
		t.Errorf("ChainHash = %s, want %s…", got, want)
	}
	if !SameDigest([]byte{1, 2}, []byte{1, 2}) || SameDigest([]byte{1, 2}, []byte{1, 3}) || SameDigest([]byte{1}, nil) {
		t.Error("SameDigest is wrong")
	}
}

func TestWriteFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	for _, data := range [][]byte{[]byte("one"), bytes.Repeat([]byte("two"), 10000), {}} {
		if err := WriteFile(path, data, 0o640); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("read %d bytes, %v, want %d", len(got), err, len(data))
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode = %v, %v", info.Mode(), err)
	}
	// A write that cannot be finished changes nothing and leaves nothing behind.
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(filepath.Join(dir, "folder"), []byte("x"), 0o600); err == nil {
		t.Error("replaced a folder by a file")
	}
	if err := WriteFile(filepath.Join(dir, "missing", "file"), nil, 0o600); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing folder: %v", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// TestGoodChainsAreRemembered: what is remembered is these bytes under this root for this purpose, and neither the clock nor
// anything else of a chain.
func TestGoodChainsAreRemembered(t *testing.T) {
	t.Parallel()
	k, other := openKeys(t), openKeys(t)
	chain := k.SignerChain()
	for range 2 {
		leaf, err := verifyChain(chain, k.Fingerprint(), purposeSigner, testNow())
		if err != nil || !bytes.Equal(leaf.Raw, chain[0]) {
			t.Fatalf("a good chain: %v", err)
		}
		if _, err := verifyChain(chain, k.Fingerprint(), purposeSigner, testNow().AddDate(200, 0, 0)); !errors.Is(err, ErrExpired) {
			t.Errorf("after its end: %v", err)
		}
		for what, try := range map[string]func() error{
			"purpose": func() error {
				_, err := verifyChain(chain, k.Fingerprint(), purposeServer, testNow())
				return err
			},
			"root": func() error {
				_, err := verifyChain(chain, other.Fingerprint(), purposeSigner, testNow())
				return err
			},
			"other leaf": func() error {
				_, err := verifyChain([][]byte{other.SignerChain()[0], chain[1], chain[2]}, k.Fingerprint(), purposeSigner, testNow())
				return err
			},
			"bent": func() error {
				bent := bytes.Clone(chain[1])
				bent[len(bent)-1] ^= 1
				_, err := verifyChain([][]byte{chain[0], bent, chain[2]}, k.Fingerprint(), purposeSigner, testNow())
				return err
			},
		} {
			if err := try(); !errors.Is(err, ErrChain) {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
}

// TestNewIDAfter: identifiers of one millisecond, and of a clock that runs back, are in the order in which they were made.
func TestNewIDAfter(t *testing.T) {
	now, last := testNow(), "nothing yet"
	for i := range 100 {
		id := NewIDAfter("run", last, now.Add(-time.Duration(i/50)*time.Hour))
		if !ValidID("run", id) || i > 0 && id <= last {
			t.Fatalf("got %q after %q", id, last)
		}
		last = id
	}
	later := NewIDAfter("run", last, now.Add(time.Millisecond))
	if later <= last || later[:14] == last[:14] {
		t.Errorf("a millisecond later: got %q after %q", later, last)
	}
	const full = "run_0000000001zzzzzzzzzzzzzzzz"
	if got := NewIDAfter("run", full, time.UnixMilli(1)); got != "run_00000000020000000000000000" {
		t.Errorf("after %q: got %q", full, got)
	}
}
