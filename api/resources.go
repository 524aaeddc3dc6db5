package api

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"net/http"
	"time"
)

// CreateAccount makes an account with its default virtual account.
func (c *Client) CreateAccount(ctx context.Context, name string) (Account, error) {
	return write[Account](ctx, c, http.MethodPost, at("accounts"), NewAccount{Name: name})
}

// Accounts lists the accounts that the key sees.
func (c *Client) Accounts(ctx context.Context) iter.Seq2[Account, error] {
	return pages[Account](ctx, c, at("accounts"), nil)
}

// Account finds an account by id or name.
func (c *Client) Account(ctx context.Context, account string) (Account, error) {
	return get[Account](ctx, c, at("accounts", account), nil)
}

// CreateVirtualAccount makes a virtual account.
func (c *Client) CreateVirtualAccount(ctx context.Context, account, name string) (VirtualAccount, error) {
	return write[VirtualAccount](ctx, c, http.MethodPost, at("accounts", account, "virtual-accounts"), NewVirtualAccount{Name: name})
}

// VirtualAccounts lists the virtual accounts of an account.
func (c *Client) VirtualAccounts(ctx context.Context, account string) iter.Seq2[VirtualAccount, error] {
	return pages[VirtualAccount](ctx, c, at("accounts", account, "virtual-accounts"), nil)
}

// VirtualAccount finds a virtual account by id or name.
func (c *Client) VirtualAccount(ctx context.Context, account, va string) (VirtualAccount, error) {
	return get[VirtualAccount](ctx, c, at("accounts", account, "virtual-accounts", va), nil)
}

// ChangeVirtualAccount renames a virtual account, makes it the default one, or both.
func (c *Client) ChangeVirtualAccount(ctx context.Context, account, va string, change VirtualAccountChange) (VirtualAccount, error) {
	return write[VirtualAccount](ctx, c, http.MethodPatch, at("accounts", account, "virtual-accounts", va), change)
}

// DeleteVirtualAccount deletes an empty virtual account that is not the default one.
func (c *Client) DeleteVirtualAccount(ctx context.Context, account, va string) error {
	return order(ctx, c, http.MethodDelete, at("accounts", account, "virtual-accounts", va))
}

// CreateToken makes a registration token; only this answer has its text.
func (c *Client) CreateToken(ctx context.Context, account, va string, token NewToken) (Token, error) {
	return write[Token](ctx, c, http.MethodPost, at("accounts", account, "virtual-accounts", va, "tokens"), token)
}

// Tokens lists the registration tokens of an account, or of one virtual account when va is not empty.
func (c *Client) Tokens(ctx context.Context, account, va string) iter.Seq2[Token, error] {
	if va != "" {
		return pages[Token](ctx, c, at("accounts", account, "virtual-accounts", va, "tokens"), nil)
	}
	return pages[Token](ctx, c, at("accounts", account, "tokens"), nil)
}

// Token finds a registration token of an account by id.
func (c *Client) Token(ctx context.Context, account, id string) (Token, error) {
	return get[Token](ctx, c, at("accounts", account, "tokens", id), nil)
}

// RevokeToken stops new registrations with a token.
func (c *Client) RevokeToken(ctx context.Context, account, id string) error {
	return order(ctx, c, http.MethodPost, at("accounts", account, "tokens", id, "revoke"))
}

// RemoveToken takes a token off the list, which stops new registrations too.
func (c *Client) RemoveToken(ctx context.Context, account, id string) error {
	return order(ctx, c, http.MethodDelete, at("accounts", account, "tokens", id))
}

// ImportOrders puts the orders of a file into the account that they name, one after the other: a JSON object, an array of
// them, or CSV. The first refusal ends it; what was imported before stays, and importing it again changes nothing.
func (c *Client) ImportOrders(ctx context.Context, account string, file []byte) ([]Order, error) {
	kind := "text/csv"
	if start := bytes.TrimSpace(bytes.TrimPrefix(file, []byte("\xef\xbb\xbf"))); len(start) > 0 && (start[0] == '{' || start[0] == '[') {
		kind = "application/json"
	}
	list, err := send[List[Order]](ctx, c, http.MethodPost, at("accounts", account, "orders"), nil, kind, file)
	return list.Items, err
}

// Orders lists the orders of an account in the order in which they came.
func (c *Client) Orders(ctx context.Context, account string) iter.Seq2[Order, error] {
	return pages[Order](ctx, c, at("accounts", account, "orders"), nil)
}

// Order finds an order by id or number.
func (c *Client) Order(ctx context.Context, account, ref string) (Order, error) {
	return get[Order](ctx, c, at("accounts", account, "orders", ref), nil)
}

// Licenses lists stock and use of an account, or of one virtual account when va is not empty.
func (c *Client) Licenses(ctx context.Context, account, va string) iter.Seq2[License, error] {
	return pages[License](ctx, c, at("accounts", account, "licenses"), query("virtualAccount", va))
}

// License lists the rows of one tag: one for each virtual account that holds or uses it.
func (c *Client) License(ctx context.Context, account, tag, va string) iter.Seq2[License, error] {
	return pages[License](ctx, c, at("accounts", account, "licenses", tag), query("virtualAccount", va))
}

// Lots lists what the virtual accounts hold, lot by lot.
func (c *Client) Lots(ctx context.Context, account, va string) iter.Seq2[Lot, error] {
	return pages[Lot](ctx, c, at("accounts", account, "lots"), query("virtualAccount", va))
}

