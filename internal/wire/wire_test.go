package wire_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/wire"
)

const nonce = "0123456789abcdef"

func TestRefusedMessages(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	many := make([]wire.Usage, wire.MaxUsageTags+1)
	for name, m := range map[string]interface{ Check() error }{
		"count below zero": wire.Authorize{Nonce: nonce, Usage: []wire.Usage{{Tag: "vts", Count: -1}}},
		"count too large":  wire.Authorize{Nonce: nonce, Usage: []wire.Usage{{Tag: "vts", Count: license.MaxQuantity + 1}}},
		"bad tag":          wire.Authorize{Nonce: nonce, Usage: []wire.Usage{{Tag: "VTS;", Count: 1}}},
		"tag twice":        wire.Authorize{Nonce: nonce, Usage: []wire.Usage{{Tag: "vts", Count: 1}, {Tag: "vts", Count: 2}}},
		"too many tags":    wire.Authorize{Nonce: nonce, Usage: many},
		"no nonce":         wire.Authorize{},
		"long nonce":       wire.Deregister{Nonce: strings.Repeat("x", 65)},
		"empty interval":   wire.Authorize{Nonce: nonce, Intervals: []wire.Interval{{Tag: "vts", From: now, To: now}}},
		"endless interval": wire.Authorize{Nonce: nonce, Intervals: []wire.Interval{{Tag: "vts", From: now, To: now.AddDate(0, 2, 0)}}},
		"no token":         wire.Register{Nonce: nonce, CSR: []byte{1}, Product: wire.Product{Name: "a", PID: "b", Serial: "c"}},
		"no request":       wire.Register{Nonce: nonce, Token: "t", Product: wire.Product{Name: "a", PID: "b", Serial: "c"}},
		"no serial":        wire.Register{Nonce: nonce, Token: "t", CSR: []byte{1}, Product: wire.Product{Name: "a", PID: "b"}},
		"comma in serial":  wire.Register{Nonce: nonce, Token: "t", CSR: []byte{1}, Product: wire.Product{Name: "a", PID: "b", Serial: "c,SN:d"}},
		"control byte":     wire.Register{Nonce: nonce, Token: "t", CSR: []byte{1}, Product: wire.Product{Name: "a\n", PID: "b", Serial: "c"}},
		"renewal":          wire.Renew{Nonce: nonce},
	} {
		if e := license.AsError(m.Check()); e == nil || e.Kind != license.KindInvalid {
			t.Errorf("%s: got %v, want a refusal", name, e)
		}
	}
}

func TestDecodeIsStrict(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"unknown member": `{"nonce":"0123456789abcdef","color":"red"}`,
		"trailing":       `{"nonce":"0123456789abcdef"} {}`,
		"cut off":        `{"nonce":"0123`,
		"wrong type":     `{"nonce":7}`,
	} {
		var m wire.Deregister
		if e := license.AsError(wire.Decode([]byte(text), &m)); e == nil || e.Code != "malformed" {
			t.Errorf("%s: got %v, want a refusal", name, e)
		}
	}
	var m wire.Deregister
	if e := license.AsError(wire.Decode(make([]byte, wire.MaxMessage+1), &m)); e == nil || e.Kind != license.KindTooLarge {
		t.Errorf("too large: got %v", e)
	}
}

func FuzzDecodeAuthorize(f *testing.F) {
	good, err := json.Marshal(wire.Authorize{Nonce: nonce, Usage: []wire.Usage{{Tag: "vts", Count: 1}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, payload []byte) {
		var m wire.Authorize
		if err := wire.Decode(payload, &m); err != nil {
			if license.AsError(err) == nil {
				t.Errorf("got %v, which is no refusal", err)
			}
			return
		}
		if err := m.Check(); err != nil {
			t.Errorf("decoded, then refused: %v", err)
		}
	})
}
