package local

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tallystick/tallystick/agent"
	"github.com/tallystick/tallystick/internal/license"
)

// The small interface: the addresses and documents below /api/v0 that existing product tooling of this field calls (smart
// licensing, section 8.3). Its callers start something and ask for the status until it is as they want it; refusals are 400.

const small = "/api/v0"

func (f *Face) smallRoutes() []route {
	const licensing = small + "/licensing"
	rows := []route{
		{"GET", small + "/authok", f.smallKnown},
		{"GET", small + "/authentication", f.smallWho},
		{"GET", licensing, f.smallStatus},
		{"GET", licensing + "/tech_support", f.smallSupport},
		{"PUT", licensing + "/authorization/renew", f.smallRenewAuthorization},
		{"PUT", licensing + "/transport", f.smallTransport},
		{"PUT", licensing + "/product_license", f.smallProductLicense},
		{"POST", licensing + "/registration", f.smallRegister},
		{"PUT", licensing + "/registration/renew", f.smallRenewIdentity},
		{"DELETE", licensing + "/deregistration", f.smallDeregister},
		{"GET", licensing + "/features", f.smallFeatures},
		{"PATCH", licensing + "/features", f.smallUpdateFeatures},
	}
	for i := range rows {
		rows[i].serve = smallAnswer(rows[i].serve)
	}
	return rows
}

// smallAnswer words refusals as the callers of the small interface know them.
func smallAnswer(serve func(http.ResponseWriter, *http.Request) error) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		if err := serve(w, r); err != nil {
			writeSmall(w, err)
		}
		return nil
	}
}

// readExactly reads a body that is one value, which may not be null.
func readExactly[T any](r *http.Request, into *T) error {
	var value *T
	if err := read(r, &value); err != nil {
		return err
	}
	if value == nil {
		return license.Refuse(license.KindInvalid, "malformed", "send a value", "the body is null")
	}
	*into = *value
	return nil
}

// writeSmall words a refusal as such callers know it.
func writeSmall(w http.ResponseWriter, err error) {
	p, _ := problemOf(err)
	if p.Status != http.StatusServiceUnavailable && p.Status != http.StatusInternalServerError {
		p.Status = http.StatusBadRequest
	}
	write(w, p.Status, map[string]any{"code": p.Status, "description": strings.TrimSpace(p.Detail + ". " + p.Hint)})
}

func (f *Face) smallKnown(w http.ResponseWriter, _ *http.Request) error {
	return reply(w, "OK", nil)
}

func (f *Face) smallWho(w http.ResponseWriter, r *http.Request) error {
	token, _ := bearer(r)
	return reply(w, map[string]any{"username": "tally", "id": "tally", "token": token, "admin": true, "error": nil}, nil)
}

// smallTime is how the small interface writes an instant: null for none.
func smallTime(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(time.DateTime)
}

// smallAttempt is how something was tried and when it is tried next.
func smallAttempt(last agent.Attempt, next time.Time) map[string]any {
	doc := map[string]any{"succeeded": nil, "attempted": smallTime(last.At), "scheduled": smallTime(next), "status": nil, "failure": nil, "success": "FAILED"}
	switch last.Outcome {
	case agent.Succeeded:
		doc["succeeded"], doc["status"], doc["success"] = smallTime(last.At), agent.Succeeded, "SUCCESS"
	case agent.Failed:
		doc["status"], doc["failure"] = agent.Failed, last.Reason
	}
	return doc
}

// smallRegistration is the status of a registration in the words of the small interface.
func smallRegistration(s agent.Status) string {
	r := s.Registration
	if v := s.Reservation; v != nil && v.State == agent.ReservationRequested {
		return "RESERVATION_IN_PROGRESS"
	}
	switch r.Status {
	case agent.Registered, agent.RegistrationUnknown, agent.RegisteredSpecific, agent.RegisteredUniversal:
		return "COMPLETED"
	case agent.Registering:
		if r.Initial.Outcome == agent.Failed {
			return "RETRY_IN_PROGRESS"
		}
		return "IN_PROGRESS"
	}
	if r.Status == agent.Unregistered && r.Initial.Outcome == agent.Failed {
		return "FAILED"
	}
	return "NOT_REGISTERED"
}

