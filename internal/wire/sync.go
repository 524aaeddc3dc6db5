package wire

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/license"
)

// The kinds of synchronization files. A file is text that people can read, one thing a line, and its signature; the same
// bytes go over the network. History of the version:
//
//	1  join, sync and their answer; later with what reservations hold, which a file without reservations does not mention
const (
	KindJoin   = "tally.join.1"
	KindSync   = "tally.sync.1"
	KindSynced = "tally.synced.1"
)

// Bounds of synchronization files.
const (
	MaxSync      = 16 << 20
	maxSyncLine  = 64 << 10
	maxSyncLines = 400_000
	// MaxFindings bounds what one answer says of what was odd.
	MaxFindings = 50
)

// SyncRequest is what a satellite says: all that the authority has to know, each time. Nothing else leaves the site.
type SyncRequest struct {
	Exchange  SyncExchange
	VAs       []SyncVA
	Stock     []SyncStock
	Reserved  []SyncReserved
	Use       []SyncUse
	Instances []SyncInstance
}

// SyncExchange says who speaks, to whom, and where in the order of files this one stands.
type SyncExchange struct {
	Satellite string    `json:"satellite"`
	Name      string    `json:"name,omitempty"`
	Account   string    `json:"account"`
	Epoch     int64     `json:"epoch"`
	Number    int64     `json:"number"`
	Answered  int64     `json:"answered,omitempty"` // number of the newest answer that was applied
	At        time.Time `json:"at"`
	Program   string    `json:"program,omitempty"`
	Hosts     []string  `json:"hosts,omitempty"` // names of the satellite's server
	// Machine is the one of Hosts that nobody gave to the server: the name of the machine that it runs on. Empty for none.
	Machine string `json:"machine,omitempty"`
	// EverySeconds is how often it synchronizes by itself, 0 for by hand.
	EverySeconds int64  `json:"everySeconds,omitempty"`
	Whole        bool   `json:"whole,omitempty"` // it lost its database or went back to an older one, and asks for everything
	Token        string `json:"token,omitempty"` // in the first message only
	// CSR is the request for the issuing certificate of the satellite's key in the first message, and later of the key that is to
	// replace it.
	CSR []byte `json:"csr,omitempty"` // PKCS #10, DER
	// Certificate is the issuing certificate that the key of CSR has already, if it has one.
	Certificate []byte `json:"certificate,omitempty"` // DER
}

// SyncVA is a virtual account of the satellite.
type SyncVA struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// SyncStock is what a virtual account of the satellite has to do with a lot. Applied and Burnt are totals since ever, and
// only grow: how many units have arrived from the authority and how many were given back. Held is how many are there.
type SyncStock struct {
	VA      string `json:"va"`
	Lot     string `json:"lot"`
	Applied int64  `json:"applied"`
	Burnt   int64  `json:"burnt"`
	Held    int64  `json:"held"`
}

// SyncReserved is how many licenses of a lot reservations hold in a virtual account, at least one. They are a part of what SyncStock
// says is held there, and nobody can take them back before their products return them.
type SyncReserved struct {
	VA    string      `json:"va"`
	Lot   string      `json:"lot"`
	Tag   license.Tag `json:"tag"`
	Count int64       `json:"count"`
}

// SyncUse is how many licenses of a tag the products of a virtual account use.
type SyncUse struct {
	VA    string      `json:"va"`
	Tag   license.Tag `json:"tag"`
	Count int64       `json:"count"`
}

// SyncInstance is a product instance of the satellite. Times are UTC; zero ones are left out.
type SyncInstance struct {
	ID           string                `json:"id"`
	VA           string                `json:"va"`
	Product      string                `json:"product"`
	PID          string                `json:"pid"`
	Serial       string                `json:"serial"`
	Version      string                `json:"version,omitempty"`
	Hostname     string                `json:"hostname,omitempty"`
	State        string                `json:"state"`
	Status       string                `json:"status,omitempty"`
	StatusAt     int64                 `json:"statusAt,omitempty"` // this and the others in milliseconds since 1970
	RegisteredAt int64                 `json:"registeredAt"`
	RenewedAt    int64                 `json:"renewedAt,omitempty"`
	ExpiresAt    int64                 `json:"expiresAt"`
	ContactAt    int64                 `json:"contactAt,omitempty"`
	NextAt       int64                 `json:"nextAt,omitempty"`
	DeadlineAt   int64                 `json:"deadlineAt,omitempty"`
	ForkedAt     int64                 `json:"forkedAt,omitempty"`
	RemovedAt    int64                 `json:"removedAt,omitempty"`
	Incarnation  int64                 `json:"incarnation"`
	Number       int64                 `json:"number,omitempty"` // of its last exchange
	Exported     bool                  `json:"exportControlled,omitempty"`
	Key          []byte                `json:"key,omitempty"` // compressed point of P-256
	Use          map[license.Tag]int64 `json:"use,omitempty"`
	SinceAt      map[license.Tag]int64 `json:"sinceAt,omitempty"`
}

