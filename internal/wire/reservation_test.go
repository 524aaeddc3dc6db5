package wire

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/license"
)

func sampleReservation() Reservation {
	at := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	return Reservation{
		Account: Named{"acc_1", "acme.example"}, VirtualAccount: Named{"va_1", "Default"}, Reservation: "rsv_1", PID: "CMS-1000", Serial: "A1",
		Request: "Q1", Sequence: 1, Version: 2, Kind: license.Specific, IssuedAt: at, Key: bytes.Repeat([]byte{7}, 32),
		Lots: []license.ReservedLot{
			{Lot: "lot_1", Tag: "cms-smp-plus", Name: "Shared\nMultiparty Plus", Quantity: 5, Type: license.Perpetual, Start: at},
			{Lot: "lot_2", Tag: "cms-smp-plus", Name: "Shared Multiparty Plus", Quantity: 2, Type: license.Term, Start: at, End: at.AddDate(1, 0, 0)},
		},
	}
}

func TestReservationText(t *testing.T) {
	r := sampleReservation()
	text, err := r.Text()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseReservation(text)
	if err != nil || !reflect.DeepEqual(got, r) {
		t.Fatalf("got %+v, %v", got, err)
	}
	for _, want := range []string{"Product          PID:CMS-1000,SN:A1\n", "       5  Shared?Multiparty Plus (cms-smp-plus), without end\n", "until 2027-03-02 09:00 UTC\n"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%q is missing in:\n%s", want, text)
		}
	}
}

func TestCarriedReservation(t *testing.T) {
	file, err := sampleReservation().Text()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"the file":                string(file),
		"with other line ends":    strings.ReplaceAll(string(file), "\n", "\r\n"),
		"with space around it":    "\n " + string(file) + " \n",
		"as a line":               OneLine(file),
		"as a line, broken":       OneLine(file)[:100] + "\n" + OneLine(file)[100:] + "\n",
		"as a line, broken oddly": OneLine(file)[:100] + " \r\n " + OneLine(file)[100:],
	} {
		if got, err := CarriedReservation([]byte(text)); err != nil || !bytes.Equal(got, file) {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	for name, text := range map[string]string{"nothing": "", "something else": "hello", "half a line": OneLine(file)[:101] + "!", "a flood": strings.Repeat("x", 1<<20)} {
		if _, err := CarriedReservation([]byte(text)); license.AsError(err) == nil {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestFrames(t *testing.T) {
	file, err := sampleReservation().Text()
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{100, 400, 1000, 100_000} {
		frames := Frames(file, size)
		for _, f := range frames {
			if len(f) > size {
				t.Fatalf("a frame of %d bytes, at most %d", len(f), size)
			}
		}
		slices.Reverse(frames)
		got, err := CarriedReservation([]byte(strings.Join(append(frames, frames[0]), "\n")))
		if err != nil || !bytes.Equal(got, file) {
			t.Fatalf("%d: got %q, %v", size, got, err)
		}
		if len(frames) > 1 {
			_, err := CarriedReservation([]byte(strings.Join(frames[1:], "\n")))
			if e := license.AsError(err); e == nil || !strings.Contains(e.Message, "missing: "+fmt.Sprint(len(frames))) {
				t.Fatalf("%d, without the last: %v", size, err)
			}
		}
		frames[0] = frames[0][:len(frames[0])-1] + "!"
		if _, err := CarriedReservation([]byte(strings.Join(frames, "\n"))); license.AsError(err) == nil {
			t.Fatalf("%d, damaged: %v", size, err)
		}
	}
}

func FuzzParseReservation(f *testing.F) {
	text, err := sampleReservation().Text()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(OneLine(text)))
	f.Add([]byte(strings.Join(Frames(text, 300), "\n")))
	f.Add([]byte("TALLYSTICK LICENSE RESERVATION\n{\n}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := CarriedReservation(text)
		if err != nil {
			return
		}
		r, err := ParseReservation(file)
		if err != nil {
			return
		}
		again, err := r.Text()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ParseReservation(again); err != nil || got.UDI() != r.UDI() || len(got.Lots) != len(r.Lots) {
			t.Fatalf("%+v came back as %+v, %v", r, got, err)
		}
	})
}
