package web

import (
	"context"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/license"
)

func accountOf(a authority.Account) api.Account {
	return api.Account{ID: a.ID, Name: a.Name, DefaultVirtualAccount: a.DefaultVA, CreatedAt: a.CreatedAt}
}

func (s *server) createAccount(ctx context.Context, in *struct {
	Caller
	Body api.NewAccount
}) (*reply[api.Account], error) {
	made, err := s.Authority.CreateAccount(ctx, in.Who, in.Body.Name)
	return answerWith(accountOf(made), err)
}

func (s *server) listAccounts(ctx context.Context, in *struct {
	Caller
	Paging
}) (*reply[api.List[api.Account]], error) {
	page, err := in.page("acc")
	if err != nil {
		return nil, err
	}
	rows, next, err := s.Authority.Accounts(ctx, in.Who, page)
	return listed(rows, next, err, accountOf)
}

func (s *server) showAccount(ctx context.Context, in *AccountPath) (*reply[api.Account], error) {
	found, err := s.Authority.Account(ctx, in.Who, in.Account)
	return answerWith(accountOf(found), err)
}

// VAPath is the input of everything below a virtual account.
type VAPath struct {
	AccountPath
	VA string `path:"virtualAccount" doc:"Virtual account, by id or name."`
}

func vaOf(v authority.VirtualAccount) api.VirtualAccount {
	return api.VirtualAccount{ID: v.ID, Name: v.Name, Default: v.Default, CreatedAt: v.CreatedAt, Satellite: v.Satellite}
}

func (s *server) createVA(ctx context.Context, in *struct {
	AccountPath
	Body api.NewVirtualAccount
}) (*reply[api.VirtualAccount], error) {
	made, err := s.Authority.CreateVirtualAccount(ctx, in.Who, in.Account, in.Body.Name)
	return answerWith(vaOf(made), err)
}

func (s *server) listVAs(ctx context.Context, in *struct {
	AccountPath
	Paging
}) (*reply[api.List[api.VirtualAccount]], error) {
	page, err := in.page("va")
	if err != nil {
		return nil, err
	}
	rows, next, err := s.Authority.VirtualAccounts(ctx, in.Who, in.Account, page)
	return listed(rows, next, err, vaOf)
}

func (s *server) showVA(ctx context.Context, in *VAPath) (*reply[api.VirtualAccount], error) {
	found, err := s.Authority.VirtualAccount(ctx, in.Who, in.Account, in.VA)
	return answerWith(vaOf(found), err)
}

// changeVA renames first: when the name is refused, nothing was changed.
func (s *server) changeVA(ctx context.Context, in *struct {
	VAPath
	Body api.VirtualAccountChange
}) (*reply[api.VirtualAccount], error) {
	if in.Body.Name == "" && !in.Body.Default {
		return nil, license.Refuse(license.KindInvalid, "nothing-to-change", `send {"name":"…"}, {"default":true}, or both`, "the request changes nothing")
	}
	var out authority.VirtualAccount
	var err error
	ref := in.VA
	if in.Body.Name != "" {
		if out, err = s.Authority.RenameVirtualAccount(ctx, in.Who, in.Account, ref, in.Body.Name); err != nil {
			return nil, err
		}
		ref = out.ID
	}
	if in.Body.Default {
		out, err = s.Authority.SetDefaultVirtualAccount(ctx, in.Who, in.Account, ref)
	}
	return answerWith(vaOf(out), err)
}

func (s *server) deleteVA(ctx context.Context, in *VAPath) (*struct{}, error) {
	return nil, s.Authority.DeleteVirtualAccount(ctx, in.Who, in.Account, in.VA)
}
