package license

import (
	"cmp"
	"fmt"
	"time"
)

// SatelliteState is what an authority shows of a satellite (smart licensing, section 13.8). It says how long ago the last good
// synchronization was, and moves nothing by itself: what a satellite holds it keeps until it lets go of it or an administrator
// removes it, and no product stops.
type SatelliteState string

// The states of a satellite.
const (
	SatellitePending SatelliteState = "PENDING" // not synchronized yet
	SatelliteOK      SatelliteState = "OK"      // up to 30 days ago
	SatelliteDue     SatelliteState = "DUE"     // 30 to 60 days ago
	SatelliteOverdue SatelliteState = "OVERDUE" // 60 to 90 days ago
	SatelliteRemoved SatelliteState = "REMOVED" // more than 90 days ago, or by an administrator
)

// How long after the last good synchronization the states of a satellite begin (smart licensing, section 13.8), and how long
// before its end an identity that was not renewed is a finding (rule 51).
const (
	SyncDueAfter     = 30 * 24 * time.Hour
	SyncOverdueAfter = 60 * 24 * time.Hour
	SyncRemovedAfter = 90 * 24 * time.Hour
	SyncStaleAfter   = 365 * 24 * time.Hour
	identityWarning  = 60 * 24 * time.Hour
)

// The codes of facts about synchronization.
const (
	FactSyncNever    = "sync-never"         // no synchronization yet
	FactSyncDue      = "sync-due"           // Count days without one, Of days are left
	FactSyncOverdue  = "sync-overdue"       // the same, from 60 days on
	FactSyncGone     = "sync-expired"       // Count days without one, more than 90
	FactSyncStale    = "entitlements-stale" // Count days, more than a year: what was bought since is not known
	FactIdentityEnds = "sync-identity-ends" // Count days until the satellite's certificate ends, at Since
	FactSyncRestored = "sync-restored"      // its database was lost or restored, Of times until it is settled: epoch Count began at Since
	FactSyncForgot   = "sync-forgot"        // Count of the tag were reserved there before that, Of are since
	FactSyncMore     = "sync-claims-more"   // it says to have Count of the lot, Of were given
	FactSyncForeign  = "sync-foreign"       // it speaks of Name, which is not its own
	FactSyncWaiting  = "sync-waiting"       // Count of the tag are asked back and have not come; reservations there hold Of of them
	FactSyncLeaving  = "sync-leaving"       // at the satellite: its authority is removing it
	FactSyncOver     = "sync-removed"       // at the satellite: its authority has removed it
	FactSyncLost     = "sync-removed-lost"  // removed while Count were out; heard at Since and told, with Of held by reservations
	FactSyncShort    = "sync-held-back"     // Count of the tag are asked back and cannot be given yet
	FactSyncHost     = "sync-host-taken"    // it wants the host name Name, which is one of the authority's own
	FactSyncOldKeys  = "sync-old-keys"      // a file signed with keys of it that were replaced came at Since, and was refused
	FactSyncRefused  = "sync-refused"       // at the satellite: refused over the network since Since by the code Other, which says Name
	FactSyncRootAway = "sync-root-away"     // the identity was not renewed: the root's key is kept elsewhere
)

// SatelliteStanding says how a satellite stands with its authority; both sides show the same. synced is its last good
// synchronization and identityEnds when its certificate ends, both zero for none; removed is by an administrator.
func SatelliteStanding(synced, identityEnds time.Time, removed bool, now time.Time) (SatelliteState, []Fact) {
	if removed {
		return SatelliteRemoved, nil
	}
	if synced.IsZero() {
		return SatellitePending, []Fact{{Code: FactSyncNever}}
	}
	var facts []Fact
	since := now.Sub(synced)
	days, left := int64(since/(24*time.Hour)), int64((SyncRemovedAfter-since+24*time.Hour-1)/(24*time.Hour))
	state := SatelliteOK
	switch {
	case since > SyncRemovedAfter:
		state, facts = SatelliteRemoved, append(facts, Fact{Code: FactSyncGone, Count: days, Since: synced})
		if since > SyncStaleAfter {
			facts = append(facts, Fact{Code: FactSyncStale, Count: days, Since: synced})
		}
	case since > SyncOverdueAfter:
		state, facts = SatelliteOverdue, append(facts, Fact{Code: FactSyncOverdue, Count: days, Of: left, Since: synced})
	case since > SyncDueAfter:
		state, facts = SatelliteDue, append(facts, Fact{Code: FactSyncDue, Count: days, Of: left, Since: synced})
	}
	if ends := identityEnds.Sub(now); !identityEnds.IsZero() && ends < identityWarning {
		facts = append(facts, Fact{Code: FactIdentityEnds, Count: max(0, int64(ends/(24*time.Hour))), Since: identityEnds})
	}
	return state, facts
}

