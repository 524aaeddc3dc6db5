package store

import (
	"context"

	"github.com/tallystick/tallystick/internal/store/db"
)

var putBridgeSnapshots = &insertion{"INSERT INTO bridge_snapshot (account_id, cluster_id, taken_at, host_id, pmp, pmp_assigned, smp_aud, smp_ptp, smp_full, rec, str)",
	" ON CONFLICT (account_id, cluster_id, host_id, taken_at) DO NOTHING"}

// PutBridgeSnapshots keeps what call bridges counted; what is kept already stays (domain rule 25).
func (tx *Tx) PutBridgeSnapshots(ctx context.Context, all []db.BridgeSnapshot) error {
	return insertRows(ctx, tx, putBridgeSnapshots, all, func(v []any, s *db.BridgeSnapshot) []any {
		return append(v, s.AccountID, s.ClusterID, s.TakenAt, s.HostID, s.Pmp, s.PmpAssigned, s.SmpAud, s.SmpPtp, s.SmpFull, s.Rec, s.Str)
	})
}
