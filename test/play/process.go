package play

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Binaries builds the programs once for a test binary and returns the folder they are in. Tags are build tags.
func Binaries(dir string, tags string) error {
	args := []string{"build", "-o", dir + string(filepath.Separator)}
	if tags != "" {
		args = append(args, "-tags", tags)
	}
	cmd := exec.Command("go", append(args, "./cmd/...")...)
	cmd.Dir = root()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the programs: %w\n%s", err, out)
	}
	return nil
}

// root is the folder of the module: the nearest parent with a go.mod.
func root() string {
	dir, err := os.Getwd()
	for err == nil {
		if _, statErr := os.Stat(filepath.Join(dir, "go.mod")); statErr == nil {
			return dir
		}
		if filepath.Dir(dir) == dir {
			break
		}
		dir = filepath.Dir(dir)
	}
	return "."
}

// Server is a running `tally serve`.
type Server struct {
	URL string

	t    testing.TB
	cmd  *exec.Cmd
	log  strings.Builder
	done chan error
}

// Serve starts a program and waits until it says that it is listening. The test ends it if nobody else does.
func Serve(t testing.TB, program string, args ...string) *Server {
	t.Helper()
	s := &Server{t: t, cmd: exec.Command(program, args...), done: make(chan error, 1)}
	s.cmd.Stderr = &s.log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatalf("pipe: %v", err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", program, err)
	}
	t.Cleanup(s.Kill)
	first := make(chan string, 1)
	go func() { // ends with the program
		in := bufio.NewReader(out)
		for {
			line, err := in.ReadString('\n')
			if address, ok := strings.CutPrefix(line, "listening on "); ok {
				first <- strings.TrimSpace(address)
				_, _ = io.Copy(io.Discard, in)
				break
			}
			if err != nil {
				close(first)
				break
			}
		}
		s.done <- s.cmd.Wait()
	}()
	select {
	case address, ok := <-first:
		if !ok {
			t.Fatalf("%s %s ended before it was ready:\n%s", program, strings.Join(args, " "), s.log.String())
		}
		s.URL = address
	case <-time.After(60 * time.Second):
		t.Fatalf("%s was not ready after 60 s", program)
	}
	return s
}

// Kill ends the process without warning, like a power cut of the process, and waits until it is gone. Again is no error.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill()
	select {
	case err := <-s.done:
		s.done <- err
	case <-time.After(30 * time.Second):
		s.t.Error("the killed server did not end")
	}
}

// Memory is the most resident memory that the process ever had, in bytes.
func (s *Server) Memory() int64 {
	s.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		s.t.Fatalf("read memory of the server: %v", err)
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	var kib int64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		s.t.Fatalf("read memory of the server: %v", err)
	}
	return kib << 10
}

// Stop asks the process to end and returns its exit code.
func (s *Server) Stop() int {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatalf("signal: %v", err)
	}
	select {
	case err := <-s.done:
		s.done <- err
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return exit.ExitCode()
		}
		return 0
	case <-time.After(30 * time.Second):
		s.t.Fatalf("the server did not end within 30 s of SIGTERM:\n%s", s.log.String())
	}
	return -1
}

// Run runs a program to its end and returns what it printed and its exit code.
func Run(ctx context.Context, env []string, program string, args ...string) (stdout, stderr string, code int) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), env...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		code = exit.ExitCode()
	case err != nil:
		return out.String(), err.Error(), -1
	}
	return out.String(), errs.String(), code
}

// PID is the number of the process.
func (s *Server) PID() int { return s.cmd.Process.Pid }
