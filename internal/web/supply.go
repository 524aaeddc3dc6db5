package web

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/license"
)

// orderBody says that orders come as JSON, one or an array of them, or as CSV.
func (s *server) orderBody(op *huma.Operation) {
	one := s.schema(api.OrderFile{})
	op.RequestBody = &huma.RequestBody{Content: map[string]*huma.MediaType{
		"application/json": {Schema: &huma.Schema{OneOf: []*huma.Schema{one, {Type: huma.TypeArray, Items: one}}}},
		"text/csv":         {Schema: &huma.Schema{Type: huma.TypeString, Description: "The members of a line as columns, with order and account."}},
	}}
	op.SkipValidateBody = true // the reader of order files says better what is wrong
	op.MaxBodyBytes = license.MaxOrderBytes + 1
}

// importOrders imports the orders of a file one after the other, each in its own transaction. The first refusal ends it;
// sending the file again repeats what was done without effect and goes on.
func (s *server) importOrders(ctx context.Context, in *struct {
	AccountPath
	RawBody []byte
}) (*reply[api.List[api.Order]], error) {
	orders, err := license.ParseOrders(in.RawBody)
	if err != nil {
		return nil, err
	}
	out := api.List[api.Order]{Items: []api.Order{}}
	for _, o := range orders {
		done, err := s.Authority.ImportOrder(ctx, in.Who, in.Account, o)
		if err != nil {
			return nil, err
		}
		out.Items = append(out.Items, s.orderOf(done))
	}
	return answerWith(out, nil)
}

func (s *server) orderOf(o authority.Order) api.Order {
	return api.Order{
		ID: o.ID, Order: o.Number, ReceivedAt: o.ReceivedAt, ReceivedBy: o.ReceivedBy, Repeated: o.Repeated,
		Lots: each(o.Lots, func(l license.Lot) api.Lot {
			return s.lotOf(authority.LotRow{Lot: l, Status: l.Status(s.Now())})
		}),
	}
}

func (s *server) lotOf(l authority.LotRow) api.Lot {
	return api.Lot{
		ID: l.ID, Order: l.Order, License: s.Authority.Catalog().Name(l.Tag), Tag: string(l.Tag), VirtualAccount: l.VirtualAccount, Type: string(l.Type),
		Quantity: l.Quantity, Reserved: l.Reserved, CameBack: l.Back, Start: l.Start, End: optional(l.End), Subscription: l.Subscription, Status: l.Status,
	}
}

func (s *server) listOrders(ctx context.Context, in *struct {
	AccountPath
	Paging
}) (*reply[api.List[api.Order]], error) {
	page, err := in.page("ord")
	if err != nil {
		return nil, err
	}
	rows, next, err := s.Authority.Orders(ctx, in.Who, in.Account, page)
	return listed(rows, next, err, s.orderOf)
}

func (s *server) showOrder(ctx context.Context, in *struct {
	AccountPath
	Order string `path:"order" doc:"Order, by id or number."`
}) (*reply[api.Order], error) {
	found, err := s.Authority.Order(ctx, in.Who, in.Account, in.Order)
	return answerWith(s.orderOf(found), err)
}

func licenseOf(l authority.LicenseRow) api.License {
	why, more := shorten(l.Why)
	return api.License{
		License: l.Name, Tag: string(l.Tag), VirtualAccount: l.VirtualAccount, Quantity: l.Quantity, InUse: l.InUse, Reserved: l.Reserved, Lent: l.Lent,
		Borrowed: l.Borrowed, Available: l.Available, Shortage: l.Shortage, Status: string(l.Status), Why: each(why, poolReason), More: more,
	}
}

func poolReason(f license.Fact) api.Reason {
	text := f.Text()
	return api.Reason{
		Code: f.Code, Text: text, Fact: text, Tag: f.Tag, Other: f.Other, Instance: f.Instance, Name: f.Name, Lot: f.Lot, Count: f.Count, Of: f.Of,
		Since: optional(f.Since),
	}
}

// Of many reasons the first and the last are shown: what is the case, and what would help.
const (
	maxReasons  = 10
	lastReasons = 3
)

