package qrcode

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// read decodes a picture with a reader that is none of ours.
func read(t *testing.T, picture []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "code.png")
	if err := os.WriteFile(file, picture, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "zbarimg", "--quiet", "--raw", file).Output()
	if err != nil {
		t.Fatalf("zbarimg, of the package zbar-tools: %v", err)
	}
	return strings.TrimSuffix(string(out), "\n")
}

var texts = []string{"C1004-0G2XM-9XZ7Q-4T0VB-KK3N2", strings.Repeat("tally1/1/2/0a1b2c3d:AbC_-", MaxText/25)}

// TestPathIsThePNG compares the drawing for pages with the picture that a reader reads.
func TestPathIsThePNG(t *testing.T) {
	for _, text := range texts {
		path, size, err := Path(text)
		if err != nil {
			t.Fatal(err)
		}
		code, err := encode(text)
		if err != nil {
			t.Fatal(err)
		}
		picture := image.NewGray(image.Rect(0, 0, size, size))
		for i := range picture.Pix {
			picture.Pix[i] = 255
		}
		for _, run := range strings.Split(strings.TrimSuffix(path, "z"), "z") {
			var x, y, n int
			if _, err := fmt.Sscanf(run, "M%d %dh%dv1", &x, &y, &n); err != nil {
				t.Fatalf("%q: %v", run, err)
			}
			for i := range n {
				picture.Set(x+i, y, color.Black)
			}
		}
		for y := range size {
			for x := range size {
				if dark := picture.GrayAt(x, y).Y == 0; dark != code.Black(x-quiet, y-quiet) {
					t.Fatalf("module %d, %d is wrong", x, y)
				}
			}
		}
	}
}

func TestPNGIsRead(t *testing.T) {
	for _, text := range texts {
		picture, err := PNG(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, picture); got != text {
			t.Errorf("got %q, want %q", got, text)
		}
	}
	if _, err := PNG(strings.Repeat("x", MaxText+1)); err == nil {
		t.Error("a text that is too long was drawn")
	}
}

// TestTerminalIsRead photographs the terminal: every half block becomes 4 by 4 dots.
func TestTerminalIsRead(t *testing.T) {
	for _, text := range texts {
		var out bytes.Buffer
		if err := Terminal(&out, text); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		picture := image.NewGray(image.Rect(0, 0, 4*len([]rune(lines[0])), 8*len(lines)))
		for y, line := range lines {
			for x, r := range []rune(line) {
				for i := range 32 {
					upper := i < 16
					if r == '█' || r == '▀' && upper || r == '▄' && !upper {
						picture.Set(4*x+i%4, 8*y+i/4, color.White)
					}
				}
			}
		}
		var file bytes.Buffer
		if err := png.Encode(&file, picture); err != nil {
			t.Fatal(err)
		}
		if got := read(t, file.Bytes()); got != text {
			t.Errorf("got %q, want %q", got, text)
		}
	}
}