// smallAuthorization is the status of an authorization in the words of the small interface. A registered product that uses
// nothing lacks nothing.
func smallAuthorization(status string, registered bool) string {
	switch license.AuthorizationStatus(status) {
	case license.StatusNone:
		if registered {
			return "IN_COMPLIANCE"
		}
		return "INIT"
	case license.StatusEvaluation:
		return "EVAL"
	case license.StatusEvalExpired:
		return "EVAL_EXPIRED"
	case license.StatusAuthorized:
		return "IN_COMPLIANCE"
	case license.StatusOutOfCompliance:
		return "OUT_OF_COMPLIANCE"
	case license.StatusExpired:
		return "AUTHORIZATION_EXPIRED"
	case license.StatusReserved:
		return "RESERVED_AUTHORIZED"
	case license.StatusNotReserved:
		return "NOT_AUTHORIZED"
	}
	return "WAITING"
}

func (f *Face) smallStatus(w http.ResponseWriter, r *http.Request) error {
	s, err := f.Agent.Status(r.Context())
	if err != nil {
		return err
	}
	registered := s.Registration.Status == agent.Registered
	var proxy struct {
		Server *string `json:"server"`
		Port   *int    `json:"port"`
	}
	if u, err := url.Parse(s.Route.Proxy); err == nil && s.Route.Proxy != "" {
		host := u.Hostname()
		proxy.Server = &host
		if port, err := strconv.Atoi(u.Port()); err == nil {
			proxy.Port = &port
		}
	}
	reg, auth := s.Registration, s.Authorization
	mode := s.Reservation != nil && s.Reservation.Enabled
	authorized := smallAuthorization(auth.Status, registered)
	if mode && s.Reservation.State != agent.ReservationReserved {
		authorized = "NOT_AUTHORIZED"
	}
	return reply(w, map[string]any{
		"udi": s.UDI,
		"registration": map[string]any{
			"status": smallRegistration(s), "expires": smallTime(reg.ExpiresAt), "smart_account": none(reg.Account), "virtual_account": none(reg.VirtualAccount),
			"instance_name": cmp.Or(s.Product.Hostname, s.Product.Name), "register_time": smallAttempt(reg.Initial, reg.NextTry),
			"renew_time": smallAttempt(reg.LastRenewal, reg.NextRenewal),
		},
		"authorization": map[string]any{
			"status": authorized, "renew_time": smallAttempt(auth.LastAttempt, auth.NextAttempt), "expires": smallTime(auth.Deadline),
		},
		"reservation_mode": mode,
		"transport":        map[string]any{"ssms": none(s.Transport), "proxy": proxy, "default_ssms": none(s.Transport)},
		"features":         smallFeatures(s),
		"product_license":  map[string]any{"active": s.Product.Name, "is_enterprise": true},
	}, nil)
}

// none is text, or null.
func none(text string) any {
	if text == "" {
		return nil
	}
	return text
}

func smallFeatures(s agent.Status) []map[string]any {
	registered := s.Registration.Status == agent.Registered
	rows := []map[string]any{}
	for _, l := range s.Licenses {
		status := smallAuthorization(l.Status, registered)
		if l.Status == agent.Waiting {
			status = "WAITING"
		}
		rows = append(rows, map[string]any{
			"id": l.Tag, "name": cmp.Or(l.Name, l.Tag), "description": cmp.Or(l.Name, l.Tag), "in_use": l.Count, "status": status, "version": "1.0",
			"min": 0, "max": license.MaxQuantity, "minEndDate": nil, "maxEndDate": nil,
		})
	}
	return rows
}

func (f *Face) smallFeatures(w http.ResponseWriter, r *http.Request) error {
	s, err := f.Agent.Status(r.Context())
	return reply(w, smallFeatures(s), err)
}