// SyncAnswer is what the authority says: all that it gave to the satellite, each time.
type SyncAnswer struct {
	Exchange  SyncReply
	Refusal   *SyncRefusal
	Identity  *SyncIdentity
	Next      *SyncIdentity // of the key that is to replace the satellite's
	VAs       []SyncVA
	Orders    []SyncOrder
	Lots      []SyncLot
	Stock     []SyncGrant
	Instances []SyncInstance // only where everything was asked for
	Findings  []license.Fact
}

// SyncReply says which file is answered, and by whom.
type SyncReply struct {
	Satellite   string    `json:"satellite"`
	Name        string    `json:"name"`
	Account     string    `json:"account"`
	AccountName string    `json:"accountName"`
	Epoch       int64     `json:"epoch"`
	Number      int64     `json:"number"`
	Request     []byte    `json:"request"` // SHA-256 of what was signed in the file that is answered
	At          time.Time `json:"at"`
	Program     string    `json:"program,omitempty"`
	Whole       bool      `json:"whole,omitempty"`
	// Leaving says that the authority removes the satellite and wants everything back.
	Leaving bool `json:"leaving,omitempty"`
}

// SyncRefusal is the signed No to a file. Epoch and Number are those of the last file that was taken.
type SyncRefusal struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	Epoch   int64  `json:"epoch"`
	Number  int64  `json:"number"`
	// Last is the digest of the last file that was taken.
	Last []byte `json:"last,omitempty"`
}

// Codes of refusals that satellites act on.
const (
	CodeSyncBehind  = "sync-behind"       // an old file, or the satellite went back to an older database
	CodeSyncRemoved = "satellite-removed" // the authority has removed the satellite
)

// SyncIdentity is the satellite's certificate.
type SyncIdentity struct {
	Certificate []byte    `json:"certificate"` // DER
	Root        []byte    `json:"root"`        // DER
	EndsAt      time.Time `json:"endsAt"`
	// Lost are the sites that this satellite was before and that were lost.
	Lost []string `json:"lost,omitempty"`
}

// SyncOrder is a purchase of which the satellite holds a part.
type SyncOrder struct {
	ID         string    `json:"id"`
	Number     string    `json:"number"`
	ReceivedAt time.Time `json:"receivedAt"`
}

// SyncLot is a lot of which the satellite holds a part. Quantity is the whole of it.
type SyncLot struct {
	ID           string          `json:"id"`
	Order        string          `json:"order"` // id
	Line         int64           `json:"line"`
	VA           string          `json:"va"`
	SKU          string          `json:"sku,omitempty"`
	Tag          license.Tag     `json:"tag"`
	Type         license.LotType `json:"type"`
	Quantity     int64           `json:"quantity"`
	StartAt      int64           `json:"startAt"`
	EndAt        int64           `json:"endAt,omitempty"`
	Subscription string          `json:"subscription,omitempty"`
}

// SyncGrant is what was given to a virtual account of the satellite of a lot. Granted and Asked are totals since ever: how
// many units were given, and how many of them are wanted back. Returned is how many have come back.
type SyncGrant struct {
	VA       string `json:"va"`
	Lot      string `json:"lot"`
	Granted  int64  `json:"granted"`
	Asked    int64  `json:"asked,omitempty"`
	Returned int64  `json:"returned,omitempty"`
}

// lines writes one thing a line: a word for what it is, and JSON.
type lines struct {
	bytes.Buffer
	err error
}

func (l *lines) note(format string, args ...any) {
	// What is not of our making must neither end the line nor write into others.
	text := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, fmt.Sprintf(format, args...))
	l.WriteString("# " + strings.ToValidUTF8(text, "?") + "\n")
}

func (l *lines) add(word string, value any) {
	b, err := json.Marshal(value)
	if err != nil && l.err == nil {
		l.err = fmt.Errorf("write %s: %w", word, err)
	}
	l.WriteString(word)
	l.WriteByte(' ')
	l.Write(bytes.ReplaceAll(b, []byte{0x7f}, []byte(`\u007f`)))
	l.WriteByte('\n')
}

