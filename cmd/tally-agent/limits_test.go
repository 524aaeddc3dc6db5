package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The bounds of the program: a product is not to feel it.
const (
	maxProgram = 15 << 20
	maxIdle    = 20 << 20
)

// TestProgramIsSmall builds the program and lets it idle as a daemon with its local REST interface and the
// page, after everything was asked for once.
func TestProgramIsSmall(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program := filepath.Join(dir, "tally-agent")
	build := exec.Command("go", "build", "-o", program, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	info, err := os.Stat(program)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the program has %.1f MiB", float64(info.Size())/(1<<20))
	if info.Size() > maxProgram {
		t.Errorf("the program has %d bytes, at most %d are allowed", info.Size(), maxProgram)
	}
	state := filepath.Join(dir, "state")
	if out, err := exec.Command(program, "--state", state, "init", "--product", "Bridge", "--pid", "CMS", "--sn", "X1").CombinedOutput(); err != nil {
		t.Fatalf("init: %v\n%s", err, out)
	}
	daemon := exec.Command(program, "--state", state, "serve", "--listen", "127.0.0.1:0")
	stdout, err := daemon.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = daemon.Process.Signal(syscall.SIGTERM)
		_ = daemon.Wait()
	})
	in := bufio.NewScanner(stdout)
	for in.Scan() && !strings.HasPrefix(in.Text(), "listening on ") {
	}
	for range 5 {
		if out, err := exec.Command(program, "--state", state, "page").CombinedOutput(); err != nil {
			t.Fatalf("page: %v\n%s", err, out)
		}
	}
	<-time.After(2 * time.Second) // idle
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", daemon.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	var kib int64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatal(err)
	}
	t.Logf("the idle daemon has %.1f MiB", float64(kib)/1024)
	if kib<<10 > maxIdle {
		t.Errorf("the idle daemon has %d KiB of memory, at most %d are allowed", kib, maxIdle>>10)
	}
}
