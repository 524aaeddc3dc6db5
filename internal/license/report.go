package license

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Report is a table for people and programs: column names in lowerCamelCase, and rows whose cells are strings, int64,
// booleans, times, or nil for nothing.
type Report struct {
	Kind    string
	Columns []string
	Rows    [][]any
}

// WriteCSV writes the report as RFC 4180 text with a header line. Cells that a spreadsheet would take for a formula are
// quoted with a leading apostrophe.
func (r Report) WriteCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	out.UseCRLF = true
	if err := out.Write(r.Columns); err != nil {
		return fmt.Errorf("write report header: %w", err)
	}
	line := make([]string, len(r.Columns))
	for _, row := range r.Rows {
		for i, cell := range row {
			line[i] = cellText(cell)
		}
		if err := out.Write(line); err != nil {
			return fmt.Errorf("write report line: %w", err)
		}
	}
	out.Flush()
	return out.Error()
}

func cellText(cell any) string {
	switch v := cell.(type) {
	case nil:
		return ""
	case string:
		if v != "" && strings.ContainsRune("=+-@\t\r", rune(v[0])) {
			return "'" + v
		}
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	case bool:
		return strconv.FormatBool(v)
	case *time.Time:
		if v == nil {
			return ""
		}
		return cellText(*v)
	case time.Time:
		if v.IsZero() {
			return ""
		}
		return v.UTC().Format(time.RFC3339)
	}
	return fmt.Sprint(cell)
}
