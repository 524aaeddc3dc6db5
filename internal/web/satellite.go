package web

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/license"
	"github.com/tallystick/tallystick/internal/satellite"
)

// sync answers a satellite's file: the same bytes that people carry, with the signed answer as the body. As with products, the
// status is for people and proxies, and the satellite reads what is signed.
func (s *server) sync(w http.ResponseWriter, r *http.Request) {
	body, err := s.readBody(r, satellite.MaxFile)
	var answer []byte
	if err == nil {
		answer, err = s.Satellite.Answer(r.Context(), body, satellite.Network)
	}
	status := http.StatusOK
	if err != nil {
		p := s.problemOf(r.Context(), w.Header().Get(requestHeader), err)
		if answer == nil {
			writeProblem(w, p)
			return
		}
		status = p.Status
	}
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(answer)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(answer) //nolint:gosec // signed text; the satellite asks again when it was lost
}

// syncBody says that the body is a synchronization file.
func syncBody(op *huma.Operation) {
	op.RequestBody = &huma.RequestBody{Content: map[string]*huma.MediaType{"text/plain": {Schema: &huma.Schema{Type: huma.TypeString, Description: "The file as it was written."}}}}
	op.SkipValidateBody = true // its signature says better what is wrong
	op.MaxBodyBytes = satellite.MaxFile + 1
	op.BodyReadTimeout = time.Minute
}

func findingOf(f license.Fact) api.Finding {
	return api.Finding{Code: f.Code, Text: f.Text(), Tag: f.Tag, Lot: f.Lot, Name: f.Name, Count: f.Count, Of: f.Of, Since: optional(f.Since)}
}

func satelliteOf(s satellite.Satellite) api.Satellite {
	own := func(list []string) []string { return append([]string{}, list...) }
	return api.Satellite{
		ID: s.ID, Name: s.Name, State: string(s.State), Leaving: s.Leaving, VirtualAccounts: own(s.VirtualAccounts), Instances: s.Instances, InTransit: s.InTransit,
		Consigned: s.Consigned, Reserved: s.Reserved, Asked: s.Asked, Hosts: own(s.Hosts), Site: s.Site, Program: s.Program, EverySeconds: int64(s.Every / time.Second), Epoch: s.Epoch, Number: s.Number,
		CreatedAt: s.CreatedAt, JoinedAt: optional(s.JoinedAt), SyncedAt: optional(s.SyncedAt), SyncedBy: string(s.SyncedBy), IdentityEndsAt: optional(s.IdentityEndsAt),
		RemovedAt: optional(s.RemovedAt), RemovedBy: s.RemovedBy, Findings: each(s.Findings, findingOf),
	}
}

func (s *server) createSatellite(ctx context.Context, in *struct {
	AccountPath
	Body api.NewSatellite
}) (*reply[api.Satellite], error) {
	made, token, err := s.Satellite.Create(ctx, in.Who, in.Account, satellite.NewSatellite{Name: in.Body.Name, VirtualAccounts: in.Body.VirtualAccounts, Days: in.Body.Days})
	out := satelliteOf(made)
	out.Token = token.Reveal()
	return answerWith(out, err)
}

func (s *server) listSatellites(ctx context.Context, in *struct {
	AccountPath
	Paging
}) (*reply[api.List[api.Satellite]], error) {
	after, err := in.after(idPart("sat"))
	if err != nil {
		return nil, err
	}
	rows, err := s.Satellite.List(ctx, in.Who, in.Account)
	rows, next := cut(rows, after, in.Limit, func(r satellite.Satellite) string { return r.ID })
	return listed(rows, next, err, satelliteOf)
}

// SatellitePath is the input of what is done to a satellite.
type SatellitePath struct {
	AccountPath
	Satellite string `path:"satellite" doc:"Satellite, by id or name."`
}

func (s *server) showSatellite(ctx context.Context, in *SatellitePath) (*reply[api.Satellite], error) {
	found, err := s.Satellite.Show(ctx, in.Who, in.Account, in.Satellite)
	return answerWith(satelliteOf(found), err)
}

func (s *server) inviteSatellite(ctx context.Context, in *struct {
	SatellitePath
	Body api.SatelliteInvitation
}) (*reply[api.Satellite], error) {
	found, token, err := s.Satellite.Invite(ctx, in.Who, in.Account, in.Satellite, in.Body.Days)
	out := satelliteOf(found)
	out.Token = token.Reveal()
	return answerWith(out, err)
}

