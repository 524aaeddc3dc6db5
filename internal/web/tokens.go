package web

import (
	"context"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/trust"
)

func tokenOf(t authority.Token) api.Token {
	return api.Token{
		ID: t.ID, VirtualAccount: t.VirtualAccount, Description: t.Description, CreatedAt: t.CreatedAt, CreatedBy: t.CreatedBy, ExpiresAt: t.ExpiresAt,
		MaxUses: t.MaxUses, Uses: t.Uses, ExportControlled: t.ExportControlled, Status: t.Status,
	}
}

func (s *server) createToken(ctx context.Context, in *struct {
	VAPath
	Body api.NewToken
}) (*reply[api.Token], error) {
	want := authority.NewToken{VirtualAccount: in.VA, ExportControlled: in.Body.ExportControlled, Description: in.Body.Description}
	if in.Body.Days != nil {
		want.Days = *in.Body.Days
	}
	if in.Body.MaxUses != nil {
		want.MaxUses = *in.Body.MaxUses
	}
	made, text, err := s.Authority.CreateToken(ctx, in.Who, in.Account, want)
	out := tokenOf(made)
	out.Token = text.Reveal()
	return answerWith(out, err)
}

func (s *server) listTokens(ctx context.Context, in *struct {
	AccountPath
	Paging
}) (*reply[api.List[api.Token]], error) {
	page, err := in.page("tok")
	if err != nil {
		return nil, err
	}
	rows, next, err := s.Authority.Tokens(ctx, in.Who, in.Account, "", page)
	return listed(rows, next, err, tokenOf)
}

func (s *server) listVATokens(ctx context.Context, in *struct {
	VAPath
	Paging
}) (*reply[api.List[api.Token]], error) {
	page, err := in.page("tok")
	if err != nil {
		return nil, err
	}
	rows, next, err := s.Authority.Tokens(ctx, in.Who, in.Account, in.VA, page)
	return listed(rows, next, err, tokenOf)
}

// token finds a token of an account, or of one virtual account.
func (s *server) token(ctx context.Context, in AccountPath, va, id string) (authority.Token, error) {
	if trust.ValidID("tok", id) {
		// A page begins after its cursor, and nothing sorts between this one and the id.
		page := authority.Page{After: id[:len(id)-1], Limit: 1}
		rows, _, err := s.Authority.Tokens(ctx, in.Who, in.Account, va, page)
		if err != nil || len(rows) == 1 && rows[0].ID == id {
			return append(rows, authority.Token{})[0], err
		}
	}
	return authority.Token{}, license.NotFound("token", id)
}

// TokenPath is the input of what is done to a token.
type TokenPath struct {
	AccountPath
	Token string `path:"token" doc:"Id of the token."`
}

// VATokenPath is TokenPath for a token that must be of the virtual account.
type VATokenPath struct {
	VAPath
	Token string `path:"token" doc:"Id of the token."`
}

func (s *server) showToken(ctx context.Context, in *TokenPath) (*reply[api.Token], error) {
	found, err := s.token(ctx, in.AccountPath, "", in.Token)
	return answerWith(tokenOf(found), err)
}

func (s *server) showVAToken(ctx context.Context, in *VATokenPath) (*reply[api.Token], error) {
	found, err := s.token(ctx, in.AccountPath, in.VA, in.Token)
	return answerWith(tokenOf(found), err)
}

func (s *server) revokeToken(ctx context.Context, in *TokenPath) (*struct{}, error) {
	return nil, s.Authority.RevokeToken(ctx, in.Who, in.Account, in.Token)
}

func (s *server) revokeVAToken(ctx context.Context, in *VATokenPath) (*struct{}, error) {
	if _, err := s.token(ctx, in.AccountPath, in.VA, in.Token); err != nil {
		return nil, err
	}
	return nil, s.Authority.RevokeToken(ctx, in.Who, in.Account, in.Token)
}

func (s *server) removeToken(ctx context.Context, in *TokenPath) (*struct{}, error) {
	return nil, s.Authority.RemoveToken(ctx, in.Who, in.Account, in.Token)
}

func (s *server) removeVAToken(ctx context.Context, in *VATokenPath) (*struct{}, error) {
	if _, err := s.token(ctx, in.AccountPath, in.VA, in.Token); err != nil {
		return nil, err
	}
	return nil, s.Authority.RemoveToken(ctx, in.Who, in.Account, in.Token)
}
