// Package qrcode draws codes for cameras: on a terminal, and as PNG pictures. It knows nothing of what they say, reads none back,
// and keeps nothing.
//
// Invariant: every picture has the quiet zone of four modules that readers need (ISO/IEC 18004, section 9.1).
package qrcode

import (
	"fmt"
	"io"
	"strings"

	"rsc.io/qr"
)

// MaxText is the longest text in bytes that one picture takes and a common reader still reads from a screen.
const MaxText = 900

// quiet is the width of the light frame in modules.
const quiet = 4

func encode(text string) (*qr.Code, error) {
	if len(text) > MaxText {
		return nil, fmt.Errorf("draw a QR code: %d bytes, at most %d", len(text), MaxText)
	}
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		return nil, fmt.Errorf("draw a QR code: %w", err)
	}
	return code, nil
}

// PNG draws text as a picture.
func PNG(text string) ([]byte, error) {
	code, err := encode(text)
	if err != nil {
		return nil, err
	}
	code.Scale = 4
	return code.PNG(), nil
}

// Terminal draws text with half blocks, two modules a character, light on dark as terminals mostly are.
func Terminal(w io.Writer, text string) error {
	code, err := encode(text)
	if err != nil {
		return err
	}
	light := func(x, y int) bool { return !code.Black(x, y) } // outside of the code everything is light
	var b strings.Builder
	for y := -quiet; y < code.Size+quiet; y += 2 {
		for x := -quiet; x < code.Size+quiet; x++ {
			upper, lower := light(x, y), light(x, y+1) && y+1 < code.Size+quiet
			switch {
			case upper && lower:
				b.WriteRune('█')
			case upper:
				b.WriteRune('▀')
			case lower:
				b.WriteRune('▄')
			default:
				b.WriteByte(' ')
			}
		}
		b.WriteByte('\n')
	}
	_, err = io.WriteString(w, b.String())
	return err
}

// Path draws text as the path of an SVG picture of size by size modules, the dark ones, with the quiet zone around them.
func Path(text string) (path string, size int, err error) {
	code, err := encode(text)
	if err != nil {
		return "", 0, err
	}
	var b strings.Builder
	for y := range code.Size {
		for x := 0; x < code.Size; x++ {
			from := x
			for code.Black(x, y) {
				x++
			}
			if x > from {
				fmt.Fprintf(&b, "M%d %dh%dv1h-%dz", from+quiet, y+quiet, x-from, x-from)
			}
		}
	}
	return b.String(), code.Size + 2*quiet, nil
}
