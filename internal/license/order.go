package license

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Bounds of an order document.
const (
	MaxOrderBytes = 1 << 20
	MaxOrderLines = 1000
	MaxQuantity   = 1_000_000_000

	maxNumber = 80 // characters of an order number or a subscription
)

// Order is a purchase to be put into an account. It is the documented order file, checked.
type Order struct {
	Number  string      `json:"order"`
	Account string      `json:"account"`
	Lines   []OrderLine `json:"lines"`
}

// OrderLine becomes one lot. Exactly one of SKU and Tag is given in the file; ResolveOrder fills Tag and Quantity.
type OrderLine struct {
	SKU            string  `json:"sku,omitempty"`
	Tag            Tag     `json:"tag,omitempty"`
	Quantity       int64   `json:"quantity"`
	VirtualAccount string  `json:"virtualAccount,omitempty"`
	Type           LotType `json:"type,omitempty"`
	Start          Date    `json:"start,omitzero"`
	End            Date    `json:"end,omitzero"`
	Subscription   string  `json:"subscription,omitempty"`
}

// Date is an instant written in files as 2026-01-01 (midnight UTC) or in RFC 3339.
type Date struct{ Time time.Time }

// IsZero says that no date was given.
func (d Date) IsZero() bool { return d.Time.IsZero() }

// UnmarshalText reads either form.
func (d *Date) UnmarshalText(b []byte) error {
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, string(b)); err == nil {
			d.Time = t.UTC()
			return nil
		}
	}
	return fmt.Errorf("%.40q is no date: write 2026-01-31 or 2026-01-31T00:00:00Z", b)
}

// MarshalText writes the short form at midnight and RFC 3339 otherwise.
func (d Date) MarshalText() ([]byte, error) {
	layout := time.RFC3339
	if d.Time.Equal(d.Time.Truncate(day)) {
		layout = time.DateOnly
	}
	return d.Time.UTC().AppendFormat(nil, layout), nil
}

// ParseOrders reads an order file: a JSON object, a JSON array of them, or CSV with the same names as header, in which
// neighboring lines with one order number make one order. Unknown members and columns are refused. The caller bounds the
// size to MaxOrderBytes.
func ParseOrders(doc []byte) ([]Order, error) { return ParseOrderFile("", doc) }

// ParseOrderFile is ParseOrders for a file whose name is known: one that ends in .json is read as JSON, whatever it begins
// with, so that a refusal speaks of JSON.
func ParseOrderFile(name string, doc []byte) ([]Order, error) {
	doc = bytes.TrimRightFunc(bytes.TrimPrefix(doc, []byte("\xef\xbb\xbf")), unicode.IsSpace)
	text := bytes.TrimSpace(doc)
	switch {
	case len(text) == 0:
		return nil, badOrder("the file is empty")
	case text[0] == '[':
		return ordersFromArray(doc)
	case text[0] == '{' || strings.HasSuffix(strings.ToLower(name), ".json"):
		o, err := orderFromJSON(doc, "the order")
		if err != nil {
			return nil, err
		}
		return []Order{o}, nil
	}
	return ordersFromCSV(doc)
}

func ordersFromArray(doc []byte) ([]Order, error) {
	var parts []json.RawMessage
	if err := strictJSON(doc, &parts); err != nil {
		return nil, badOrder("the orders: %v", err)
	}
	if len(parts) == 0 {
		return nil, badOrder("no order stands in the file")
	}
	orders := make([]Order, len(parts))
	for i, part := range parts {
		var err error
		if orders[i], err = orderFromJSON(part, fmt.Sprintf("order %d of the file", i+1)); err != nil {
			return nil, err
		}
	}
	return orders, nil
}

// orderFromJSON reads an order line by line, so that a refusal can name order and line. nameless is what the order is called
// while its number is not known.
func orderFromJSON(doc []byte, nameless string) (Order, error) {
	var file struct {
		Number  string            `json:"order"`
		Account string            `json:"account"`
		Lines   []json.RawMessage `json:"lines"`
	}
	err := strictJSON(doc, &file)
	o := Order{Number: file.Number, Account: file.Account, Lines: make([]OrderLine, len(file.Lines))}
	if nameFault(o.Number, maxNumber) == "" {
		nameless = "order " + o.Number
	}
	if err != nil {
		return o, badOrder("%s: %v", nameless, err)
	}
	for i, line := range file.Lines {
		if err := strictJSON(line, &o.Lines[i]); err != nil {
			return o, badOrder("%s, line %d: %v", nameless, i+1, err)
		}
	}
	return o, nil
}

