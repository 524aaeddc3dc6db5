package play

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Browser is a real headless Chromium with one page, driven over its debugging pipe. One goroutine uses it.
type Browser struct {
	t       testing.TB
	in      *os.File
	answers chan answer
	last    atomic.Int64
	session string
}

type answer struct {
	ID     int64           `json:"id"`
	Method string          `json:"method"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// Chromium starts the browser with an empty profile. The test ends it. A missing browser fails the test.
func Chromium(t testing.TB) *Browser {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("the browser is missing: run `make test`, which installs it: %v", err)
	}
	cmd := exec.Command(program, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
		"--disable-sync", "--disable-quic", "--hide-scrollbars", "--remote-debugging-pipe", "--user-data-dir="+profile(t), "about:blank")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // its helpers end with it
	theirIn, in := pipe(t)
	out, theirOut := pipe(t)
	cmd.ExtraFiles = []*os.File{theirIn, theirOut} // descriptors 3 and 4
	if err := cmd.Start(); err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	_, _ = theirIn.Close(), theirOut.Close()
	b := &Browser{t: t, in: in, answers: make(chan answer, 256)}
	go b.read(out) // ends with the browser
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		_, _ = in.Close(), out.Close()
	})
	var target struct{ TargetID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	b.call("Page.enable", nil, nil)
	return b
}

// profile is an empty folder. Helpers of the browser may still write to it when it ends, which is no fault of the test.
func profile(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tally-chromium-")
	if err != nil {
		t.Fatalf("make profile: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func pipe(t testing.TB) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatalf("make pipe: %v", err)
	}
	return r, w
}

func (b *Browser) read(out *os.File) {
	in := bufio.NewReaderSize(out, 1<<20)
	for {
		text, err := in.ReadBytes(0)
		if err != nil {
			close(b.answers)
			return
		}
		var a answer
		if json.Unmarshal(text[:len(text)-1], &a) == nil && (a.ID != 0 || a.Method == "Page.loadEventFired") {
			b.answers <- a
		}
	}
}

// call runs a command and waits for its answer.
func (b *Browser) call(method string, params any, into any) {
	b.t.Helper()
	id := b.last.Add(1)
	message := map[string]any{"id": id, "method": method}
	if params != nil {
		message["params"] = params
	}
	if b.session != "" {
		message["sessionId"] = b.session
	}
	text, err := json.Marshal(message)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.in.Write(append(text, 0)); err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
	a := b.await(method, func(a answer) bool { return a.ID == id })
	if a.Error != nil {
		b.t.Fatalf("%s: %s", method, a.Error.Message)
	}
	if into != nil {
		if err := json.Unmarshal(a.Result, into); err != nil {
			b.t.Fatalf("%s: %v", method, err)
		}
	}
}

func (b *Browser) await(what string, is func(answer) bool) answer {
	b.t.Helper()
	late := time.After(30 * time.Second)
	for {
		select {
		case a, ok := <-b.answers:
			if !ok {
				b.t.Fatalf("%s: the browser ended", what)
			}
			if is(a) {
				return a
			}
		case <-late:
			b.t.Fatalf("%s: no answer within 30 s", what)
		}
	}
}

// Open loads an address.
func (b *Browser) Open(url string) {
	b.t.Helper()
	b.load(func() { b.call("Page.navigate", map[string]any{"url": url}, nil) })
}

// Click clicks the first element of a selector, which must lead to another page.
func (b *Browser) Click(selector string) {
	b.t.Helper()
	b.load(func() { b.Eval(fmt.Sprintf("document.querySelector(%q).click()", selector)) })
}

// load does what leads to a page and waits until that has been loaded.
func (b *Browser) load(act func()) {
	b.t.Helper()
	for len(b.answers) > 0 {
		<-b.answers
	}
	act()
	if b.Eval("document.readyState") == "complete" && b.Eval("window.seen") == nil {
		b.Eval("window.seen = true")
		return
	}
	b.await("page", func(a answer) bool { return a.Method == "Page.loadEventFired" })
	b.Eval("window.seen = true")
}

// Eval evaluates an expression in the page.
func (b *Browser) Eval(expression string) any {
	b.t.Helper()
	var out struct {
		Result           struct{ Value any }
		ExceptionDetails *struct{ Text string }
	}
	b.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true}, &out)
	if out.ExceptionDetails != nil {
		b.t.Fatalf("%s: %s", expression, out.ExceptionDetails.Text)
	}
	return out.Result.Value
}

// Screen sets the width in pixels and the color scheme, light or dark.
func (b *Browser) Screen(width int, scheme string) {
	b.t.Helper()
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}, nil)
	b.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

// Shot writes a picture of the page, at most 1600 pixels high.
func (b *Browser) Shot(path string) {
	b.t.Helper()
	var size struct {
		CSSContentSize struct{ Width, Height float64 }
	}
	b.call("Page.getLayoutMetrics", nil, &size)
	var shot struct{ Data string }
	b.call("Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": true, "clip": map[string]any{
		"x": 0, "y": 0, "width": size.CSSContentSize.Width, "height": min(1600, max(800, size.CSSContentSize.Height)), "scale": 1,
	}}, &shot)
	png, err := base64.StdEncoding.DecodeString(shot.Data)
	if err == nil {
		err = os.WriteFile(path, png, 0o600)
	}
	if err != nil {
		b.t.Fatalf("write picture: %v", err)
	}
}

// Wait waits until an expression is true in the page.
func (b *Browser) Wait(expression string) {
	b.t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		if b.Eval(expression) == true {
			return
		}
		<-time.After(20 * time.Millisecond)
	}
	b.t.Fatalf("after 20 s it is not true that %s; the page says:\n%.2000v", expression, b.Eval("document.body.innerText"))
}

// keys are the keys that Press knows, with their codes.
var keys = map[string]int{"Tab": 9, "Enter": 13, "Escape": 27, " ": 32}

// Press presses a key: Tab, Enter, Escape or a space.
func (b *Browser) Press(key string) {
	b.t.Helper()
	text := map[string]string{"Enter": "\r", " ": " "}[key]
	for _, kind := range []string{"keyDown", "keyUp"} {
		b.call("Input.dispatchKeyEvent", map[string]any{"type": kind, "key": key, "code": map[string]string{" ": "Space"}[key] + map[bool]string{true: key}[key != " "],
			"windowsVirtualKeyCode": keys[key], "text": text}, nil)
	}
}

// Type types text where the focus is.
func (b *Browser) Type(text string) {
	b.t.Helper()
	b.call("Input.insertText", map[string]any{"text": text}, nil)
}
