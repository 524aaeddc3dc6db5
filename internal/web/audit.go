package web

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/license"
)

func eventOf(e authority.Event) api.Event {
	out := api.Event{Seq: e.Seq, At: e.At, Actor: e.Actor, Kind: e.Kind, Subject: e.Subject, Hash: e.Hash}
	if len(e.Data) > 0 {
		out.Data = e.Data
	}
	return out
}

func (s *server) listEvents(ctx context.Context, in *struct {
	AccountPath
	Paging
}) (*reply[api.List[api.Event]], error) {
	after, err := in.after(numberPart)
	if err != nil {
		return nil, err
	}
	rows, next, err := s.Authority.Events(ctx, in.Who, in.Account, authority.Page{After: after, Limit: in.Limit})
	return listed(rows, next, err, eventOf)
}

func (s *server) verifyEvents(ctx context.Context, in *AccountPath) (*reply[api.Verification], error) {
	v, err := s.Authority.VerifyEvents(ctx, in.Who, in.Account)
	return answerWith(api.Verification{Events: v.Events, Problems: each(v.Problems, func(p string) string { return p })}, err)
}

// file is an answer that is written as it is made.
type file struct {
	ContentType string `header:"Content-Type"`
	Disposition string `header:"Content-Disposition"`
	Body        func(huma.Context)
}

// reportAnswer says in which forms a report comes.
func (s *server) reportAnswer(op *huma.Operation) {
	op.Responses["200"] = &huma.Response{Description: "The report.", Content: map[string]*huma.MediaType{
		"application/json": {Schema: s.schema(api.Report{})},
		"text/csv":         {Schema: &huma.Schema{Type: huma.TypeString, Description: "RFC 4180 with a header line."}},
	}}
}

func (s *server) report(ctx context.Context, in *struct {
	AccountPath
	Kind   string `path:"kind" doc:"licenses, subscriptions, instances, usage, meetings, users, hours, days or demand."`
	Format string `query:"format" enum:"json,csv" default:"json" doc:"Form of the answer."`
	From   string `query:"from" doc:"Begin of the period, as 2026-01-31 or in RFC 3339; open when left out."`
	To     string `query:"to" doc:"End of the period, which is not part of it; open when left out."`
}) (*file, error) {
	from, to, err := period(in.From, in.To)
	if err != nil {
		return nil, err
	}
	var made license.Report
	if slices.Contains(authority.ReportKinds(), in.Kind) {
		made, err = s.Authority.Report(ctx, in.Who, in.Account, in.Kind, from, to)
	} else {
		var id string
		if id, err = s.Authority.Scope(ctx, in.Who, access.See, in.Account); err == nil {
			made, err = s.Conference.Report(ctx, id, in.Kind, from, s.until(to))
			s.nameLicenses(made)
		}
	}
	if err != nil {
		return nil, err
	}
	if in.Format == "csv" {
		return &file{"text/csv; charset=utf-8; header=present", `attachment; filename="` + made.Kind + `.csv"`, func(ctx huma.Context) {
			_ = made.WriteCSV(ctx.BodyWriter()) // the caller may be gone
		}}, nil
	}
	return &file{"application/json", `inline; filename="` + made.Kind + `.json"`, func(ctx huma.Context) { writeReport(ctx.BodyWriter(), made) }}, nil
}

// nameLicenses puts the catalog's names into the column license, where the conference engine, which knows no catalog, has
// words of its own.
func (s *server) nameLicenses(r license.Report) {
	name, tag := slices.Index(r.Columns, "license"), slices.Index(r.Columns, "tag")
	if name < 0 || tag < 0 {
		return
	}
	for _, row := range r.Rows {
		if t, ok := row[tag].(string); ok {
			row[name] = s.Authority.Catalog().Name(license.Tag(t))
		}
	}
}

// until closes a period that is open at its end: a little after now.
func (s *server) until(to time.Time) time.Time {
	if to.IsZero() {
		return s.Now().Add(time.Hour)
	}
	return to
}

// writeReport writes an api.Report row by row, with the members in the order of the columns, as large reports do not fit
// into maps.
func writeReport(w io.Writer, r license.Report) {
	out := bufio.NewWriterSize(w, 32<<10)
	names := make([][]byte, len(r.Columns))
	for i, c := range r.Columns {
		names[i] = appendJSON(nil, c)
	}
	line := append([]byte(`{"kind":`), appendJSON(nil, r.Kind)...)
	line = append(appendJSON(append(line, `,"columns":`...), append([]string{}, r.Columns...)), `,"items":[`...)
	for n, row := range r.Rows {
		if n > 0 {
			line = append(line, ',')
		}
		line = append(line, "\n{"...)
		for i, cell := range row {
			if i > 0 {
				line = append(line, ',')
			}
			line = appendCell(append(append(line, names[i]...), ':'), cell)
		}
		line = append(line, '}')
		_, _ = out.Write(line) // Flush meets the error
		line = line[:0]
	}
	_, _ = out.Write(append(line, "]}\n"...))
	_ = out.Flush() // the caller may be gone
}

func appendCell(b []byte, cell any) []byte {
	switch v := cell.(type) {
	case int64:
		return strconv.AppendInt(b, v, 10)
	case time.Time:
		if v.IsZero() {
			return append(b, "null"...)
		}
		return append(v.UTC().AppendFormat(append(b, '"'), time.RFC3339Nano), '"')
	}
	return appendJSON(b, cell)
}

func appendJSON(b []byte, v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		text = []byte("null") // cells are strings, numbers, booleans, times or nil
	}
	return append(b, text...)
}