// strictJSON reads one document and refuses unknown members. What its errors say is for people.
func strictJSON(doc []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	if wrong, ok := errors.AsType[*json.SyntaxError](err); ok {
		line := 1 + bytes.Count(doc[:min(wrong.Offset, int64(len(doc)))], []byte("\n"))
		return fmt.Errorf("it is no JSON: %w, in line %d of the text", wrong, line)
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("%s has the wrong type, %s", cmp.Or(wrong.Field, "it"), wrong.Value)
	}
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the JSON text is cut off")
	case err != nil:
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows after the end of the JSON text")
	}
	return nil
}

var orderColumns = []string{"order", "account", "sku", "tag", "quantity", "virtualAccount", "type", "start", "end", "subscription"}

func ordersFromCSV(doc []byte) ([]Order, error) {
	if head, _, _ := bytes.Cut(bytes.TrimSpace(doc), []byte("\n")); !bytes.ContainsRune(head, ',') {
		return nil, Refuse(KindInvalid, "bad-order", "separate the columns with commas", "the first line, %.60q, is no header of several columns", bytes.TrimSpace(head))
	}
	r := csv.NewReader(bytes.NewReader(doc))
	r.TrimLeadingSpace = true
	header, err := r.Read()
	if err != nil {
		return nil, badLine("", 1, err)
	}
	for i, name := range header {
		header[i] = strings.TrimSpace(name)
		if !slices.Contains(orderColumns, header[i]) {
			return nil, badOrder("the column %.40q is unknown; the columns are %s", header[i], strings.Join(orderColumns, ", "))
		}
	}
	var orders []Order
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		line := 0
		if err == nil {
			line, _ = r.FieldPos(0)
			orders, err = appendCSVLine(orders, header, row)
		}
		if err != nil {
			number := ""
			if i := slices.Index(header, "order"); i >= 0 && i < len(row) {
				number = strings.TrimSpace(row[i])
			}
			return nil, badLine(number, line, err)
		}
	}
	if len(orders) == 0 {
		return nil, badOrder("no order stands in the file")
	}
	return orders, nil
}

// badLine refuses a line of CSV; number is that of its order, empty when it is not known.
func badLine(number string, line int, err error) error {
	if wrong, ok := errors.AsType[*csv.ParseError](err); ok {
		line, err = wrong.Line, wrong.Err
	}
	if nameFault(number, maxNumber) == "" {
		return badOrder("order %s, line %d of the file: %v", number, line, err)
	}
	return badOrder("line %d of the file: %v", line, err)
}

func appendCSVLine(orders []Order, header, row []string) ([]Order, error) {
	var o Order
	var l OrderLine
	for i, name := range header {
		v := strings.TrimSpace(row[i])
		if v == "" {
			continue
		}
		var err error
		switch name {
		case "order":
			o.Number = v
		case "account":
			o.Account = v
		case "sku":
			l.SKU = v
		case "tag":
			l.Tag = Tag(v)
		case "quantity":
			if l.Quantity, err = strconv.ParseInt(v, 10, 64); err != nil {
				err = fmt.Errorf("the quantity %.20q is no whole number", v)
			}
		case "virtualAccount":
			l.VirtualAccount = v
		case "type":
			l.Type = LotType(v)
		case "start":
			err = l.Start.UnmarshalText([]byte(v))
		case "end":
			err = l.End.UnmarshalText([]byte(v))
		case "subscription":
			l.Subscription = v
		}
		if err != nil {
			return nil, err
		}
	}
	if n := len(orders); n > 0 && orders[n-1].Number == o.Number && orders[n-1].Account == o.Account {
		orders[n-1].Lines = append(orders[n-1].Lines, l)
		return orders, nil
	}
	o.Lines = []OrderLine{l}
	return append(orders, o), nil
}

// ResolveOrder checks an order against the catalog and fills what the file left out: the tag and quantity of a part
// number, PERPETUAL, and a start at now.
func ResolveOrder(c *Catalog, o Order, now time.Time) (Order, error) {
	switch {
	case nameFault(o.Number, maxNumber) != "":
		return o, badOrder("the order number %.90q %s", o.Number, nameFault(o.Number, maxNumber))
	case o.Account == "":
		return o, badOrder("order %s names no account", o.Number)
	case len(o.Lines) == 0 || len(o.Lines) > MaxOrderLines:
		return o, badOrder("order %s has %s; 1 to %d are possible", o.Number, plural(int64(len(o.Lines)), "line", "lines"), MaxOrderLines)
	}
	o.Lines = slices.Clone(o.Lines)
	for i := range o.Lines {
		if err := resolveLine(c, &o.Lines[i], now); err != nil {
			return o, badOrder("order %s, line %d: %s", o.Number, i+1, err.Error())
		}
	}
	return o, nil
}