func (s *server) removeSatellite(ctx context.Context, in *struct {
	SatellitePath
	Lost bool `query:"lost" doc:"Remove it at once, as it will not be heard again."`
}) (*reply[api.Satellite], error) {
	found, err := s.Satellite.Remove(ctx, in.Who, in.Account, in.Satellite, in.Lost)
	return answerWith(satelliteOf(found), err)
}

func (s *server) settleSatellite(ctx context.Context, in *SatellitePath) (*reply[api.Satellite], error) {
	found, err := s.Satellite.Settle(ctx, in.Who, in.Account, in.Satellite)
	return answerWith(satelliteOf(found), err)
}

func (s *server) answerSatellite(ctx context.Context, in *struct {
	AccountPath
	RawBody []byte
}) (*reply[api.SyncFile], error) {
	if _, err := s.Authority.Scope(ctx, in.Who, access.Manage, in.Account); err != nil {
		return nil, err
	}
	file, err := s.Satellite.Answer(ctx, in.RawBody, satellite.File)
	out := api.SyncFile{File: string(file)}
	if no := license.AsError(err); no != nil && file != nil {
		out.Refused, err = &api.SyncRefused{Code: no.Code, Message: no.Message, Hint: no.Hint}, nil
	}
	return answerWith(out, err)
}

func (s *server) syncStatus(ctx context.Context, in *AccountPath) (*reply[api.SyncStatus], error) {
	st, err := s.Satellite.Status(ctx, in.Who, in.Account)
	return answerWith(api.SyncStatus{
		Satellite: st.SatelliteID, Name: st.Satellite, State: string(st.State), Leaving: st.Leaving, Removed: st.Removed, Upstream: s.Upstream, Root: st.Root, Epoch: st.Epoch, Number: st.Number,
		Answered: st.Answered, EverySeconds: int64(st.Every / time.Second), JoinedAt: optional(st.JoinedAt), ExportedAt: optional(st.ExportedAt), SyncedAt: optional(st.SyncedAt),
		SyncedBy: string(st.SyncedBy), TriedAt: optional(st.TriedAt), Trouble: st.Trouble, IdentityEndsAt: st.IdentityEndsAt, Privacy: append([]string{}, st.Privacy...),
		Findings: each(st.Findings, findingOf),
	}, err)
}

func (s *server) setSync(ctx context.Context, in *struct {
	AccountPath
	Body api.SyncSettings
}) (*reply[api.SyncStatus], error) {
	if err := s.Satellite.SetPrivacy(ctx, in.Who, in.Account, in.Body.Privacy); err != nil {
		return nil, err
	}
	return s.syncStatus(ctx, &in.AccountPath)
}

func (s *server) previewSync(ctx context.Context, in *AccountPath) (*reply[api.SyncPreview], error) {
	text, err := s.Satellite.Preview(ctx, in.Who, in.Account)
	return answerWith(api.SyncPreview{Text: string(text)}, err)
}

func (s *server) exportSync(ctx context.Context, in *AccountPath) (*reply[api.SyncFile], error) {
	file, err := s.Satellite.Export(ctx, in.Who, in.Account, satellite.File)
	return answerWith(api.SyncFile{File: string(file)}, err)
}

func appliedOf(a satellite.Applied) api.SyncApplied {
	return api.SyncApplied{Number: a.Number, Old: a.Old, Restored: a.Restored, Removed: a.Removed, Arrived: a.Arrived, GivenBack: a.GivenBack, Findings: each(a.Findings, findingOf)}
}

func (s *server) applySync(ctx context.Context, in *struct {
	AccountPath
	RawBody []byte
}) (*reply[api.SyncApplied], error) {
	done, err := s.Satellite.Apply(ctx, in.Who, in.Account, in.RawBody, satellite.File)
	return answerWith(appliedOf(done), err)
}

var errNoUpstream = license.Refuse(license.KindRefused, "no-network-upstream", "start the server with --upstream URL, or carry files: `tally sync export`",
	"this server synchronizes with nobody over the network")

func (s *server) syncNow(ctx context.Context, in *AccountPath) (*reply[api.SyncApplied], error) {
	if s.SyncNow == nil {
		return nil, errNoUpstream
	}
	done, err := s.SyncNow(ctx, in.Who, in.Account)
	return answerWith(appliedOf(done), err)
}