// smallUpdateFeatures takes counts in both forms: {"tag": 3} and [{"id": "tag", "count": 3}].
func (f *Face) smallUpdateFeatures(w http.ResponseWriter, r *http.Request) error {
	var body json.RawMessage
	if err := read(r, &body); err != nil {
		return err
	}
	counts := map[string]*int64{}
	if json.Unmarshal(body, &counts) != nil {
		var rows []struct {
			ID    string `json:"id"`
			Count *int64 `json:"count"`
		}
		if err := json.Unmarshal(body, &rows); err != nil {
			return license.Refuse(license.KindInvalid, "malformed", `send [{"id": "cms-smp-plus", "count": 3}]`, "the features are not of the known form: %v", err)
		}
		for _, row := range rows {
			if _, twice := counts[row.ID]; twice {
				return license.Refuse(license.KindInvalid, "malformed", "name each feature once", "the feature %.100q comes twice", row.ID)
			}
			counts[row.ID] = row.Count
		}
	}
	if len(counts) == 0 {
		return license.Refuse(license.KindInvalid, "malformed", "name a feature and its count", "there is no feature to change")
	}
	usage := map[string]int64{}
	for tag, n := range counts {
		if n == nil {
			return license.Refuse(license.KindInvalid, "malformed", "give each feature a count", "the feature %.100q has no count", tag)
		}
		usage[tag] = *n
	}
	if err := f.Agent.SetUsages(r.Context(), usage); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (f *Face) smallSupport(w http.ResponseWriter, r *http.Request) error {
	s, err := f.Agent.Status(r.Context())
	if err != nil {
		return err
	}
	writeText(w, ShowTechSupport(s, f.Now()))
	return nil
}

// smallTransport sets the address, and the proxy if one is given. The kind of a route that stays a gateway stays.
func (f *Face) smallTransport(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		SSMS  *string `json:"ssms"`
		Proxy struct {
			Server *string `json:"server"`
			Port   *int    `json:"port"`
		} `json:"proxy"`
	}
	if err := read(r, &body); err != nil {
		return err
	}
	s, err := f.Agent.Status(r.Context())
	if err != nil {
		return err
	}
	route := agent.Route{Kind: agent.Direct, Address: s.Transport}
	if body.SSMS != nil {
		route.Address = *body.SSMS
	}
	if s.Route.Kind == agent.Gateway && s.Route.Address == strings.TrimRight(route.Address, "/") {
		route.Kind = agent.Gateway
	}
	set := f.Agent.SetRoute
	if body.Proxy.Server != nil {
		route.Kind, route.Proxy = agent.Proxy, *body.Proxy.Server
		if port := body.Proxy.Port; port != nil {
			if *port < 1 || *port > 65535 {
				return license.Refuse(license.KindInvalid, "bad-proxy", "a port is between 1 and 65535", "the proxy's port is %d", *port)
			}
			route.Proxy = strings.TrimRight(route.Proxy, "/") + ":" + strconv.Itoa(*port)
		}
		route.User, set = s.Route.User, f.Agent.SetRouteKeepingPassword
	}
	if err := set(r.Context(), route); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// smallProductLicense is refused: what a product is, its maker fixes at the first start.
func (f *Face) smallProductLicense(_ http.ResponseWriter, r *http.Request) error {
	var name string
	if err := read(r, &name); err != nil {
		return err
	}
	return license.Refuse(license.KindRefused, "identity-fixed", "say it with tally-agent init when the product is installed", "the kind of the product cannot be changed to %.100q here", name)
}

func (f *Face) smallRegister(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Token      string `json:"token"`
		Reregister bool   `json:"reregister"`
	}
	if err := read(r, &body); err != nil {
		return err
	}
	if body.Token == "" || len(body.Token) > 256 {
		return license.Refuse(license.KindInvalid, "bad-token", "copy the whole token again", "the token is missing or longer than 256 characters")
	}
	return f.begin(w, r, func(ctx context.Context) error { return f.Agent.Register(ctx, body.Token, body.Reregister) })
}

func (f *Face) smallRenewIdentity(w http.ResponseWriter, r *http.Request) error {
	return f.begin(w, r, f.Agent.RenewIdentity)
}

func (f *Face) smallRenewAuthorization(w http.ResponseWriter, r *http.Request) error {
	return f.begin(w, r, func(ctx context.Context) error {
		_, err := f.Agent.Report(ctx)
		return err
	})
}

// begin starts an exchange and answers 204 when it is done or goes on; the status tells how it ended. Only what could not
// even begin is refused.
func (f *Face) begin(w http.ResponseWriter, r *http.Request, exchange func(context.Context) error) error {
	select {
	case f.exchange <- struct{}{}:
	default:
		return license.Refuse(license.KindConflict, "exchange-under-way", "ask for the status until it has ended", "an exchange with the authority is under way")
	}
	done := make(chan error, 1)
	f.work.Go(func() {
		defer func() { <-f.exchange }()
		done <- exchange(f.ctx)
	})
	timer := time.NewTimer(outcomeWait)
	defer timer.Stop()
	select {
	case err := <-done:
		if e := license.AsError(err); e != nil && (e.Code == "not-registered" || e.Code == "no-transport" || e.Code == "not-initialized" || e.Code == "already-registered") {
			return err
		}
	case <-timer.C:
	case <-r.Context().Done():
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// smallDeregister answers 204 when the authority knows, and 202 when it could not be told in time.
func (f *Face) smallDeregister(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), outcomeWait)
	defer cancel()
	confirmed, err := f.Agent.Deregister(ctx)
	if err != nil {
		return err
	}
	if confirmed {
		w.WriteHeader(http.StatusNoContent)
	} else {
		w.WriteHeader(http.StatusAccepted)
	}
	return nil
}
