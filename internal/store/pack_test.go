package store

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tallystick/tallystick/internal/cdr"
)

func TestPackedBodiesComeBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		body := rapid.OneOf(
			rapid.SliceOf(rapid.Byte()),
			rapid.Custom(func(t *rapid.T) []byte {
				return []byte(strings.Join(rapid.SliceOfN(rapid.OneOf(rapid.SampledFrom(strings.SplitAfter(string(dictionary1), ">")), rapid.String()), 0, 60).Draw(t, "elements"), ""))
			}),
			rapid.Custom(func(t *rapid.T) []byte {
				return []byte(strings.Repeat(rapid.SampledFrom(strings.SplitAfter(string(dictionary1), ">")).Draw(t, "element"), rapid.IntRange(0, 200).Draw(t, "times")))
			}),
		).Draw(t, "body")
		got, err := Unpack(Pack(body))
		if err != nil || !bytes.Equal(got, body) {
			t.Fatalf("got %q, %v, want %q", got, err, body)
		}
	})
}

// TestPackingIsForGood: what was stored once must always be read.
func TestPackingIsForGood(t *testing.T) {
	t.Parallel()
	const stored = "\x01W\x9a.\x05\x905552fc55-8d82-4963-8f99-d5a0be6e2f92\"\x01b\x18ecords>"
	const want = `<?xml version="1.0"?><records session="5552fc55-8d82-4963-8f99-d5a0be6e2f92"></records>`
	if got, err := Unpack([]byte(stored)); err != nil || string(got) != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestUnpackRefuses(t *testing.T) {
	t.Parallel()
	long := Pack(bytes.Repeat([]byte{'x'}, cdr.MaxBody+1))
	for name, stored := range map[string][]byte{"nothing": {packed1}, "cut short": {packed1, 100, 8}, "too long": long} {
		if got, err := Unpack(stored); err == nil {
			t.Errorf("%s: got %d bytes, want an error", name, len(got))
		}
	}
}
