package trust

import (
	"bytes"
	"errors"
	"testing"
)

func TestHidden(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	keys, err := OpenKeys(dir, testNow())
	if err != nil {
		t.Fatal(err)
	}
	replica, err := OpenKeys(dir, testNow())
	if err != nil {
		t.Fatal(err)
	}
	other, err := OpenKeys(t.TempDir(), testNow())
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []Secret{"", "a password", Secret(bytes.Repeat([]byte{0xff}, 5000))} {
		hidden := keys.Hide("ldap acc_1 a", text)
		if bytes.Equal(hidden, keys.Hide("ldap acc_1 a", text)) || len(text) > 0 && bytes.Contains(hidden, []byte(text)) {
			t.Error("hidden text shows something")
		}
		if got, err := replica.Unhide("ldap acc_1 a", hidden); err != nil || got != text {
			t.Errorf("a replica: got %d bytes, %v", len(got), err)
		}
		if _, err := keys.Unhide("ldap acc_1 b", hidden); !errors.Is(err, ErrHidden) {
			t.Errorf("under another label: got %v", err)
		}
		if _, err := other.Unhide("ldap acc_1 a", hidden); !errors.Is(err, ErrHidden) {
			t.Errorf("with other keys: got %v", err)
		}
		for i := range min(len(hidden), 40) {
			damaged := bytes.Clone(hidden)
			damaged[i] ^= 1
			if _, err := keys.Unhide("ldap acc_1 a", damaged); !errors.Is(err, ErrHidden) {
				t.Errorf("byte %d changed: got %v", i, err)
			}
			if _, err := keys.Unhide("ldap acc_1 a", hidden[:i]); !errors.Is(err, ErrHidden) {
				t.Errorf("the first %d bytes: got %v", i, err)
			}
		}
	}
}
