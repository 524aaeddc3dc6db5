package web

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/license"
)

// maxJSON bounds a document in bytes; order and directory files have bounds of their own.
const maxJSON = 1 << 20

// maxRequestKey is how long an Idempotency-Key may be.
const maxRequestKey = 128

// adapter is the way between huma and the mux: every request passes the check of the key before huma sees it.
type adapter struct{ *server }

// Handle implements huma.Adapter.
func (a adapter) Handle(op *huma.Operation, serve func(huma.Context)) {
	action, _ := op.Metadata[actionOf].(access.Action) // the zero action allows nothing
	a.mux.HandleFunc(op.Method+" "+op.Path, func(w http.ResponseWriter, r *http.Request) {
		id := w.Header().Get(requestHeader)
		who, err := a.admit(r, action)
		if err == nil {
			err = bounded(r, op.MaxBodyBytes-1)
		}
		if err != nil {
			writeProblem(w, a.problemOf(r.Context(), id, err))
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		r = r.WithContext(context.WithValue(r.Context(), requestKey{}, id))
		r.Body = io.NopCloser(r.Body) // huma closes it, but the rest of a body that is too large is still to be read
		serve(&call{humaContext: humago.NewContext(op, r, w), who: who, request: id, address: a.address(r)})
	})
}

// rest serves a route by a verb with typed input and output. The id names the operation in the OpenAPI document.
func rest[I, O any](id, summary string, verb func(context.Context, *I) (*O, error), change ...func(*huma.Operation)) func(*server, route) {
	return func(s *server, r route) {
		op := huma.Operation{
			OperationID: id, Summary: summary, Method: r.method, Path: r.path, MaxBodyBytes: maxJSON + 1, Metadata: map[string]any{actionOf: r.action},
			Responses: map[string]*huma.Response{"default": {Description: "A refusal.", Content: map[string]*huma.MediaType{problemType: {Schema: s.schema(api.Problem{})}}}},
		}
		if r.method != http.MethodGet {
			op.Parameters = []*huma.Param{{
				Name: "Idempotency-Key", In: "header", Description: "Makes the request repeatable: the same key is carried out once.",
				Schema: &huma.Schema{Type: huma.TypeString, MaxLength: new(maxRequestKey)},
			}}
		}
		for _, c := range change {
			c(&op)
		}
		var described map[string]*huma.MediaType
		if op.RequestBody != nil {
			described = maps.Clone(op.RequestBody.Content)
		}
		huma.Register(s.rest, op, func(ctx context.Context, in *I) (*O, error) {
			out, err := verb(ctx, in)
			if err != nil {
				id, _ := ctx.Value(requestKey{}).(string)
				return nil, s.problemOf(ctx, id, err)
			}
			return out, nil
		})
		if op.RequestBody != nil {
			op.RequestBody.Content = described // and not as the bytes that the verb reads itself
		}
	}
}

// created marks an operation that answers with something new.
func created(op *huma.Operation) { op.DefaultStatus = http.StatusCreated }

// schema is the schema of a contract type in the OpenAPI document.
func (s *server) schema(v any) *huma.Schema {
	return s.rest.OpenAPI().Components.Schemas.Schema(reflect.TypeOf(v), true, "")
}

// requestKey is the context key of the request's id, which context carries for the log.
type requestKey struct{}

// actionOf is where an operation's metadata keep the action that its row of the table names.
const actionOf = "action"

// humaContext is embedded under another name, as Context is one of its methods.
type humaContext = huma.Context

// call is one request under way in huma.
type call struct {
	humaContext
	who     access.Person
	request string
	address string
	status  int // replaces the one that huma chose; 0 for none
}

// SetStatus implements huma.Context.
func (c *call) SetStatus(status int) {
	if c.status != 0 {
		status = c.status
	}
	c.humaContext.SetStatus(status)
}

// reword turns what huma itself refuses into our problem document.
func reword(ctx huma.Context, _ string, v any) (any, error) {
	e, ok := v.(*huma.ErrorModel)
	c, under := ctx.(*call)
	if !ok || !under {
		return v, nil
	}
	p := fromHuma(e, c.request)
	c.status = p.Status
	return p, nil
}

// admit finds the caller behind the key of a request and checks that its role has the action at all; on what, the verb
// checks.
func (s *server) admit(r *http.Request, action access.Action) (access.Person, error) {
	scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return access.Person{}, license.Refuse(license.KindUnknown, "not-signed-in", "send the header Authorization: Bearer KEY with a key that `tally bootstrap` printed",
			"this needs an API key")
	}
	who, err := s.Authority.Authenticate(r.Context(), strings.TrimSpace(key))
	if err != nil {
		return access.Person{}, err
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		who.RequestKey = r.Header.Get("Idempotency-Key")
		if len(who.RequestKey) > maxRequestKey || strings.ContainsFunc(who.RequestKey, func(c rune) bool { return c < ' ' || c > '~' }) {
			return access.Person{}, license.Refuse(license.KindInvalid, "idempotency-key", "use at most 128 printable characters", "the Idempotency-Key is too long or not printable")
		}
	}
	return who, who.Check(action, who.Account)
}