// Transfer moves licenses between two virtual accounts, all or nothing.
func (c *Client) Transfer(ctx context.Context, account string, t Transfer) (Transferred, error) {
	return write[Transferred](ctx, c, http.MethodPost, at("accounts", account, "transfers"), t)
}

// Instances lists the product instances of an account, removed ones included, or those of one virtual account.
func (c *Client) Instances(ctx context.Context, account, va string) iter.Seq2[Instance, error] {
	return pages[Instance](ctx, c, at("accounts", account, "instances"), query("virtualAccount", va))
}

// Instance finds a product instance by id, UDI, serial number or host name.
func (c *Client) Instance(ctx context.Context, account, ref string) (Instance, error) {
	return get[Instance](ctx, c, at("accounts", account, "instances", ref), nil)
}

// RemoveInstance removes a product instance; its licenses are free at once. One that holds a reservation needs its return code.
func (c *Client) RemoveInstance(ctx context.Context, account, ref, returnCode string) error {
	_, err := send[struct{}](ctx, c, http.MethodDelete, at("accounts", account, "instances", ref), query("returnCode", returnCode), "", nil)
	return err
}

// MoveInstance moves a product instance with what it uses to another virtual account.
func (c *Client) MoveInstance(ctx context.Context, account, ref, va string) (Instance, error) {
	return write[Instance](ctx, c, http.MethodPost, at("accounts", account, "instances", ref, "move"), InstanceMove{VirtualAccount: va})
}

// SettleInstance says that one copy of a product instance is at work, and takes the mark of two from it.
func (c *Client) SettleInstance(ctx context.Context, account, ref string) (Instance, error) {
	return write[Instance](ctx, c, http.MethodPost, at("accounts", account, "instances", ref, "settle"), struct{}{})
}

// Events lists an account's events, the oldest first.
func (c *Client) Events(ctx context.Context, account string) iter.Seq2[Event, error] {
	return pages[Event](ctx, c, at("accounts", account, "events"), nil)
}

// VerifyEvents checks an account's event chain and its books.
func (c *Client) VerifyEvents(ctx context.Context, account string) (Verification, error) {
	return get[Verification](ctx, c, at("accounts", account, "events", "verification"), nil)
}

// WriteReport writes a report to w as csv or json, while it comes. Zero times leave the period open.
func (c *Client) WriteReport(ctx context.Context, w io.Writer, account, kind, format string, from, to time.Time) error {
	q := query("format", format, "from", instant(from), "to", instant(to))
	resp, err := c.do(ctx, http.MethodGet, at("accounts", account, "reports", kind), q, "", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(w, resp.Body); err != nil {
		return fmt.Errorf("copy report %s: %w", kind, err)
	}
	return nil
}

// EnableConference registers the conference engine of an account; again with the same virtual account is no error.
func (c *Client) EnableConference(ctx context.Context, account, va string) (Conference, error) {
	return write[Conference](ctx, c, http.MethodPut, at("accounts", account, "conference"), Conference{VirtualAccount: va})
}

// CreateBridge makes a receiver; only this answer has its address.
func (c *Client) CreateBridge(ctx context.Context, account string, bridge NewBridge) (Bridge, error) {
	return write[Bridge](ctx, c, http.MethodPost, at("accounts", account, "conference", "bridges"), bridge)
}

// Bridges lists the receivers of an account.
func (c *Client) Bridges(ctx context.Context, account string) iter.Seq2[Bridge, error] {
	return pages[Bridge](ctx, c, at("accounts", account, "conference", "bridges"), nil)
}

// MeetingFilter chooses meetings; zero fields choose all.
type MeetingFilter struct {
	From, To time.Time // meetings that began in [From, To)
	Running  bool      // only those that run now
}

// Meetings lists meetings with their segments and reasons, the newest first, without participants.
func (c *Client) Meetings(ctx context.Context, account string, f MeetingFilter) iter.Seq2[Meeting, error] {
	q := query("from", instant(f.From), "to", instant(f.To))
	if f.Running {
		q.Set("running", "true")
	}
	return pages[Meeting](ctx, c, at("accounts", account, "conference", "meetings"), q)
}

// Meeting finds a meeting by id, with its participants.
func (c *Client) Meeting(ctx context.Context, account, id string) (Meeting, error) {
	return get[Meeting](ctx, c, at("accounts", account, "conference", "meetings", id), nil)
}

// ConferenceUsage lists the highest use per hour and license.
func (c *Client) ConferenceUsage(ctx context.Context, account string, from, to time.Time) iter.Seq2[HourUse, error] {
	return pages[HourUse](ctx, c, at("accounts", account, "conference", "usage"), query("from", instant(from), "to", instant(to)))
}

// ImportDirectory replaces the directory by a directory file (Directory as JSON).
func (c *Client) ImportDirectory(ctx context.Context, account string, file []byte) (DirectorySummary, error) {
	return send[DirectorySummary](ctx, c, http.MethodPut, at("accounts", account, "conference", "directory"), nil, "application/json", file)
}

// DirectorySummary says which directory is in force.
func (c *Client) DirectorySummary(ctx context.Context, account string) (DirectorySummary, error) {
	return get[DirectorySummary](ctx, c, at("accounts", account, "conference", "directory"), nil)
}
