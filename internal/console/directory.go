package console

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/conference"
	"github.com/tallystick/tallystick/internal/license"
)

// The kinds of sources, as the engine calls them.
const (
	fromFile   = "file"
	fromLDAP   = "ldap"
	fromBridge = "callbridge"
)

// The most rows that the page of the directory shows of a list that it does not page.
const (
	maxClashes = 50
	maxChanges = 200
	maxSkips   = 10
)

// sourceCard is a source of the directory with what of its settings a person wants to see.
type sourceCard struct {
	conference.SourceInfo
	kind, id string // also of the card on the page
	server   string // of LDAP, with what is read there
	filter   string
	every    time.Duration // 0 for on demand only
	nextAt   time.Time     // zero for on demand only
}

// personRow is a user of the directory in force.
type personRow struct {
	jid, name, says string // says who decided on the license
	license         bool
	sources         []string
}

// clashRow is a contradiction between sources.
type clashRow struct{ code, text string }

// defaultRow is what holds where a source says nothing; tenant is empty for the system.
type defaultRow struct{ tenant, personal string }

// directoryPage is what the page shows.
type directoryPage struct {
	sum      conference.DirectorySummary
	sources  []sourceCard
	defaults []defaultRow
	clashes  []clashRow // the first ones
	more     int        // clashes beyond them
	people   []personRow
	found    int // people that were looked for
	next     string
	search   string
	licensed bool // only those with a personal license
	period   period
	changes  []conference.DirectoryChange // the newest first, at most maxChanges
	older    bool                         // there are more
	preview  *conference.Run              // of a reading that a form asked for
}

// changePeriods are the choices of how much of the calendar of changes is shown.
func changePeriods() []period {
	return []period{{"", "30 days", 30 * 24}, {"quarter", "90 days", 90 * 24}, {"year", "365 days", 365 * 24}}
}

// directory shows who is known, who holds a personal license, and which source says so.
func (c *console) directory(v *visit) (sheet, error) { return c.directoryWith(v, directoryPage{}) }

func (c *console) directoryWith(v *visit, p directoryPage) (sheet, error) {
	s := sheet{title: "Directory", tab: "directory"}
	enabled, err := c.Conference.Enabled(v.Context(), v.account.ID)
	if err != nil || !enabled {
		s.body = notEnabledBody("Directory", "Whose spaces they are, and who holds a personal license.")
		return s, err
	}
	if p.sum, err = c.Conference.Directory(v.Context(), v.account.ID); err != nil {
		return sheet{}, err
	}
	if p.sources, err = c.sourceCards(v); err != nil {
		return sheet{}, err
	}
	if err := c.merged(v, &p); err != nil {
		return sheet{}, err
	}
	if err := c.changes(v, &p); err != nil {
		return sheet{}, err
	}
	s.body = directoryBody(v, p)
	return s, nil
}

// sourceCards are the sources: those that wait for a person first, then by kind and name.
func (c *console) sourceCards(v *visit) ([]sourceCard, error) {
	infos, err := c.Conference.Sources(v.Context(), v.account.ID)
	if err != nil {
		return nil, err
	}
	settings, err := c.Conference.LDAPSources(v.Context(), v.account.ID)
	if err != nil {
		return nil, err
	}
	out := make([]sourceCard, 0, len(infos))
	for _, i := range infos {
		card := sourceCard{SourceInfo: i, kind: string(i.Kind), id: cmp.Or(i.ID, string(i.Kind))}
		for _, l := range settings {
			if l.ID == i.ID {
				card.server, card.filter, card.every, card.nextAt = l.URL+", below "+l.BaseDN, l.Filter, l.Every, l.NextAt
			}
		}
		out = append(out, card)
	}
	order := []string{fromFile, fromLDAP, fromBridge}
	slices.SortStableFunc(out, func(a, b sourceCard) int {
		waits := func(s sourceCard) int { return map[bool]int{true: 0, false: 1}[s.Held != nil] }
		return cmp.Or(cmp.Compare(waits(a), waits(b)), cmp.Compare(slices.Index(order, a.kind), slices.Index(order, b.kind)), cmp.Compare(a.Name, b.Name))
	})
	return out, nil
}

// title names a source for people.
func (s sourceCard) title() string {
	if s.kind == fromFile {
		return "Directory file"
	}
	return s.Name
}

// kindWord says where a source comes from.
func (s sourceCard) kindWord() string {
	switch s.kind {
	case fromFile:
		return "imported by an administrator"
	case fromLDAP:
		return "directory server"
	case fromBridge:
		return "call bridge"
	}
	return s.kind
}

// personalWord says what a source says of the personal license of all its users.
func (s sourceCard) personalWord() string {
	switch string(s.Personal) {
	case "yes":
		return "all of its users hold one"
	case "no":
		return "none of its users holds one"
	}
	if s.kind == fromLDAP {
		return "says nothing; the default holds"
	}
	return "says it of each user"
}

// runTone colors the state of a reading.
func runTone(state string) tone {
	switch state {
	case conference.RunFailed:
		return bad
	case conference.RunHeld:
		return alert
	case conference.RunSuperseded, conference.RunPreview:
		return quiet
	}
	return good
}

// runWord says what became of a reading.
func runWord(state string) string {
	switch state {
	case conference.RunComplete:
		return "in force"
	case conference.RunUnchanged:
		return "nothing new"
	case conference.RunHeld:
		return "waits for a person"
	case conference.RunAccepted:
		return "accepted"
	case conference.RunSuperseded:
		return "another one came after it"
	case conference.RunFailed:
		return "failed"
	case conference.RunPreview:
		return "preview"
	}
	return state
}

