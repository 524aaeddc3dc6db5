package console

import (
	"github.com/tallystick/tallystick/internal/authority"
)

// front leads to the only account of the person, or to the list.
func (c *console) front(v *visit) (sheet, error) {
	list, _, err := c.Authority.Accounts(v.Context(), v.who, authority.Page{Limit: 2})
	if err != nil {
		return sheet{}, err
	}
	if len(list) == 1 {
		return sheet{goTo: "/accounts/" + list[0].ID}, nil
	}
	return sheet{goTo: "/accounts"}, nil
}

// accounts lists the accounts that the person sees.
func (c *console) accounts(v *visit) (sheet, error) {
	list, next, err := c.Authority.Accounts(v.Context(), v.who, authority.Page{After: v.URL.Query().Get("after"), Limit: pageRows})
	if err != nil {
		return sheet{}, err
	}
	return sheet{title: "Accounts", body: accountsBody(v, list, next)}, nil
}
