package authority

import (
	"context"
	"slices"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

// ReportKinds are the reports of the desk; the conference engine has its own.
func ReportKinds() []string { return []string{"licenses", "subscriptions", "instances", "usage"} }

// maxPeaks bounds a usage report; a narrower period gets the rest.
const maxPeaks = 1_000_000

// Report makes one of ReportKinds. from and to bound the usage report; zero times leave it open. A rule of the columns:
// smart licensing, section 14, rule 47.
func (a *Authority) Report(ctx context.Context, who access.Person, account, kind string, from, to time.Time) (license.Report, error) {
	r := license.Report{Kind: kind, Rows: [][]any{}}
	var err error
	switch kind {
	case "licenses":
		err = a.licenseReport(ctx, who, account, &r)
	case "subscriptions":
		err = a.subscriptionReport(ctx, who, account, &r)
	case "instances":
		err = a.instanceReport(ctx, who, account, &r)
	case "usage":
		err = a.usageReport(ctx, who, account, from, to, &r)
	default:
		err = license.NotFound("report", kind)
	}
	return r, err
}

func (a *Authority) licenseReport(ctx context.Context, who access.Person, account string, r *license.Report) error {
	r.Columns = []string{"virtualAccount", "license", "tag", "quantity", "inUse", "reserved", "lent", "borrowed", "available", "shortage", "status", "nextExpiry", "why"}
	rows, err := a.Licenses(ctx, who, account, "")
	for _, l := range rows {
		why := ""
		for i, f := range l.Why {
			if i > 0 {
				why += " "
			}
			why += f.Text()
		}
		r.Rows = append(r.Rows, []any{l.VirtualAccount, l.Name, string(l.Tag), l.Quantity, l.InUse, l.Reserved, l.Lent, l.Borrowed, l.Available, l.Shortage, string(l.Status), orNil(l.Ends), why})
	}
	return err
}

func (a *Authority) subscriptionReport(ctx context.Context, who access.Person, account string, r *license.Report) error {
	r.Columns = []string{"virtualAccount", "license", "tag", "type", "subscription", "order", "quantity", "start", "end", "daysLeft", "status"}
	lots, err := a.Lots(ctx, who, account, "")
	now := a.now()
	for _, l := range lots {
		var left any
		if !l.End.IsZero() {
			left = max(0, int64(l.End.Sub(now)/(24*time.Hour)))
		}
		r.Rows = append(r.Rows, []any{l.VirtualAccount, a.catalog.Name(l.Tag), string(l.Tag), string(l.Type), l.Subscription, l.Order, l.Quantity + l.Back, l.Start, orNil(l.End), left, l.Status})
	}
	return err
}

func (a *Authority) instanceReport(ctx context.Context, who access.Person, account string, r *license.Report) error {
	r.Columns = []string{"virtualAccount", "instance", "product", "hostname", "udi", "version", "state", "authorization", "registeredAt", "lastContact", "nextContact", "expiresAt", "tag", "count", "satellite", "lastKnownAt"}
	page := Page{Limit: 1000}
	for {
		list, next, err := a.Instances(ctx, who, account, "", page)
		if err != nil {
			return err
		}
		for _, in := range list {
			place := []any{in.Satellite, orNil(in.LastKnown)}
			line := []any{in.VirtualAccount, in.ID, in.Product, in.Hostname, in.UDI, in.Version, in.State, string(in.Status), in.RegisteredAt, orNil(in.LastContact), orNil(in.NextContact), in.ExpiresAt}
			if len(in.Usage) == 0 {
				r.Rows = append(r.Rows, slices.Concat(line, []any{nil, nil}, place))
			}
			for _, u := range in.Usage {
				r.Rows = append(r.Rows, slices.Concat(line, []any{string(u.Tag), u.Count}, place))
			}
		}
		if next == "" {
			return nil
		}
		page.After = next
	}
}

// usageReport lists the peaks that products reported for closed intervals and, with an open end, what they use now. Of a satellite's
// products that is what it has said last; their peaks are in the satellite's own report.
func (a *Authority) usageReport(ctx context.Context, who access.Person, account string, from, to time.Time, r *license.Report) error {
	r.Columns = []string{"virtualAccount", "license", "tag", "instance", "product", "from", "to", "peak", "satellite"}
	id, err := a.scope(ctx, who, access.See, account)
	if err != nil {
		return err
	}
	end := store.Ms(to)
	if to.IsZero() {
		end = 1 << 62
	}
	return a.read(ctx, "usage report", func(tx *store.Tx) error {
		r.Rows = [][]any{}
		names, _, err := vaNames(ctx, tx, id, "")
		if err != nil {
			return err
		}
		peaks, err := tx.UsagePeaks(ctx, db.UsagePeaksParams{AccountID: id, FromAt: store.Ms(from), ToAt: end, Page: maxPeaks})
		if err != nil {
			return err
		}
		for _, p := range peaks {
			tag := license.Tag(p.Tag)
			r.Rows = append(r.Rows, []any{names[p.VaID], a.catalog.Name(tag), p.Tag, p.InstanceID, displayName(p.Product, p.Hostname), store.At(p.FromAt), store.At(p.ToAt), p.Peak, ""})
		}
		if !to.IsZero() {
			return nil
		}
		uses, err := tx.UsageOfAccount(ctx, id)
		if err != nil {
			return err
		}
		below, err := usesBelow(ctx, tx, id, "")
		if err != nil {
			return err
		}
		satellites, err := satellitesByID(ctx, tx, id)
		if err != nil {
			return err
		}
		vas, err := allVAs(ctx, tx, id)
		if err != nil {
			return err
		}
		by := map[string]string{} // satellite by virtual account
		for _, v := range vas {
			by[v.VaID] = satellites[v.SatelliteID].Name
		}
		for _, u := range append(uses, below...) {
			tag := license.Tag(u.Tag)
			r.Rows = append(r.Rows, []any{names[u.VaID], a.catalog.Name(tag), u.Tag, u.InstanceID, displayName(u.Product, u.Hostname), store.At(u.SinceAt), nil, u.Quantity, by[u.VaID]})
		}
		return nil
	})
}

func orNil(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t
}