// previewWord says what would become of a reading.
func previewWord(r conference.Run) string {
	if r.State == conference.RunHeld {
		return "would wait for a person"
	}
	return "would be in force"
}

// byWord says whether a person did something; the events have the name.
func byWord(who string) string {
	switch who {
	case conference.Scheduled:
		return "by the schedule"
	case "":
		return ""
	}
	return "by hand"
}

// runSays says what a reading read, and what it changes.
func runSays(r conference.Run) string {
	text := counted(r.Entries, "entry", "entries") + " read, " + counted(r.Users, "user", "users")
	if r.Skipped > 0 {
		text += ", " + number(r.Skipped) + " left out"
	}
	if changes := runCounts(r); changes != "" && r.State != conference.RunHeld {
		text += ": " + changes
	}
	return text
}

// runCounts says in words what a reading changes of its source; empty for nothing.
func runCounts(r conference.Run) string {
	var parts []string
	for _, p := range []struct {
		n         int64
		one, many string
	}{{r.Added, "new user", "new users"}, {r.Removed, "user gone", "users gone"}, {r.Gained, "personal license gained", "personal licenses gained"},
		{r.Lost, "personal license taken away", "personal licenses taken away"}} {
		if p.n > 0 {
			parts = append(parts, counted(p.n, p.one, p.many))
		}
	}
	return strings.Join(parts, ", ")
}

// runReasons are why a reading is held, as one sentence.
func runReasons(r conference.Run) string {
	texts := make([]string, 0, len(r.Reasons))
	for _, reason := range r.Reasons {
		texts = append(texts, reason.Text())
	}
	return sentence(strings.Join(texts, "; "))
}

// merged fills in the people, clashes and defaults.
func (c *console) merged(v *visit, p *directoryPage) error {
	m, err := c.Conference.Merged(v.Context(), v.account.ID)
	if err != nil {
		return err
	}
	for _, k := range m.Clashes[:min(len(m.Clashes), maxClashes)] {
		p.clashes = append(p.clashes, clashRow{k.Code, sentence(k.Text())})
	}
	p.more = len(m.Clashes) - len(p.clashes)
	q := v.URL.Query()
	after := q.Get("after")
	p.search, p.licensed = strings.TrimSpace(q.Get("find")), q.Get("license") == "yes"
	wanted := strings.ToLower(p.search)
	for _, u := range m.People {
		if p.licensed && !u.License || !strings.Contains(u.JID, wanted) && !strings.Contains(strings.ToLower(u.Name), wanted) {
			continue
		}
		if p.found++; u.JID <= after {
			continue
		}
		if len(p.people) == pageRows {
			p.next = p.people[pageRows-1].jid
			continue
		}
		says := u.By
		switch {
		case u.Level == "":
			says = "nobody says anything"
		case u.Level != "source":
			says = "default of the " + u.Level
		}
		p.people = append(p.people, personRow{jid: u.JID, name: u.Name, license: u.License, says: says, sources: u.Sources})
	}
	d, err := c.Conference.Defaults(v.Context(), v.account.ID)
	if err != nil {
		return err
	}
	p.defaults = []defaultRow{{"", string(d.InForce(""))}}
	for tenant := range d.Tenants {
		p.defaults = append(p.defaults, defaultRow{tenant, string(d.InForce(tenant))})
	}
	slices.SortFunc(p.defaults, func(a, b defaultRow) int { return strings.Compare(a.tenant, b.tenant) })
	return nil
}

// changes fills in the calendar.
func (c *console) changes(v *visit, p *directoryPage) error {
	p.period = changePeriods()[0]
	for _, choice := range changePeriods() {
		if choice.key == v.URL.Query().Get("period") {
			p.period = choice
		}
	}
	all, err := c.Conference.Changes(v.Context(), v.account.ID, v.now.Add(-time.Duration(p.period.hours)*time.Hour), v.now.Add(time.Second))
	if err != nil {
		return err
	}
	slices.Reverse(all)
	p.changes, p.older = all[:min(len(all), maxChanges)], len(all) > maxChanges
	return nil
}

// changeTone colors a change.
func changeTone(what string) tone {
	switch what {
	case conference.Gained, conference.Appeared:
		return good
	case conference.Lost:
		return bad
	}
	return quiet
}

// changeWord says what a change is.
func changeWord(what string) string {
	switch what {
	case conference.Gained:
		return "got a personal license"
	case conference.Lost:
		return "lost the personal license"
	}
	return what
}

// actOnDirectory does what a form of the page asks for.
func (c *console) actOnDirectory(v *visit) (sheet, error) {
	if err := v.form(); err != nil {
		return sheet{}, err
	}
	account, err := c.Authority.Scope(v.Context(), v.who, access.Manage, v.account.ID)
	if err != nil {
		return sheet{}, err
	}
	act, source := v.PathValue("act"), v.PostFormValue("source")
	if act == "preview" {
		run, err := c.Conference.SyncLDAP(v.Context(), v.who.ID, account, source, true)
		if err != nil {
			return sheet{}, err
		}
		return c.directoryWith(v, directoryPage{preview: &run})
	}
	if act != "sync" && act != "accept" {
		return sheet{}, license.NotFound("page", act)
	}
	if err := v.sure(); err != nil {
		return sheet{}, err
	}
	var run conference.Run
	if act == "sync" {
		run, err = c.Conference.SyncLDAP(v.Context(), v.who.ID, account, source, false)
	} else {
		run, err = c.Conference.AcceptSource(v.Context(), v.who.ID, account, source)
	}
	return sheet{goTo: v.path("/directory#" + run.Source)}, err
}
