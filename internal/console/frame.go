package console

import (
	"net/url"
	"time"
)

// frame is what stands around the body of a page.
type frame struct {
	*visit
	sheet
	style, version string
}

// tab is one entry of an account's navigation.
type tab struct{ key, name, path string }

func tabs() []tab {
	return []tab{
		{"licenses", "Licenses", ""},
		{"meetings", "Meetings", "/meetings"},
		{"bridges", "Bridges", "/bridges"},
		{"directory", "Directory", "/directory"},
		{"products", "Products", "/products"},
		{"reservations", "Reservations", "/reservations"},
		{"satellites", "Satellites", "/satellites"},
		{"usage", "Usage", "/usage"},
		{"events", "Events", "/events"},
	}
}

func (f frame) signedIn() bool { return f.who.ID != "" }

// wholeTitle names the page in the browser's list: the narrow before the wide.
func (f frame) wholeTitle() string {
	if f.account.Name != "" {
		return f.title + " · " + f.account.Name + " · Tallystick"
	}
	return f.title + " · Tallystick"
}

// path is an address below the account of the visit.
func (v *visit) path(rest string) string { return "/accounts/" + v.account.ID + rest }

// with is the address of this page with one value of its query changed, and back at the first page of its list; an empty
// value is taken away.
func (v *visit) with(key, value string) string {
	q := url.Values{}
	for k, values := range v.URL.Query() {
		if k != "after" {
			q[k] = values
		}
	}
	q.Del(key)
	if value != "" {
		q.Set(key, value)
	}
	if len(q) == 0 {
		return v.URL.Path
	}
	return v.URL.Path + "?" + q.Encode()
}

// ago is relative to the instant of the visit.
func (v *visit) ago(t time.Time) string { return relative(t, v.now) }
