package license

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds of an order document.
const (
	MaxOrderBytes = 1 << 20
	MaxOrderLines = 1000
	MaxQuantity   = 1_000_000_000
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
func ParseOrders(doc []byte) ([]Order, error) {
	trimmed := bytes.TrimSpace(bytes.TrimPrefix(doc, []byte("\xef\xbb\xbf")))
	if len(trimmed) == 0 {
		return nil, badOrder("the file is empty")
	}
	var orders []Order
	var err error
	switch trimmed[0] {
	case '{':
		orders = make([]Order, 1)
		err = strictJSON(trimmed, &orders[0])
	case '[':
		err = strictJSON(trimmed, &orders)
	default:
		orders, err = ordersFromCSV(trimmed)
	}
	if err != nil {
		if AsError(err) != nil {
			return nil, err
		}
		return nil, badOrder("%v", err)
	}
	if len(orders) == 0 {
		return nil, badOrder("no order stands in it")
	}
	return orders, nil
}

func strictJSON(doc []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows after the end of the document")
	}
	return nil
}

var orderColumns = []string{"order", "account", "sku", "tag", "quantity", "virtualAccount", "type", "start", "end", "subscription"}

func ordersFromCSV(doc []byte) ([]Order, error) {
	r := csv.NewReader(bytes.NewReader(doc))
	r.TrimLeadingSpace = true
	header, err := r.Read()
	if err != nil {
		return nil, err
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
			return orders, nil
		}
		if err != nil {
			return nil, err
		}
		if orders, err = appendCSVLine(orders, header, row); err != nil {
			line, _ := r.FieldPos(0)
			return nil, badOrder("line %d: %v", line, err)
		}
	}
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
	case !plainName(o.Number, 80):
		return o, badOrder("the order number %.90q is empty, longer than 80 characters, or has control characters", o.Number)
	case o.Account == "":
		return o, badOrder("order %s names no account", o.Number)
	case len(o.Lines) == 0 || len(o.Lines) > MaxOrderLines:
		return o, badOrder("order %s has %d lines; 1 to %d are possible", o.Number, len(o.Lines), MaxOrderLines)
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
	if len(l.Subscription) > 80 {
		return errors.New("the subscription is longer than 80 characters")
	}
	return nil
}

// Difference says in words what differs between two contents of one order number, or "" when nothing does. It compares
// files, so a start left out equals a start left out.
func Difference(old, new Order) string {
	if len(old.Lines) != len(new.Lines) {
		return fmt.Sprintf("it had %d lines and now has %d", len(old.Lines), len(new.Lines))
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

// plainName says whether s is a name of 1 to limit bytes without control characters.
func plainName(s string, limit int) bool {
	return s != "" && len(s) <= limit && strings.TrimSpace(s) == s && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// CheckName refuses a name of the given noun that is empty, longer than 120 bytes, has control characters, or begins or ends
// with white space.
func CheckName(noun, s string) error {
	if plainName(s, 120) {
		return nil
	}
	return Refuse(KindInvalid, "bad-name", "choose a name of 1 to 120 characters", "%.140q cannot be the name of a %s", s, noun)
}
