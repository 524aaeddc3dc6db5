package conference

import (
	"encoding/json"
	"fmt"

	"github.com/tallystick/tallystick/internal/meeting"
	"github.com/tallystick/tallystick/internal/store"
	"github.com/tallystick/tallystick/internal/store/db"
)

// storedSegment is a segment as its meeting keeps it. Why is left out where it is the same as the meeting's.
type storedSegment struct {
	From    int64           `json:"from"`
	To      int64           `json:"to"` // far while it runs
	License string          `json:"license"`
	Tag     string          `json:"tag"`
	Sixths  int64           `json:"sixths"`
	User    string          `json:"user,omitempty"`
	Rule    string          `json:"rule"`
	Why     json.RawMessage `json:"why,omitempty"`
}

// keepSegments takes the segments of a decision over into the rows; the facts of the meeting stand there already.
func (v *view) keepSegments(segments []meeting.Segment) {
	v.segments = make([]db.Segment, len(segments))
	text := append(make([]byte, 0, 160*len(segments)+2), '[')
	why := ""
	for i := range segments {
		s := &segments[i]
		kept := storedSegment{From: store.Ms(s.From), To: store.Ms(s.To), License: string(s.License), Tag: s.License.Tag(),
			Sixths: int64(s.Sixths), User: s.User, Rule: s.Rule}
		if s.To.IsZero() {
			kept.To = far
		}
		if i == 0 || !sameFacts(s.Why, segments[i-1].Why) {
			why = encodeFacts(s.Why)
		}
		if why != v.row.Facts {
			kept.Why = json.RawMessage(why)
		}
		if i > 0 {
			text = append(text, ',')
		}
		text = kept.encode(text)
		v.segments[i] = kept.row(v.row.AccountID, v.row.ClusterID, v.row.MeetingID)
	}
	v.row.Segments = string(append(text, ']'))
}

// sameFacts reports whether two segments share their facts, as most do.
func sameFacts(a, b []meeting.Fact) bool { return len(a) > 0 && len(a) == len(b) && &a[0] == &b[0] }

// row is the segment as it is counted.
func (s *storedSegment) row(account, cluster, id string) db.Segment {
	return db.Segment{AccountID: account, Lasting: s.To-s.From > day, ToAt: s.To, FromAt: s.From, Tag: s.Tag, Sixths: s.Sixths, MeetingID: id,
		ClusterID: cluster, UserJid: s.User, Class: string(meeting.ClassOf(meeting.License(s.License), s.Rule))}
}

// segmentsOf reads the segments that a meeting keeps; facts are the meeting's own.
func segmentsOf(id, text, facts string) ([]Segment, error) {
	stored, err := decodeSegments(id, text)
	if err != nil {
		return nil, err
	}
	out := make([]Segment, len(stored))
	for i, s := range stored {
		why := facts
		if s.Why != nil {
			why = string(s.Why)
		}
		out[i] = Segment{From: store.At(s.From), To: ended(s.To), License: s.License, Tag: s.Tag, Sixths: s.Sixths, User: s.User, Rule: s.Rule}
		if out[i].Why, err = decodeFacts(why); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func decodeSegments(id, text string) ([]storedSegment, error) {
	var stored []storedSegment
	if err := json.Unmarshal([]byte(text), &stored); err != nil {
		return nil, fmt.Errorf("decode segments of %s: %w", id, err)
	}
	return stored, nil
}