// shorten keeps at most maxReasons and says how many were left out.
func shorten[F any](why []F) ([]F, int) {
	if len(why) <= maxReasons {
		return why, 0
	}
	kept := append(make([]F, 0, maxReasons), why[:maxReasons-lastReasons]...)
	return append(kept, why[len(why)-lastReasons:]...), len(why) - maxReasons
}

func byPool(l authority.LicenseRow) string { return l.VirtualAccountID + " " + string(l.Tag) }

func poolKey() []keyPart { return []keyPart{idPart("va"), tagPart} }

func (s *server) listLicenses(ctx context.Context, in *struct {
	AccountPath
	Filter
	Paging
}) (*reply[api.List[api.License]], error) {
	after, err := in.after(poolKey()...)
	if err != nil {
		return nil, err
	}
	rows, err := s.Authority.Licenses(ctx, in.Who, in.Account, in.VirtualAccount)
	rows, next := cut(rows, after, in.Limit, byPool)
	return listed(rows, next, err, licenseOf)
}

// showLicense lists nothing for a tag that the catalog knows and nobody holds or uses; any other such tag is not found.
func (s *server) showLicense(ctx context.Context, in *struct {
	AccountPath
	Filter
	Paging
	Tag string `path:"tag" doc:"License tag."`
}) (*reply[api.List[api.License]], error) {
	after, err := in.after(poolKey()...)
	if err != nil {
		return nil, err
	}
	all, err := s.Authority.Licenses(ctx, in.Who, in.Account, in.VirtualAccount)
	if err != nil {
		return nil, err
	}
	var rows []authority.LicenseRow
	for _, l := range all {
		if string(l.Tag) == in.Tag {
			rows = append(rows, l)
		}
	}
	if len(rows) == 0 && !s.Authority.Catalog().Knows(license.Tag(in.Tag)) {
		return nil, license.NotFound("license", in.Tag)
	}
	rows, next := cut(rows, after, in.Limit, byPool)
	return listed(rows, next, nil, licenseOf)
}

func (s *server) listLots(ctx context.Context, in *struct {
	AccountPath
	Filter
	Paging
}) (*reply[api.List[api.Lot]], error) {
	after, err := in.after(idPart("lot"), idPart("va"))
	if err != nil {
		return nil, err
	}
	ids, err := s.virtualAccountIDs(ctx, in.AccountPath)
	if err != nil {
		return nil, err
	}
	rows, err := s.Authority.Lots(ctx, in.Who, in.Account, in.VirtualAccount)
	rows, next := cut(rows, after, in.Limit, func(l authority.LotRow) string { return l.ID + " " + ids[l.VirtualAccount] })
	return listed(rows, next, err, s.lotOf)
}

// virtualAccountIDs are the ids of an account's virtual accounts by their names, for rows that name them only.
func (s *server) virtualAccountIDs(ctx context.Context, in AccountPath) (map[string]string, error) {
	ids, page := map[string]string{}, authority.Page{Limit: 1000}
	for {
		rows, next, err := s.Authority.VirtualAccounts(ctx, in.Who, in.Account, page)
		if err != nil {
			return nil, err
		}
		for _, v := range rows {
			ids[v.Name] = v.ID
		}
		if page.After = next; next == "" {
			return ids, nil
		}
	}
}

func (s *server) transfer(ctx context.Context, in *struct {
	AccountPath
	Body api.Transfer
}) (*reply[api.Transferred], error) {
	tag, err := license.ParseTag(in.Body.Tag)
	if err != nil {
		return nil, err
	}
	t := in.Body
	moved, err := s.Authority.Transfer(ctx, in.Who, in.Account, authority.Transfer{Tag: tag, Quantity: t.Quantity, From: t.From, To: t.To, Lot: t.Lot})
	return answerWith(api.Transferred{From: moved.From, To: moved.To, Lots: each(moved.Lots, s.lotOf), AskedBack: moved.Asked, AskedReserved: moved.Reserved,
		InUse: moved.InUse, Left: moved.Left}, err)
}