func resolveLine(c *Catalog, l *OrderLine, now time.Time) error {
	if (l.SKU == "") == (l.Tag == "") {
		return errors.New("exactly one of sku and tag is needed")
	}
	if l.Quantity < 1 || l.Quantity > MaxQuantity {
		return fmt.Errorf("the quantity %d is not between 1 and %d", l.Quantity, MaxQuantity)
	}
	if l.SKU != "" {
		s, ok := c.SKU(l.SKU)
		if !ok {
			return fmt.Errorf("the part number %.60q is not in the catalog; name the tag instead, or extend the catalog with --catalog", l.SKU)
		}
		l.Tag, l.Quantity = s.Tag, l.Quantity*s.Quantity
	}
	if !c.Knows(l.Tag) {
		return fmt.Errorf("the tag %.60q is not in the catalog; check the spelling, or extend the catalog with --catalog", l.Tag)
	}
	switch l.Type {
	case "":
		l.Type = Perpetual
	case Perpetual, Term, Demo:
	default:
		return fmt.Errorf("the type %.20q is none of PERPETUAL, TERM, DEMO", l.Type)
	}
	if l.Start.IsZero() {
		l.Start = Date{now}
	}
	if l.Type != Perpetual && l.End.IsZero() {
		return fmt.Errorf("a %s line needs an end", l.Type)
	}
	if !l.End.IsZero() && !l.End.Time.After(l.Start.Time) {
		return errors.New("the end is not after the start")
	}
	if fault := nameFault(l.Subscription, maxNumber); fault != "" && l.Subscription != "" {
		return fmt.Errorf("the subscription %.90q %s", l.Subscription, fault)
	}
	return nil
}

// Difference says in words what differs between two contents of one order number, or "" when nothing does. It compares
// files, so a start left out equals a start left out.
func Difference(old, new Order) string {
	if len(old.Lines) != len(new.Lines) {
		return fmt.Sprintf("it had %s and now has %d", plural(int64(len(old.Lines)), "line", "lines"), len(new.Lines))
	}
	for i, a := range old.Lines {
		b := new.Lines[i]
		for _, f := range []struct{ name, a, b string }{
			{"sku", a.SKU, b.SKU}, {"tag", string(a.Tag), string(b.Tag)},
			{"quantity", strconv.FormatInt(a.Quantity, 10), strconv.FormatInt(b.Quantity, 10)},
			{"virtualAccount", a.VirtualAccount, b.VirtualAccount},
			{"type", string(a.Type), string(b.Type)}, {"start", a.Start.Time.String(), b.Start.Time.String()},
			{"end", a.End.Time.String(), b.End.Time.String()}, {"subscription", a.Subscription, b.Subscription},
		} {
			if f.a != f.b {
				return fmt.Sprintf("line %d had %s %q and now has %q", i+1, f.name, f.a, f.b)
			}
		}
	}
	return ""
}

func badOrder(format string, args ...any) *Error {
	return Refuse(KindInvalid, "bad-order", "mend the order file and import it again; nothing of it was taken", format, args...)
}

// nameFault says what is wrong with s as a name of 1 to limit characters, or "" when nothing is.
func nameFault(s string, limit int) string {
	switch {
	case s == "":
		return "is empty"
	case !utf8.ValidString(s):
		return "is no UTF-8 text"
	case utf8.RuneCountInString(s) > limit:
		return fmt.Sprintf("is longer than %d characters", limit)
	case strings.TrimSpace(s) != s:
		return "begins or ends with white space"
	case strings.ContainsFunc(s, unicode.IsControl):
		return "has control characters"
	}
	return ""
}

// ShellWord writes a text, such as a name, as one word of a command line: as it is where a shell takes it so, and in single quotes
// otherwise.
func ShellWord(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-./:@%+,", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// CheckName refuses a name of the given noun that is empty, longer than 120 characters, no UTF-8, has control characters, or
// begins or ends with white space, and says which.
func CheckName(noun, s string) error {
	fault := nameFault(s, 120)
	if fault == "" {
		return nil
	}
	article := "a"
	if strings.ContainsAny(noun[:1], "aeiou") {
		article = "an"
	}
	return Refuse(KindInvalid, "bad-name", "choose a name of 1 to 120 characters", "%.140q cannot be the name of %s %s: it %s", s, article, noun, fault)
}
