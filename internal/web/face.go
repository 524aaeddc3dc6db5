package web

import (
	"context"
	"encoding/xml"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/callbridge"
	"github.com/tallystick/tallystick/internal/conference"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/meeting"
)

// The call bridge's API, read-only, with our numbers: checks that were made for call bridges run unmodified. A caller signs in as
// they do, with name and password: the password is an API key, the name says the account.

// The pages of lists.
const (
	facePage    = 100
	maxFacePage = 1000
)

// face is one request to the call bridge's API, after its sign-in.
type face struct {
	*server
	who     access.Person
	account string
	id      string // of the path, if it has one
	query   url.Values
}

// faceRoutes are the rows of the table for the call bridge's API.
func (s *server) faceRoutes() []route {
	const v1 = "/api/v1"
	row := func(path string, verb func(context.Context, *face) (any, error)) route {
		return route{"GET", v1 + path, basic, access.See, s.document(verb)}
	}
	return []route{
		row("/system/status", faceStatus),
		row("/system/alarms", faceAlarms),
		row("/system/database", faceDatabase),
		row("/system/licensing", faceLicensing),
		row("/system/multipartyLicensing", faceMultiparty),
		row("/system/multipartyLicensing/activePersonalLicenses", faceActiveLicenses),
		row("/system/MPLicenseUsage", faceUsage),
		row("/system/MPLicenseUsage/knownHosts", faceKnownHosts),
		row("/coSpaces", faceSpaces),
		row("/coSpaces/{id}", faceSpaces),
		row("/users", faceUsers),
		row("/users/{id}", faceUsers),
		row("/userProfiles", faceProfiles),
		row("/userProfiles/{id}", faceProfiles),
		row("/calls", faceCalls),
		row("/calls/{id}", faceCalls),
	}
}

// document serves a route by a verb that makes a document of package callbridge.
func (s *server) document(verb func(context.Context, *face) (any, error)) func(*server, route) {
	return plain(func(w http.ResponseWriter, r *http.Request) {
		f, err := s.signedIn(r)
		var doc any
		if err == nil {
			doc, err = verb(r.Context(), f)
		}
		var text []byte
		if err == nil {
			text, err = callbridge.Write(doc)
		}
		if err != nil {
			s.failDocument(w, r, err)
			return
		}
		writeXML(w, http.StatusOK, text)
	})
}

func writeXML(w http.ResponseWriter, status int, text []byte) {
	h := w.Header()
	h.Set("Content-Type", "text/xml")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(text) // the caller may be gone
}

