package main

import (
	"bufio"
	"cmp"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/license"
)

// The exit codes.
const (
	exitFailed = iota + 1
	exitUsage
	exitRefused
	exitNotFound
	exitConflict
	exitPermission
	exitUnreachable
)

// exitCode is the one table from errors to exit codes.
func exitCode(err error) int {
	if _, away := errors.AsType[*api.Unreachable](err); away {
		return exitUnreachable
	}
	if p, ok := errors.AsType[*api.Problem](err); ok {
		switch p.Status {
		case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType:
			return exitUsage
		case http.StatusUnprocessableEntity:
			return exitRefused
		case http.StatusNotFound:
			return exitNotFound
		case http.StatusConflict:
			return exitConflict
		case http.StatusUnauthorized, http.StatusForbidden:
			return exitPermission
		case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return exitUnreachable
		}
		return exitFailed
	}
	if e := license.AsError(err); e != nil {
		switch e.Kind {
		case license.KindInvalid, license.KindTooLarge:
			return exitUsage
		case license.KindRefused:
			return exitRefused
		case license.KindNotFound:
			return exitNotFound
		case license.KindConflict:
			return exitConflict
		case license.KindPermission, license.KindUnknown:
			return exitPermission
		case license.KindBusy:
			return exitUnreachable
		}
	}
	return exitFailed
}

// fail prints an error as people and scripts expect it and returns its exit code.
func fail(stderr io.Writer, err error) int {
	message, hint := err.Error(), ""
	if p, ok := errors.AsType[*api.Problem](err); ok {
		message, hint = cmp.Or(p.Detail, p.Title), p.Hint
	} else if e := license.AsError(err); e != nil {
		message, hint = e.Message, e.Hint
	} else if _, foreign := errors.AsType[x509.UnknownAuthorityError](err); foreign {
		hint = "set --root or TALLY_ROOT to the server's root certificate, or to its fingerprint, which `tally serve` logs at its start"
	} else if _, away := errors.AsType[*api.Unreachable](err); away {
		hint = "check --url, --root and the network, and that the server runs"
	}
	fmt.Fprintf(stderr, "error: %s\n", message)
	if hint != "" {
		fmt.Fprintf(stderr, "hint: %s\n", hint)
	}
	return exitCode(err)
}

// shell is what a verb works with.
type shell struct {
	globals
	stdin          io.Reader
	stdout, stderr io.Writer
}

// read reads a file of at most limit bytes; - is standard input.
func (s *shell) read(noun, file string, limit int64) ([]byte, error) {
	if file != "-" {
		return readFile(noun, file, limit)
	}
	return readAll(noun, "standard input", s.stdin, limit)
}

func readFile(noun, file string, limit int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, usage("check the name of the file", "the %s cannot be read: %v", noun, err)
	}
	defer func() { _ = f.Close() }() // nothing was written
	if about, err := f.Stat(); err == nil && about.IsDir() {
		return nil, usage("name a file in it", "the %s cannot be read: %s is a folder", noun, file)
	}
	return readAll(noun, file, f, limit)
}

func readAll(noun, file string, in io.Reader, limit int64) ([]byte, error) {
	doc, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read the %s %s: %w", noun, file, err)
	}
	if len(doc) == 0 {
		return nil, usage("write it anew, or name another file", "the %s %s is empty", noun, file)
	}
	if int64(len(doc)) > limit {
		return nil, license.Refuse(license.KindTooLarge, "too-large", "split it", "the %s %s is larger than %d bytes", noun, file, limit)
	}
	return doc, nil
}

// print writes the result of a verb: the document with --json, otherwise what text draws.
func (s *shell) print(doc any, text func(w io.Writer)) error {
	if s.JSON {
		enc := json.NewEncoder(s.stdout)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(doc)
	}
	out := bufio.NewWriter(s.stdout)
	text(out)
	return out.Flush()
}

// list is the document of a whole list.
type list[T any] struct {
	Items []T `json:"items"`
}

