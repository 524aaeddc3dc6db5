package web

import (
	"context"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/authority"
)

func instanceOf(i authority.Instance) api.Instance {
	return api.Instance{
		ID: i.ID, Product: i.Product, Hostname: i.Hostname, Version: i.Version, UDI: i.UDI, VirtualAccount: i.VirtualAccount, State: i.State, Next: i.Next,
		Authorization: string(i.Status), StatusSince: optional(i.StatusSince), ExportControlled: i.ExportControlled, RegisteredAt: i.RegisteredAt,
		RenewedAt: optional(i.RenewedAt), ExpiresAt: optional(i.ExpiresAt), LastContact: optional(i.LastContact), NextContact: optional(i.NextContact),
		Deadline: optional(i.Deadline), ForkedAt: optional(i.ForkedAt), RemovedAt: optional(i.RemovedAt), RemovedBy: i.RemovedBy, Satellite: i.Satellite, LastKnownAt: optional(i.LastKnown),
		Usage: each(i.Usage, func(u authority.UsageRow) api.InstanceUse {
			return api.InstanceUse{Tag: string(u.Tag), License: u.Name, Count: u.Count, Since: u.Since}
		}),
	}
}

func (s *server) listInstances(ctx context.Context, in *struct {
	AccountPath
	Filter
	Paging
}) (*reply[api.List[api.Instance]], error) {
	page, err := in.page("ins")
	if err != nil {
		return nil, err
	}
	rows, next, err := s.Authority.Instances(ctx, in.Who, in.Account, in.VirtualAccount, page)
	return listed(rows, next, err, instanceOf)
}

// InstancePath is the input of what is done to a product instance.
type InstancePath struct {
	AccountPath
	Instance string `path:"instance" doc:"Product instance, by id, UDI, serial number or host name."`
}

func (s *server) showInstance(ctx context.Context, in *InstancePath) (*reply[api.Instance], error) {
	found, err := s.Authority.Instance(ctx, in.Who, in.Account, in.Instance)
	return answerWith(instanceOf(found), err)
}

func (s *server) removeInstance(ctx context.Context, in *struct {
	InstancePath
	ReturnCode string `query:"returnCode" doc:"The return code of a product that holds a reservation."`
}) (*struct{}, error) {
	return nil, s.Authority.RemoveInstance(ctx, in.Who, in.Account, in.Instance, in.ReturnCode)
}

func (s *server) settleInstance(ctx context.Context, in *InstancePath) (*reply[api.Instance], error) {
	if err := s.Authority.SettleInstance(ctx, in.Who, in.Account, in.Instance); err != nil {
		return nil, err
	}
	return s.showInstance(ctx, in)
}

func (s *server) moveInstance(ctx context.Context, in *struct {
	InstancePath
	Body api.InstanceMove
}) (*reply[api.Instance], error) {
	if err := s.Authority.MoveInstance(ctx, in.Who, in.Account, in.Instance, in.Body.VirtualAccount); err != nil {
		return nil, err
	}
	return s.showInstance(ctx, &in.InstancePath)
}
