package console

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/satellite"
)

// satellitesPage is what the page shows: at an authority its satellites, at a satellite how it stands with its authority.
type satellitesPage struct {
	list    []satellite.Satellite
	status  *satellite.Status // nil at an authority
	preview string
	token   string // of a satellite that was just made
	name    string
	applied *satellite.Applied // of an answer that was just applied
	online  bool               // it synchronizes over the network, too
}

// satellites draws the page of synchronization.
func (c *console) satellites(v *visit) (sheet, error) { return c.satellitesWith(v, satellitesPage{}) }

func (c *console) satellitesWith(v *visit, p satellitesPage) (sheet, error) {
	var err error
	if c.Satellite.IsSatellite() {
		status, err := c.Satellite.Status(v.Context(), v.who, v.account.ID)
		if err != nil {
			return sheet{}, err
		}
		text, err := c.Satellite.Preview(v.Context(), v.who, v.account.ID)
		if err != nil {
			return sheet{}, err
		}
		p.status, p.preview, p.online = &status, shortPreview(string(text)), c.SyncNow != nil
		return sheet{title: "Synchronization", tab: "satellites", body: syncBody(v, p)}, nil
	}
	p.list, err = c.Satellite.List(v.Context(), v.who, v.account.ID)
	return sheet{title: "Satellites", tab: "satellites", body: satellitesBody(v, p)}, err
}

// maxPreview is how much of what would leave the site stands on the page; the whole of it is downloaded.
const maxPreview = 64 << 10

func shortPreview(text string) string {
	if len(text) <= maxPreview {
		return text
	}
	return text[:strings.LastIndexByte(text[:maxPreview], '\n')+1] + "# … download the preview to see the rest\n"
}

// actOnSatellites does what a form of the page asks for.
func (c *console) actOnSatellites(v *visit) (sheet, error) {
	act := v.PathValue("act")
	upload := act == "answer" || act == "apply"
	var file []byte
	var err error
	if upload {
		file, err = v.upload()
	} else {
		err = v.form()
	}
	if err != nil {
		return sheet{}, err
	}
	ctx, account, name := v.Context(), v.account.ID, v.PostFormValue("name")
	switch act {
	case "create":
		made, token, err := c.Satellite.Create(ctx, v.who, account, satellite.NewSatellite{Name: name})
		if err != nil {
			return sheet{}, err
		}
		return c.satellitesWith(v, satellitesPage{token: token.Reveal(), name: made.Name})
	case "invite":
		found, token, err := c.Satellite.Invite(ctx, v.who, account, name, 0)
		if err != nil {
			return sheet{}, err
		}
		return c.satellitesWith(v, satellitesPage{token: token.Reveal(), name: found.Name})
	case "remove":
		if err := v.sure(); err != nil {
			return sheet{}, err
		}
		_, err := c.Satellite.Remove(ctx, v.who, account, name, v.PostFormValue("lost") != "")
		return sheet{goTo: v.path("/satellites")}, err
	case "settle":
		_, err := c.Satellite.Settle(ctx, v.who, account, name)
		return sheet{goTo: v.path("/satellites")}, err
	case "answer":
		answer, err := c.Satellite.Answer(ctx, file, satellite.File)
		if answer == nil {
			return sheet{}, err
		}
		return sheet{file: answer, fileName: "answer.txt"}, nil // a signed refusal is carried back like any answer
	case "now":
		return c.syncNow(v)
	case "preview":
		text, err := c.Satellite.Preview(ctx, v.who, account)
		return sheet{file: text, fileName: "preview.txt"}, err
	case "export":
		text, err := c.Satellite.Export(ctx, v.who, account, satellite.File)
		return sheet{file: text, fileName: "synchronization.txt"}, err
	case "apply":
		done, err := c.Satellite.Apply(ctx, v.who, account, file, satellite.File)
		if err != nil {
			return sheet{}, err
		}
		return c.satellitesWith(v, satellitesPage{applied: &done})
	case "privacy":
		var keep []string
		for _, p := range []string{satellite.PrivateHosts, satellite.PrivateAddresses} {
			if v.PostFormValue(p) != "" {
				keep = append(keep, p)
			}
		}
		return sheet{goTo: v.path("/satellites")}, c.Satellite.SetPrivacy(ctx, v.who, account, keep)
	}
	return sheet{}, license.NotFound("page", act)
}

// syncNow synchronizes over the network and shows what came of it.
func (c *console) syncNow(v *visit) (sheet, error) {
	if c.SyncNow == nil {
		return sheet{}, license.NotFound("page", "now")
	}
	account, err := c.Authority.Scope(v.Context(), v.who, access.Manage, v.account.ID)
	if err != nil {
		return sheet{}, err
	}
	done, err := c.SyncNow(v.Context(), v.who, account)
	if err != nil {
		return sheet{}, err
	}
	return c.satellitesWith(v, satellitesPage{applied: &done})
}

// upload reads the file of a form, within the bound of synchronization files.
func (v *visit) upload() ([]byte, error) {
	v.Body = http.MaxBytesReader(nil, v.Body, satellite.MaxFile+64<<10)
	f, _, err := v.FormFile("file")
	if err != nil {
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			return nil, license.Refuse(license.KindTooLarge, "too-large", "choose the file that the other side wrote", "the file is larger than any of ours")
		}
		return nil, license.Refuse(license.KindInvalid, "bad-form", "choose a file and press the button again", "no file came with the form")
	}
	defer func() { _ = f.Close() }() // nothing was written
	return io.ReadAll(io.LimitReader(f, satellite.MaxFile+1))
}

// removal says what removing a satellite does.
func removal(s satellite.Satellite) string {
	text := "Its virtual accounts are to be free, and its licenses to come back. Products at it work on."
	if s.Reserved > 0 {
		text += " Reservations there hold " + strconv.FormatInt(s.Reserved, 10) + " of them: these come back when their products return them."
	}
	return text
}

// afterRemoval says what is so once a satellite is removed, and what may be done.
func afterRemoval() string {
	return "Its virtual accounts and their licenses count here again. Products there work on; what they use counts nowhere. To count it, register them here, " +
		"or make a satellite with these virtual accounts (`tally satellite create NAME -V VA`) and join there with its token (`tally sync join TOKENFILE`)."
}

func satelliteTone(s license.SatelliteState) tone {
	switch s {
	case license.SatelliteOK:
		return good
	case license.SatelliteDue:
		return alert
	case license.SatelliteOverdue:
		return bad
	}
	return quiet
}

// wayWord says over which way a synchronization came.
func wayWord(w satellite.Way) string {
	switch w {
	case satellite.Network:
		return " over the network"
	case satellite.File:
		return " by files"
	}
	return ""
}

// outcome words what became of an applied answer.
func (p satellitesPage) outcome() string {
	a := p.applied
	switch {
	case a.Removed:
		return "The authority has removed this satellite. Products work on."
	case a.Restored:
		return "The authority knows more than this database, which was restored or lost. The next file synchronizes everything: download it now."
	case a.Old:
		return "Nothing changed: this answer, or a newer one, was applied before."
	}
	return "Synchronized: " + counted(a.Arrived, "license", "licenses") + " arrived, " + counted(a.GivenBack, "license was", "licenses were") + " given back."
}

func (p satellitesPage) keeps(what string) bool {
	for _, k := range p.status.Privacy {
		if k == what {
			return true
		}
	}
	return false
}