// printList writes a list: {"items":[…]} with --json, otherwise a table of the given columns, or a line that says that there
// is nothing.
func printList[T any](s *shell, items []T, nothing, columns string, row func(T) []any) error {
	if items == nil {
		items = []T{}
	}
	return s.print(list[T]{items}, func(w io.Writer) {
		if len(items) == 0 {
			fmt.Fprintln(s.stderr, nothing)
			return
		}
		t := newTable(w, columns)
		for _, item := range items {
			t.row(row(item)...)
		}
		t.end()
	})
}

// table aligns columns of text.
type table struct{ w *tabwriter.Writer }

// inWords finds where a name of a JSON field is of two words.
var inWords = regexp.MustCompile(`([a-z])([A-Z][a-z])`)

// newTable begins a table whose columns stand in one text, as in "id | name".
func newTable(w io.Writer, columns string) table {
	t := table{tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)}
	fmt.Fprintln(t.w, strings.ToUpper(strings.ReplaceAll(inWords.ReplaceAllString(columns, "$1 $2"), " | ", "\t")))
	return t
}

// row writes one line; times, truths and missing values are written for people.
func (t table) row(cells ...any) {
	for i, cell := range cells {
		if i > 0 {
			fmt.Fprint(t.w, "\t")
		}
		fmt.Fprint(t.w, cellText(cell))
	}
	fmt.Fprintln(t.w)
}

func (t table) end() { _ = t.w.Flush() } // into a buffer, which does not fail

func cellText(cell any) string {
	switch v := cell.(type) {
	case time.Time:
		if v.IsZero() {
			return "-"
		}
		return v.UTC().Format("2006-01-02 15:04:05Z")
	case *time.Time:
		if v == nil {
			return "-"
		}
		return cellText(*v)
	case time.Duration: // 6h, not 6h0m0s
		text := v.String()
		for _, nothing := range []string{"m0s", "h0m"} {
			if strings.HasSuffix(text, nothing) {
				text = text[:len(text)-2]
			}
		}
		return text
	case bool:
		if v {
			return "yes"
		}
		return "no"
	case string:
		if v == "" {
			return "-"
		}
		return strings.Map(printable, v)
	}
	return fmt.Sprint(cell)
}

// printable keeps control characters of names away from the terminal.
func printable(r rune) rune {
	if r < ' ' || r >= 0x7f && r < 0xa0 {
		return '?'
	}
	return r
}

// fields writes one thing as lines of name and value.
func fields(w io.Writer, pairs ...any) {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for i := 0; i+1 < len(pairs); i += 2 {
		fmt.Fprintf(t, "%v:\t%s\n", pairs[i], cellText(pairs[i+1]))
	}
	_ = t.Flush() // into a buffer, which does not fail
}

// counted words a number of things.
func counted(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// progress says on a terminal how far long work is; the next one takes its place.
func (s *shell) progress(format string, args ...any) {
	if isTerminal(s.stderr) {
		fmt.Fprintf(s.stderr, "\r\x1b[K"+format, args...)
	}
}

// progressEnd clears the last progress.
func (s *shell) progressEnd() { s.progress("") }

// confirm lets a destructive verb go on: with --yes, or after a person at a terminal said so. The plan is printed first.
func (s *shell) confirm(yes bool, plan string, args ...any) error {
	fmt.Fprintf(s.stderr, plan+"\n", args...)
	if yes {
		return nil
	}
	if in, ok := s.stdin.(*os.File); ok && isTerminal(in) && isTerminal(s.stderr) {
		fmt.Fprint(s.stderr, "Go on? [y/N] ")
		answer, _ := bufio.NewReader(in).ReadString('\n')
		if a := strings.ToLower(strings.TrimSpace(answer)); a == "y" || a == "yes" {
			return nil
		}
		return license.Refuse(license.KindRefused, "not-confirmed", "", "nothing was changed")
	}
	return usage("add --yes to do it", "this needs a confirmation; nothing was changed")
}

// isTerminal says whether w is a terminal, without asking more of the system than the kind of the file.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