func addAll[T any](l *lines, word string, values []T) {
	for _, v := range values {
		l.add(word, v)
	}
}

// Text writes a request as it is signed and shown.
func (m *SyncRequest) Text() ([]byte, error) {
	var l lines
	e := m.Exchange
	l.note("Tallystick synchronization, from the satellite %q to its authority.", e.Name)
	l.note("File %d of epoch %d, made on %s: %d virtual accounts, %d product instances.", e.Number, e.Epoch, e.At.UTC().Format("2006-01-02 15:04 UTC"), len(m.VAs), len(m.Instances))
	l.note("Everything that leaves the site stands in this file, one thing a line. The signature covers every byte above it.")
	l.add("exchange", e)
	addAll(&l, "va", m.VAs)
	addAll(&l, "stock", m.Stock)
	m.noteReserved(&l)
	addAll(&l, "reserved", m.Reserved)
	addAll(&l, "use", m.Use)
	addAll(&l, "instance", m.Instances)
	return l.Bytes(), l.err
}

// noteReserved sums up what reservations hold, for people.
func (m *SyncRequest) noteReserved(l *lines) {
	type kind struct {
		va  string
		tag license.Tag
	}
	sums, names := map[kind]int64{}, map[string]string{}
	for _, v := range m.VAs {
		names[v.ID] = v.Name
	}
	for _, r := range m.Reserved {
		sums[kind{names[r.VA], r.Tag}] += r.Count
	}
	for _, k := range slices.SortedFunc(maps.Keys(sums), func(x, y kind) int { return cmp.Or(cmp.Compare(x.va, y.va), cmp.Compare(x.tag, y.tag)) }) {
		l.note("Reservations hold %d of %s in the virtual account %q.", sums[k], k.tag, k.va)
	}
}

// Text writes an answer as it is signed and shown.
func (m *SyncAnswer) Text() ([]byte, error) {
	var l lines
	e := m.Exchange
	l.note("Tallystick synchronization, from the authority to the satellite %q of the account %q.", e.Name, e.AccountName)
	l.note("Answer to file %d of epoch %d, made on %s. It is for this satellite only.", e.Number, e.Epoch, e.At.UTC().Format("2006-01-02 15:04 UTC"))
	if r := m.Refusal; r != nil {
		l.note("REFUSED: %s", r.Message)
		if r.Hint != "" {
			l.note("%s", r.Hint)
		}
	}
	l.add("answer", e)
	if m.Refusal != nil {
		l.add("refusal", m.Refusal)
	}
	if m.Identity != nil {
		l.add("identity", m.Identity)
	}
	if m.Next != nil {
		l.add("next", m.Next)
	}
	addAll(&l, "va", m.VAs)
	addAll(&l, "order", m.Orders)
	addAll(&l, "lot", m.Lots)
	addAll(&l, "stock", m.Stock)
	addAll(&l, "instance", m.Instances)
	for _, f := range m.Findings {
		l.note("FINDING: %s", f.Text())
		l.add("finding", f)
	}
	return l.Bytes(), l.err
}

// scanLines hands each line but the notes to take, which says where to put the JSON of a word, nil for an unknown one.
func scanLines(text []byte, strict bool, take func(word string) any) error {
	if len(text) > MaxSync {
		return license.Refuse(license.KindTooLarge, "too-large", "tell the makers of this program", "the file has %d bytes, at most %d are taken", len(text), MaxSync)
	}
	n := 0
	for len(text) > 0 {
		line, rest, _ := bytes.Cut(text, []byte{'\n'})
		text = rest
		if n++; n > maxSyncLines || len(line) > maxSyncLine {
			return malformed("line %d is above the bounds of a synchronization file", n)
		}
		if bytes.HasPrefix(line, []byte("#")) {
			continue
		}
		word, value, _ := strings.Cut(string(line), " ")
		into := take(word)
		if into == nil {
			if strict {
				return malformed("line %d begins with %.20q, which is not known here: update this program", n, word)
			}
			continue
		}
		dec := json.NewDecoder(strings.NewReader(value))
		if strict {
			dec.DisallowUnknownFields()
		}
		if err := dec.Decode(into); err != nil {
			return malformed("line %d (%s): %v", n, word, err)
		}
		if _, err := dec.Token(); !errors.Is(err, io.EOF) {
			return malformed("line %d (%s): something follows", n, word)
		}
	}
	return nil
}

// grow appends an empty element and returns its address.
func grow[T any](list *[]T) *T {
	var none T
	*list = append(*list, none)
	return &(*list)[len(*list)-1]
}

