package console

import (
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/authority"
	"github.com/tallystick/tallystick/internal/license"
)

// States of a product instance that is gone, and of one that holds a reservation, as package authority names them.
const (
	stateRemoved  = "Removed"
	stateReserved = string(license.InstanceReserved)
)

// isEngine tells the conference engine's instance by the product id that package conference gives it.
func isEngine(in authority.Instance) bool { return strings.HasPrefix(in.UDI, "PID:TALLY-CONF,") }

// products lists the product instances, removed ones apart.
func (c *console) products(v *visit) (sheet, error) {
	list, next, err := c.Authority.Instances(v.Context(), v.who, v.account.ID, "", authority.Page{After: v.URL.Query().Get("after"), Limit: pageRows})
	if err != nil {
		return sheet{}, err
	}
	var present, removed []authority.Instance
	for _, in := range list {
		if in.State == stateRemoved {
			removed = append(removed, in)
		} else {
			present = append(present, in)
		}
	}
	held, err := c.holdings(v, present)
	return sheet{title: "Products", tab: "products", body: productsBody(v, present, removed, held, next)}, err
}

// holdings are the reservations of the products among list that hold one, by product. What a satellite made, the satellite
// shows.
func (c *console) holdings(v *visit, list []authority.Instance) (map[string]authority.Reservation, error) {
	held := map[string]authority.Reservation{}
	for _, in := range list {
		if in.State != stateReserved || in.Satellite != "" {
			continue
		}
		r, err := c.Authority.Reservation(v.Context(), v.who, v.account.ID, in.UDI)
		if err != nil {
			if e := license.AsError(err); e != nil && e.Kind == license.KindNotFound { // it was returned just now
				continue
			}
			return nil, err
		}
		held[in.ID] = r
	}
	return held, nil
}

// aboutOf is the line of what a product is and where it counts. One that holds a reservation never said its version.
func aboutOf(in authority.Instance) string {
	if in.Version == "" {
		return in.VirtualAccount
	}
	return "version " + in.Version + " · " + in.VirtualAccount
}

// tone is how a status looks; its word always stands beside it.
type tone string

const (
	good  tone = "good"
	bad   tone = "bad"
	alert tone = "alert"
	quiet tone = "quiet"
)

func complianceTone(s license.Compliance) tone {
	if s == license.OutOfCompliance {
		return bad
	}
	return good
}

func stateTone(state string) tone {
	switch state {
	case "Active":
		return good
	case "Overdue":
		return alert
	case "Expired", "Duplicate":
		return bad
	}
	return quiet
}

func authorizationTone(s license.AuthorizationStatus) tone {
	switch s {
	case license.StatusAuthorized:
		return good
	case license.StatusOutOfCompliance, license.StatusExpired, license.StatusEvalExpired:
		return bad
	}
	return quiet
}

// authorizationWord is the status in the words of lists, not in the capitals of a product's display.
func authorizationWord(s license.AuthorizationStatus) string {
	switch s {
	case "":
		return "No report yet"
	case license.StatusAuthorized:
		return "Authorized"
	case license.StatusOutOfCompliance:
		return "Out of compliance"
	case license.StatusExpired:
		return "Authorization expired"
	}
	return string(s)
}

// lastKnown is what a product did when its satellite spoke last.
func lastKnown(in authority.Instance) string {
	text := authorizationWord(in.Status)
	for _, u := range in.Usage {
		text += ", " + number(u.Count) + " " + u.Name
	}
	return text
}

// renewal is when the identity was last renewed; zero before the first time.
func renewal(in authority.Instance) time.Time {
	if in.RenewedAt.Equal(in.RegisteredAt) {
		return time.Time{}
	}
	return in.RenewedAt
}