// address is how others reach this server.
func (s *server) address(r *http.Request) string {
	switch {
	case s.PublicURL != "":
		return s.PublicURL
	case r.TLS == nil:
		return "http://" + r.Host
	}
	return "https://" + r.Host
}

// Caller is who makes a request; inputs embed it. Address is how others reach this server.
type Caller struct {
	Who     access.Person
	Address string
}

// Resolve implements huma.Resolver.
func (c *Caller) Resolve(ctx huma.Context) []error {
	under := ctx.(*call) // the adapter makes no other
	c.Who, c.Address = under.who, under.address
	return nil
}

// AccountPath is the input of everything below an account.
type AccountPath struct {
	Caller
	Account string `path:"account" doc:"Account, by id or name."`
}

// Paging is the part of a list to show.
type Paging struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"At most so many rows."`
	Cursor string `query:"cursor" doc:"The next of the page before."`
}

// Filter narrows a list to one virtual account.
type Filter struct {
	VirtualAccount string `query:"virtualAccount" doc:"Only this virtual account, by id or name."`
}

// reply is an answer with a document.
type reply[T any] struct{ Body T }

func answerWith[T any](v T, err error) (*reply[T], error) {
	if err != nil {
		return nil, err
	}
	return &reply[T]{v}, nil
}

// listed is a page of converted rows; next is the key of its last row when there is another page.
func listed[D, T any](rows []D, next string, err error, convert func(D) T) (*reply[api.List[T]], error) {
	if err != nil {
		return nil, err
	}
	return &reply[api.List[T]]{api.List[T]{Items: each(rows, convert), Next: writeCursor(next)}}, nil
}

// each converts a list; it is never nil.
func each[D, T any](rows []D, convert func(D) T) []T {
	out := make([]T, 0, len(rows))
	for _, r := range rows {
		out = append(out, convert(r))
	}
	return out
}

// cut serves the page after a key of rows that a verb returns whole. key orders them.
func cut[D any](rows []D, after string, limit int, key func(D) string) ([]D, string) {
	slices.SortStableFunc(rows, func(a, b D) int { return cmp.Compare(key(a), key(b)) })
	first := 0
	if after != "" {
		first, _ = slices.BinarySearchFunc(rows, after, func(r D, after string) int {
			if key(r) > after {
				return 1
			}
			return -1
		})
	}
	rows = rows[first:]
	if len(rows) <= limit {
		return rows, ""
	}
	rows = rows[:limit]
	return rows, key(rows[len(rows)-1])
}

// optional is a time that may be missing.
func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// period reads the bounds of a query; either may be empty.
func period(from, to string) (begin, end time.Time, err error) {
	for _, b := range []struct {
		text string
		at   *time.Time
	}{{from, &begin}, {to, &end}} {
		if b.text == "" {
			continue
		}
		var d license.Date
		if err := d.UnmarshalText([]byte(b.text)); err != nil {
			return begin, end, license.Refuse(license.KindInvalid, "bad-period", "write 2026-01-31 or 2026-01-31T00:00:00Z", "%v", err)
		}
		*b.at = d.Time
	}
	if !begin.IsZero() && !end.IsZero() && !begin.Before(end) {
		return begin, end, license.Refuse(license.KindInvalid, "bad-period", "let from be before to", "the period is empty")
	}
	return begin, end, nil
}

// describe is what the OpenAPI document says of the whole. Its version is that of the contract, not of the program.
func describe() huma.Config {
	config := huma.DefaultConfig("Tallystick", "1")
	config.Info.Description = "The REST resources of a Tallystick server. Every refusal is a problem document (RFC 9457) with a stable code and a hint."
	config.Info.License = &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"}
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"key": {Type: "http", Scheme: "bearer", Description: "An API key, as `tally bootstrap` prints it."}}
	config.Security = []map[string][]string{{"key": {}}}
	config.Components.Schemas.RegisterTypeAlias(reflect.TypeFor[huma.ErrorModel](), reflect.TypeFor[api.Problem]())
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "", "", ""
	config.CreateHooks = nil // they would add links to schemas to every body
	config.Transformers = []huma.Transformer{reword}
	config.RejectUnknownQueryParameters = true
	return config
}

// document is the OpenAPI document as it is served and committed.
func document(rest huma.API) []byte {
	text, err := json.Marshal(rest.OpenAPI())
	if err != nil {
		panic("web: the OpenAPI document cannot be written: " + err.Error()) // it depends on nothing but this source
	}
	var out bytes.Buffer
	_ = json.Indent(&out, text, "", " ") // it was just made
	out.WriteByte('\n')
	return out.Bytes()
}
