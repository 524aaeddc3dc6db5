package web

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/api"
	"github.com/tallystick/tallystick/internal/trust"
	"github.com/tallystick/tallystick/internal/wire"
)

// answerTo makes a code as the product does that has installed the authorization.
func answerTo(t *testing.T, r api.Reservation, kind trust.CodeKind) string {
	t.Helper()
	file, err := wire.CarriedReservation([]byte(r.AuthorizationCode))
	if err != nil || string(file) != r.AuthorizationFile {
		t.Fatalf("the line is not the file: %v", err)
	}
	said, err := wire.ParseReservation(file[:strings.Index(string(file), "-----BEGIN")])
	if err != nil {
		t.Fatal(err)
	}
	key, err := trust.ParseCodeKey(said.Key)
	if err != nil {
		t.Fatal(err)
	}
	code, err := key.Sign(kind, said.UDI(), said.Sequence, said.Version)
	if err != nil {
		t.Fatal(err)
	}
	return code.String()
}

func TestReservations(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	acme := w.account("acme.example")
	request := must(trust.NewRequestCode("PID:CMS-1000,SN:Z9", 1))(t).String()
	wanted := []api.ReservedQuantity{{Tag: "cms-smp-plus", Quantity: 2}}
	made := must(w.CreateReservation(ctx, acme.ID, api.NewReservation{RequestCode: request, Licenses: wanted}))(t)
	if made.State != "ISSUED" || made.RequestCode != request || len(made.Licenses) != 1 || made.Licenses[0].License == "" || made.Licenses[0].Quantity != 2 || made.AuthorizationCode == "" {
		t.Fatalf("create: got %+v", made)
	}
	if again := must(w.CreateReservation(ctx, acme.ID, api.NewReservation{RequestCode: request, Licenses: wanted}))(t); !again.Repeated || again.AuthorizationFile != made.AuthorizationFile {
		t.Errorf("create again: got %+v", again)
	}
	for _, ref := range []string{made.ID, request, made.UDI, "Z9", made.Instance} {
		if got := must(w.Reservation(ctx, acme.ID, ref))(t); got.ID != made.ID || got.AuthorizationFile != made.AuthorizationFile {
			t.Errorf("found by %s: got %+v", ref, got)
		}
	}
	if rows := must(api.Collect(w.Reservations(ctx, acme.ID)))(t); len(rows) != 1 || rows[0].AuthorizationCode != "" {
		t.Errorf("list: got %+v", rows)
	}
	confirmed := must(w.ConfirmReservation(ctx, acme.ID, made.ID, strings.ToLower(answerTo(t, made, trust.CodeConfirmation))))(t)
	if confirmed.State != "CONFIRMED" || confirmed.ConfirmedAt == nil {
		t.Errorf("confirm: got %+v", confirmed)
	}
	changed := must(w.UpdateReservation(ctx, acme.ID, made.ID, api.ReservationUpdate{Licenses: []api.ReservedQuantity{{Tag: "cms-smp-plus", Quantity: 1}}}))(t)
	if changed.State != "IN_TRANSIT" || changed.Version != 2 || changed.Licenses[0].Quantity != 1 || changed.Charged[0].Quantity != 2 || len(changed.Findings) != 1 {
		t.Errorf("update: got %+v", changed)
	}
	problem := func(err error, code string, status int) {
		t.Helper()
		if p, ok := errors.AsType[*api.Problem](err); !ok || p.Code != code || p.Status != status {
			t.Errorf("got %v, want %s with %d", err, code, status)
		}
	}
	_, err := w.ConfirmReservation(ctx, acme.ID, made.ID, "Q1")
	problem(err, "code-malformed", http.StatusBadRequest)
	_, err = w.CreateReservation(ctx, acme.ID, api.NewReservation{RequestCode: request, Licenses: append(wanted, wanted...)})
	problem(err, "tag-twice", http.StatusBadRequest)
	_, err = w.CreateReservation(ctx, acme.ID, api.NewReservation{RequestCode: must(trust.NewRequestCode("PID:U,SN:1", 1))(t).String(), Type: "UNIVERSAL"})
	problem(err, "universal-not-allowed", http.StatusUnprocessableEntity)
	problem(w.RemoveInstance(ctx, acme.ID, made.UDI, ""), "instance-reserved", http.StatusUnprocessableEntity)
	if in := must(w.Instance(ctx, acme.ID, "Z9"))(t); in.State != "Reserved" || in.ExpiresAt != nil || in.RemovedAt != nil {
		t.Errorf("instance: got %+v", in)
	}
	if err := w.RemoveInstance(ctx, acme.ID, made.UDI, answerTo(t, changed, trust.CodeReturn)); err != nil {
		t.Fatal(err)
	}
	returned := must(w.Reservation(ctx, acme.ID, made.ID))(t)
	if returned.State != "RETURNED" || returned.EndedAt == nil || returned.AuthorizationFile != "" || len(returned.Charged) != 0 {
		t.Errorf("returned: got %+v", returned)
	}
	if l := must(w.SetReservationLeave(ctx, acme.ID, api.ReservationLeave{Universal: true}))(t); l.Specific || !l.Universal {
		t.Errorf("leave: got %+v", l)
	}
	if l := must(w.ReservationLeave(ctx, acme.ID))(t); l.Specific || !l.Universal {
		t.Errorf("leave: got %+v", l)
	}
	universal := must(w.CreateReservation(ctx, acme.ID, api.NewReservation{RequestCode: must(trust.NewRequestCode("PID:U,SN:1", 1))(t).String(), Type: "UNIVERSAL"}))(t)
	if universal.Type != "UNIVERSAL" || len(universal.Lots) != 0 {
		t.Errorf("universal: got %+v", universal)
	}
	wish := must(w.AskRehost(ctx, acme.ID, universal.ID, api.NewRehost{RequestCode: must(trust.NewRequestCode("PID:U,SN:2", 1))(t).String(), Reason: "fire"}))(t)
	_, err = w.ApproveRehost(ctx, acme.ID, wish.ID)
	problem(err, "second-person", http.StatusForbidden)
	if got := must(w.RejectRehost(ctx, acme.ID, wish.ID))(t); got.State != "REJECTED" {
		t.Errorf("reject: got %+v", got)
	}
	if rows := must(api.Collect(w.Rehosts(ctx, acme.ID)))(t); len(rows) != 1 || rows[0].NewUDI != "PID:U,SN:2" {
		t.Errorf("rehosts: got %+v", rows)
	}
	_, err = w.ReleaseReservation(ctx, acme.ID, universal.ID)
	problem(err, "not-quarantined", http.StatusConflict)
}