// ParseSyncRequest reads a verified request. Whatever it does not know is refused: the authority is updated before its
// satellites.
func ParseSyncRequest(text []byte) (*SyncRequest, error) {
	m := &SyncRequest{}
	seen := false
	err := scanLines(text, true, func(word string) any {
		switch word {
		case "exchange":
			if !seen {
				seen = true
				return &m.Exchange
			}
		case "va":
			return grow(&m.VAs)
		case "stock":
			return grow(&m.Stock)
		case "reserved":
			return grow(&m.Reserved)
		case "use":
			return grow(&m.Use)
		case "instance":
			return grow(&m.Instances)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return m, m.check()
}

// ParseSyncAnswer reads a verified answer. What a newer authority adds is passed over.
func ParseSyncAnswer(text []byte) (*SyncAnswer, error) {
	m := &SyncAnswer{}
	err := scanLines(text, false, func(word string) any {
		switch word {
		case "answer":
			return &m.Exchange
		case "refusal":
			m.Refusal = &SyncRefusal{}
			return m.Refusal
		case "identity":
			m.Identity = &SyncIdentity{}
			return m.Identity
		case "next":
			m.Next = &SyncIdentity{}
			return m.Next
		case "va":
			return grow(&m.VAs)
		case "order":
			return grow(&m.Orders)
		case "lot":
			return grow(&m.Lots)
		case "stock":
			return grow(&m.Stock)
		case "instance":
			return grow(&m.Instances)
		case "finding":
			return grow(&m.Findings)
		}
		return nil
	})
	return m, err
}

// check refuses what no satellite says.
func (m *SyncRequest) check() error {
	e := m.Exchange
	switch {
	case e.Satellite == "" || e.Account == "":
		return malformed("the file does not say which satellite it is from")
	case e.Epoch < 1 || e.Number < 1 || e.Epoch > 1<<40 || e.Number > 1<<40 || e.EverySeconds < 0:
		return malformed("epoch %d and number %d are not those of a file", e.Epoch, e.Number)
	}
	vas := map[string]bool{}
	for _, v := range m.VAs {
		if err := license.CheckName("virtual account", v.Name); err != nil {
			return err
		}
		if v.ID == "" || vas[v.ID] {
			return malformed("the virtual account %q stands in the file twice or without an id", v.ID)
		}
		vas[v.ID] = true
	}
	at := map[string]bool{}
	held := map[string]int64{}
	for _, s := range m.Stock {
		if !vas[s.VA] || at[s.VA+" "+s.Lot] || min(s.Applied, s.Burnt, s.Held) < 0 || max(s.Applied, s.Burnt, s.Held) > license.MaxQuantity {
			return malformed("the stock of lot %q in %q cannot be", s.Lot, s.VA)
		}
		at[s.VA+" "+s.Lot], held[s.VA+" "+s.Lot] = true, s.Held
	}
	for _, r := range m.Reserved {
		if err := checkCount(r.Tag, r.Count); err != nil {
			return err
		}
		if !vas[r.VA] || at["res "+r.VA+" "+r.Lot] || r.Count < 1 || r.Count > held[r.VA+" "+r.Lot] {
			return malformed("what is reserved of lot %q in %q cannot be", r.Lot, r.VA)
		}
		at["res "+r.VA+" "+r.Lot] = true
	}
	for _, u := range m.Use {
		if err := checkCount(u.Tag, u.Count); err != nil {
			return err
		}
		if !vas[u.VA] || at["use "+u.VA+" "+string(u.Tag)] {
			return malformed("the use of %s in %q cannot be", u.Tag, u.VA)
		}
		at["use "+u.VA+" "+string(u.Tag)] = true
	}
	for _, in := range m.Instances {
		if err := in.check(); err != nil {
			return err
		}
		if !vas[in.VA] || at["in "+in.ID] {
			return malformed("the product instance %q stands in the file twice or in no virtual account of it", in.ID)
		}
		at["in "+in.ID] = true
	}
	return nil
}

func (in SyncInstance) check() error {
	p := Product{Name: in.Product, PID: in.PID, Serial: in.Serial, Version: in.Version, Hostname: in.Hostname}
	if err := p.Check(); err != nil {
		return err
	}
	if in.ID == "" || len(in.Key) > 256 || len(in.Use) > MaxUsageTags {
		return malformed("the product instance %q cannot be", in.ID)
	}
	for tag, n := range in.Use {
		if err := checkCount(tag, n); err != nil {
			return err
		}
	}
	return nil
}