// failDocument answers a refusal in the call bridge's form: the reason is the name of an element. Whoever came with an API key
// in a header gets a problem document.
func (s *server) failDocument(w http.ResponseWriter, r *http.Request, err error) {
	p := s.problemOf(r.Context(), w.Header().Get(requestHeader), err)
	if scheme(r) == "bearer" {
		writeProblem(w, p)
		return
	}
	for name, values := range p.GetHeaders() {
		w.Header()[name] = values
	}
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="api"`)
	}
	reason := p.Code
	if parts := strings.Split(reason, "-"); len(parts) > 1 {
		for i := range parts[1:] {
			parts[i+1] = strings.ToUpper(parts[i+1][:1]) + parts[i+1][1:]
		}
		reason = strings.Join(parts, "")
	}
	text, err := callbridge.Write(callbridge.NewFailure(reason))
	if err != nil {
		writeProblem(w, p)
		return
	}
	writeXML(w, p.Status, text)
}

func scheme(r *http.Request) string {
	word, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.ToLower(word)
}

// signedIn finds the caller behind a Basic sign-in, and the account that is meant.
func (s *server) signedIn(r *http.Request) (*face, error) {
	if scheme(r) == "bearer" {
		if _, err := s.admit(r, access.See); err != nil {
			return nil, err
		}
		return nil, license.Refuse(license.KindNotFound, "no-such-address", "sign in with the account as name and the API key as password to get the call bridge's form; /api/v1/openapi.json lists what an API key in a header gets",
			"this address speaks the call bridge's form only")
	}
	name, key, ok := r.BasicAuth()
	if !ok {
		return nil, license.Refuse(license.KindUnknown, "not-signed-in", "sign in with the account as name and an API key as password", "this needs a sign-in with name and password")
	}
	who, err := s.Authority.Authenticate(r.Context(), key)
	if err != nil {
		return nil, err
	}
	account, err := s.meant(r.Context(), who, name)
	if err != nil {
		return nil, err
	}
	id, err := s.Authority.Scope(r.Context(), who, access.See, account)
	if e := license.AsError(err); e != nil && e.Kind == license.KindNotFound {
		return nil, license.Refuse(license.KindUnknown, "account-unknown", "sign in with the name or id of the account", "the name of the sign-in is no account that the key sees")
	}
	return &face{server: s, who: who, account: id, id: r.PathValue("id"), query: r.URL.Query()}, err
}

// meant finds the account that the name of a sign-in means: its own name or id, or, with the key's id or name, the only account
// that the key sees.
func (s *server) meant(ctx context.Context, who access.Person, name string) (string, error) {
	if name != who.ID && !strings.EqualFold(name, who.Name) {
		return name, nil
	}
	seen, next, err := s.Authority.Accounts(ctx, who, authority.Page{Limit: 2})
	if err != nil || len(seen) != 1 || next != "" {
		return name, err
	}
	return seen[0].ID, nil
}

// missingDocument answers whoever signed in with name and password at an address that is not there.
func (s *server) missingDocument(w http.ResponseWriter, r *http.Request) {
	_, err := s.signedIn(r)
	if err == nil {
		err = license.Refuse(license.KindNotFound, "unrecognized-object", "docs/callbridge.md lists what there is", "there is nothing at this address")
	}
	if e := license.AsError(err); e != nil && e.Kind == license.KindNotFound && len(s.allowed(w, r)) > 0 {
		err = newProblem(http.StatusMethodNotAllowed, "unsupported-operation", "read with GET", "%s is not possible here", r.Method)
	}
	s.failDocument(w, r, err)
}

// pageOf cuts the page out of a list that offset and limit ask for, and returns it with the total.
func pageOf[T any](f *face, items []T) (callbridge.List, []T, error) {
	total := callbridge.List{Total: callbridge.Number(len(items))}
	offset, err := f.number("offset", 0)
	if err != nil {
		return total, nil, err
	}
	limit, err := f.number("limit", facePage)
	if err != nil {
		return total, nil, err
	}
	items = items[min(offset, len(items)):]
	return total, items[:min(limit, maxFacePage, len(items))], nil
}

func (f *face) number(name string, otherwise int) (int, error) {
	text := f.query.Get(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, license.Refuse(license.KindInvalid, "parameter-error", "give a whole number from 0 on", "%s is no whole number", name)
	}
	return n, nil
}

// holds says whether a list's text filter, if there is one, finds an item by one of its texts.
func (f *face) holds(texts ...callbridge.Text) bool {
	want := strings.ToLower(f.query.Get("filter"))
	for _, t := range texts {
		if strings.Contains(strings.ToLower(string(t)), want) {
			return true
		}
	}
	return false
}

// equals says whether an exact filter, if there is one, has the value of an item.
func (f *face) equals(filter string, value callbridge.Text) bool {
	want := f.query.Get(filter)
	return want == "" || strings.EqualFold(want, string(value))
}

// one finds the item of the path in a list.
func one[T any](f *face, items []T, id func(*T) callbridge.Text, missing string) (any, error) {
	for i := range items {
		if strings.EqualFold(string(id(&items[i])), f.id) {
			return items[i], nil
		}
	}
	return nil, license.Refuse(license.KindNotFound, missing, "read the list again", "there is no such object")
}

// kept returns the items that a filter keeps.
func kept[T any](items []T, keep func(*T) bool) []T {
	out := make([]T, 0, len(items))
	for i := range items {
		if keep(&items[i]) {
			out = append(out, items[i])
		}
	}
	return out
}

func faceStatus(ctx context.Context, f *face) (any, error) {
	return f.Conference.FaceStatus(ctx, f.account)
}

// faceDatabase says that the database is not a call bridge's cluster; how a database is made safe is its operator's affair.
func faceDatabase(context.Context, *face) (any, error) {
	return callbridge.Database{Clustered: "disabled"}, nil
}

func faceSpaces(ctx context.Context, f *face) (any, error) {
	all, err := f.Conference.FaceSpaces(ctx, f.account)
	if err != nil {
		return nil, err
	}
	if f.id != "" {
		return one(f, all, func(s *callbridge.CoSpace) callbridge.Text { return s.ID }, "coSpaceDoesNotExist")
	}
	var d callbridge.CoSpaces
	d.List, d.Spaces, err = pageOf(f, kept(all, func(s *callbridge.CoSpace) bool { return f.holds(s.Name, s.URI) && f.equals("tenantFilter", s.Tenant) }))
	return d, err
}

func faceUsers(ctx context.Context, f *face) (any, error) {
	all, err := f.Conference.FaceUsers(ctx, f.account)
	if err != nil {
		return nil, err
	}
	if f.id != "" {
		return one(f, all, func(u *callbridge.User) callbridge.Text { return u.ID }, "userDoesNotExist")
	}
	var d callbridge.Users
	d.List, d.Users, err = pageOf(f, kept(all, func(u *callbridge.User) bool {
		return f.holds(u.UserJID, u.Name) && f.equals("emailFilter", u.Email) && f.equals("tenantFilter", u.Tenant)
	}))
	for i := range d.Users { // lists are short
		d.Users[i].Name, d.Users[i].Email, d.Users[i].UserProfile = "", "", ""
	}
	return d, err
}

func faceProfiles(_ context.Context, f *face) (any, error) {
	all := conference.FaceProfiles()
	if f.id != "" {
		return one(f, all, func(p *callbridge.UserProfile) callbridge.Text { return p.ID }, "userProfileDoesNotExist")
	}
	if f.query.Get("usageFilter") == "unreferenced" {
		all = nil
	}
	var d callbridge.UserProfiles
	var err error
	d.List, d.Profiles, err = pageOf(f, all)
	return d, err
}

func faceCalls(ctx context.Context, f *face) (any, error) {
	all, err := f.Conference.FaceCalls(ctx, f.account)
	if err != nil {
		return nil, err
	}
	if f.id != "" {
		return one(f, all, func(c *callbridge.Call) callbridge.Text { return c.ID }, "callDoesNotExist")
	}
	var d callbridge.Calls
	d.List, d.Calls, err = pageOf(f, kept(all, func(c *callbridge.Call) bool {
		return f.equals("coSpaceFilter", c.CoSpace) && f.equals("tenantFilter", "")
	}))
	for i, c := range d.Calls { // lists are short
		d.Calls[i] = callbridge.Call{ID: c.ID, Name: c.Name, CoSpace: c.CoSpace, Correlator: c.Correlator}
	}
	return d, err
}

func faceActiveLicenses(ctx context.Context, f *face) (any, error) {
	all, err := f.Conference.FaceActiveLicenses(ctx, f.account)
	if err != nil {
		return nil, err
	}
	var d callbridge.ActiveLicenses
	d.List, d.Users, err = pageOf(f, all)
	return d, err
}

// faceKnownHosts lists a host for each bridge: what they count adds up to the account.
func faceKnownHosts(ctx context.Context, f *face) (any, error) {
	var d callbridge.KnownHosts
	all, err := f.Conference.FaceHosts(ctx, f.account)
	if err != nil {
		return nil, err
	}
	hosts := make([]callbridge.Host, len(all))
	for i, h := range all {
		hosts[i] = callbridge.Host{ID: callbridge.Text(h.ID)}
	}
	d.List, d.Hosts, err = pageOf(f, hosts)
	return d, err
}

// usageDays is how far back snapshots go where no startTime is given.
const usageDays = 7

// faceUsage lists our count every five minutes, the newest first. Both bounds are included.
func faceUsage(ctx context.Context, f *face) (any, error) {
	var d callbridge.Usage
	bridge := ""
	if host := f.query.Get("hostId"); host != "" && !strings.EqualFold(host, conference.HostID(f.account)) {
		hosts, err := f.Conference.FaceHosts(ctx, f.account)
		if err != nil {
			return nil, err
		}
		at := slices.IndexFunc(hosts, func(h conference.FaceHost) bool { return strings.EqualFold(h.ID, host) })
		if at < 0 {
			return d, nil
		}
		bridge = hosts[at].Bridge
	}
	to, err := f.instant("endTime", f.Now())
	if err != nil {
		return nil, err
	}
	from, err := f.instant("startTime", to.AddDate(0, 0, -usageDays))
	if err != nil {
		return nil, err
	}
	all, err := f.Conference.Snapshots(ctx, f.account, conference.SnapshotFilter{From: from, To: to.Add(time.Second), Bridge: bridge})
	if err != nil {
		return nil, err
	}
	slices.Reverse(all)
	list, part, err := pageOf(f, all)
	d.List = list
	for _, s := range part {
		d.Entries = append(d.Entries, callbridge.Snapshot{Time: callbridge.Instant{Time: s.At}, Counts: callbridge.Counts{
			Personal: hundredths(s.Personal), Assigned: callbridge.Hundredths(100 * s.Assigned), AudioOnly: hundredths(s.Audio),
			PointToPoint: hundredths(s.PointToPoint), Full: hundredths(s.Full), Recording: hundredths(s.Recordings), Streaming: hundredths(s.Streams),
		}})
	}
	return d, err
}

// hundredths rounds a share half up, as call bridges do.
func hundredths(s meeting.Share) callbridge.Hundredths {
	whole, rest := s/meeting.WholeShare, s%meeting.WholeShare
	return callbridge.Hundredths(100*whole + (200*rest+meeting.WholeShare)/(2*meeting.WholeShare))
}

// instant reads a bound in RFC 3339.
func (f *face) instant(name string, otherwise time.Time) (time.Time, error) {
	text := f.query.Get(name)
	if text == "" {
		return otherwise, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, license.Refuse(license.KindInvalid, "parameter-error", "write 2026-01-31T00:00:00Z", "%s is no time", name)
	}
	return at, nil
}

// featureTags are the features of the licensing document with the tags that stand for them, in the document's order.
var featureTags = []struct {
	feature string
	tag     license.Tag
	limited bool
}{
	{"callBridge", "cms-activation", false}, {"recording", "cms-recording", true}, {"personal", "cms-pmp-plus", true}, {"shared", "cms-smp-plus", true},
}

// forever is the expiry of what does not end, as call bridges write it: existing checks want a day with each feature.
var forever = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)

// stock returns what the virtual account of the engine holds, by tag.
func (f *face) stock(ctx context.Context) (map[license.Tag]authority.LicenseRow, error) {
	va, err := f.Conference.EngineVA(ctx, f.account)
	if err != nil {
		return nil, err
	}
	rows, err := f.Authority.Licenses(ctx, f.who, f.account, va)
	out := make(map[license.Tag]authority.LicenseRow, len(rows))
	for _, r := range rows {
		out[r.Tag] = r
	}
	return out, err
}

// faceLicensing lists the features that are bought. One that is not is left out: existing checks stumble over a feature
// without an expiry.
func faceLicensing(ctx context.Context, f *face) (any, error) {
	stock, err := f.stock(ctx)
	if err != nil {
		return nil, err
	}
	d := callbridge.Licensing{XMLName: xml.Name{Local: callbridge.SystemLicensing}}
	for _, t := range featureTags {
		row := stock[t.tag]
		if row.Quantity <= 0 {
			continue
		}
		feature := callbridge.Feature{XMLName: xml.Name{Local: t.feature}, Status: callbridge.StatusActivated, Expiry: &callbridge.Expiry{Time: forever}}
		if !row.Ends.IsZero() {
			feature.Expiry.Time = row.Ends
		}
		if t.limited {
			limit := callbridge.Number(row.Quantity)
			feature.Limit = &limit
		}
		d.Features.Features = append(d.Features.Features, feature)
	}
	return d, nil
}

func faceMultiparty(ctx context.Context, f *face) (any, error) {
	d, err := f.Conference.FaceMultiparty(ctx, f.account)
	if err != nil {
		return nil, err
	}
	stock, err := f.stock(ctx)
	d.PersonalLicenseLimit = callbridge.Number(max(stock["cms-pmp-plus"].Quantity, 0))
	d.SharedLicenseLimit = callbridge.Number(max(stock["cms-smp-plus"].Quantity, 0))
	return d, err
}

// faceAlarms lists what is wrong: licenses that are short, and what the engine knows.
func faceAlarms(ctx context.Context, f *face) (any, error) {
	stock, err := f.stock(ctx)
	if err != nil {
		return nil, err
	}
	var all []callbridge.Alarm
	now := f.Now()
	for _, t := range featureTags {
		row, ok := stock[t.tag]
		if !ok || row.Shortage <= 0 {
			continue
		}
		var since time.Time
		for _, fact := range row.Why {
			if !fact.Since.IsZero() && (since.IsZero() || fact.Since.Before(since)) {
				since = fact.Since
			}
		}
		alarm := callbridge.Alarm{ID: callbridge.Text(conference.AlarmID(f.account, "licenseShortage", string(t.tag))), Type: "licenseShortage", FailureReason: callbridge.Text(t.tag)}
		if !since.IsZero() {
			alarm.ActiveSeconds = callbridge.Number(max(0, now.Sub(since)/time.Second))
		}
		all = append(all, alarm)
	}
	more, err := f.Conference.FaceAlarms(ctx, f.account)
	if err != nil {
		return nil, err
	}
	var d callbridge.Alarms
	d.List, d.Alarms, err = pageOf(f, append(all, more...))
	return d, err
}