// syncText renders the facts about synchronization.
func (f Fact) syncText() (string, bool) {
	switch f.Code {
	case FactSyncNever:
		return "It has not synchronized yet.", true
	case FactSyncDue:
		return fmt.Sprintf("It last synchronized %s ago, on %s: a synchronization is due. It counts as removed in %s.", plural(f.Count, "day", "days"), stamp(f.Since), plural(f.Of, "day", "days")), true
	case FactSyncOverdue:
		return fmt.Sprintf("It last synchronized %s ago, on %s: synchronization is overdue. It counts as removed in %s.", plural(f.Count, "day", "days"), stamp(f.Since), plural(f.Of, "day", "days")), true
	case FactSyncGone:
		return fmt.Sprintf("It last synchronized %s ago, on %s, and counts as removed. Its products work on, and what it holds stays with it: the next synchronization brings it back.", plural(f.Count, "day", "days"), stamp(f.Since)), true
	case FactSyncStale:
		return "For more than a year nothing is known of what was bought or used since.", true
	case FactIdentityEnds:
		return fmt.Sprintf("Its certificate ends on %s, in %s. Every synchronization renews it.", stamp(f.Since), plural(f.Count, "day", "days")), true
	case FactSyncRestored:
		if f.Of > 1 {
			return fmt.Sprintf("It went back %d times, the last time on %s, with epoch %d: unless its database was restored that often, two copies of it are at work, and each hears of the other. Stop one of the two, and settle it at the authority then.",
				f.Of, stamp(f.Since), f.Count), true
		}
		return fmt.Sprintf("Its database was lost or an older one was restored, as was noticed on %s: it began epoch %d and took over everything that the authority knows. Settle it at the authority when you have looked.", stamp(f.Since), f.Count), true
	case FactSyncForgot:
		return fmt.Sprintf("Before its database went back, %d of %s were reserved there, and %d are since: their products may still use them, uncounted. Look for these products and reserve for them anew; settle it at the authority then. Noticed on %s.",
			f.Count, f.Tag, f.Of, stamp(f.Since)), true
	case FactSyncMore:
		return fmt.Sprintf("It says that it has %d of lot %s, of which %d were given to it. Only what was given counts.", f.Count, f.Lot, f.Of), true
	case FactSyncForeign:
		return fmt.Sprintf("It speaks of %s, which is not its own. That was left out.", f.Name), true
	case FactSyncHost:
		return fmt.Sprintf("It says that its server is called %s, as the authority's is: its certificate is not for that name. Start it with --name for another one.", f.Name), true
	case FactSyncWaiting:
		if f.Of > 0 {
			return fmt.Sprintf("%s of %s, asked back: not returned yet. Reservations there hold %d of them, until their products return them.", plural(f.Count, "license", "licenses"), f.Tag, f.Of), true
		}
		return fmt.Sprintf("%s of %s, asked back: not returned yet.", plural(f.Count, "license", "licenses"), f.Tag), true
	case FactSyncLeaving:
		return "Its authority is removing this satellite: all licenses go back with its synchronizations, used or not, and it is removed when none is left. Register its products at another desk.", true
	case FactSyncOver:
		return "Its authority has removed this satellite and wants all licenses back. Products work on and show what is short. To connect it again, make a satellite with all of its virtual accounts at the authority (tally satellite create NAME, and -V VA for each) and join here with the new token (tally sync join); or register its products at another desk.", true
	case FactSyncLost:
		if !f.Since.IsZero() && f.Of > 0 {
			return fmt.Sprintf("It was removed while it held %s. It was heard since, last on %s, and is told to give everything up; reservations there hold %d, which their products may use until they return them. Settle it when you have looked.",
				plural(f.Count, "license", "licenses"), stamp(f.Since), f.Of), true
		}
		if !f.Since.IsZero() {
			return fmt.Sprintf("It was removed while it held %s. It was heard since, last on %s, and is told to give everything up. Settle it when you have looked.", plural(f.Count, "license", "licenses"), stamp(f.Since)), true
		}
		return fmt.Sprintf("It was removed while it held %s: until it is heard, they may be used in two places.", plural(f.Count, "license", "licenses")), true
	case FactSyncShort:
		return fmt.Sprintf("%s of %s, asked back: held here by reservations until they are returned.", plural(f.Count, "license", "licenses"), cmp.Or(f.Tag, "lot "+f.Lot)), true
	case FactSyncOldKeys:
		return fmt.Sprintf("A file signed with keys of it that were replaced came on %s and was refused. An old copy of it is at work, a file was late, or somebody has its old keys. Stop the old copy; settle it at the authority when you have looked.", stamp(f.Since)), true
	case FactSyncRefused:
		return fmt.Sprintf("Synchronization over the network is refused since %s (%s): %s Products work on.", stamp(f.Since), f.Other, f.Name), true
	case FactSyncRootAway:
		return "Its certificate was not renewed, because the key of the root certificate is not in the key folder of the authority.", true
	}
	return "", false
}
